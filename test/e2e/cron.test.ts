// Proves nights without a person under Debian's own cron daemon: what is downloaded, what is mailed, and that nothing
// else is. One crontab, three minutes of the daemon's fast clock; each test looks at what one of its lines did.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CronDaemon, type CronMail, findCron, startCron } from '../fixtures/cron-daemon.ts'
import { bodyOf } from '../fixtures/fault-server.ts'
import { findProgram, type NginxServer, requireServer, startNginx } from '../fixtures/servers.ts'
import { withoutPlace } from '../fixtures/through-cron.ts'
import { filesIn, newHome, PROGRAM, run, until } from './run-mpdl.ts'

const canRun = requireServer('cron', findCron()) && requireServer('nginx', findProgram('nginx'))
const PDF = bodyOf(20_000, 1)

describe.skipIf(!canRun)('under cron', () => {
  let nginx: NginxServer | undefined
  let cron: CronDaemon | undefined
  let mails: readonly CronMail[] = []
  const home = newHome()

  /** What `cron-line` prints for a run of `list` into a directory of the same name. */
  const cronLine = async (name: string, list: string, schedule: string, ...args: readonly string[]) => {
    writeFileSync(home.at(`${name}.txt`), list)
    const line = ['cron-line', '--schedule', schedule, '-d', `${name} files`, ...args, `${name}.txt`]
    const made = await run({ isBare: true, home, operands: line })
    expect([made.code, withoutPlace(made.stderr)]).toEqual([0, ''])
    return made.stdout
  }
  /** A second line, by hand. */
  const watchLine = (minute: number, name: string) =>
    `${minute} 2 * * * cd ${home.root} && XDG_STATE_HOME=${home.state} ` +
    `${process.execPath} ${PROGRAM} runs --max-age 26h "${name.replaceAll('%', '\\%')}.txt"\n`
  const mailsOf = (name: string) => mails.filter(({ subject }) => subject.includes(name.split(' ')[0] ?? ''))
  const linesOf = ({ body }: CronMail) => body.split('\n')

  beforeAll(async () => {
    const root = home.at('www')
    mkdirSync(root)
    for (const name of ['a.pdf', 'b.pdf', 'c.pdf']) writeFileSync(join(root, name), PDF)
    nginx = await startNginx({ root, extraConf: `location /slow/ { alias ${root}/; limit_rate 1; }` })
    const { url } = nginx
    writeFileSync(home.at('never.txt'), url)
    const good = `${url}/a.pdf\n${url}/b.pdf\n${url}/c.pdf\n`
    cron = startCron(home.root, {
      clock: '2026-11-21 02:16:57',
      crontab: [
        await cronLine("good 100% of 'Jane's", good, '17 2 * * *'),
        await cronLine('missing', `${url}/a.pdf\n${url}/no.pdf\n`, '17 2 * * *'),
        await cronLine(
          'window',
          `${url}/slow/a.pdf\n${url}/slow/b.pdf\n`,
          '17,18 2 * * *',
          '-j1',
          '--run-deadline',
          '3s',
        ),
        await cronLine('overlap', `${url}/slow/c.pdf\n`, '17,18 2 * * *', '--run-deadline', '9s'),
        watchLine(17, 'never'),
        watchLine(18, "good 100% of 'Jane's"),
        '19 2 * * * echo over\n',
      ].join(''),
    })
    await until('the third minute', () => cron?.mails().some(({ body }) => body === 'over\n') === true)
    await cron.idle()
    mails = cron.mails()
  })
  afterAll(async () => {
    await cron?.stop()
    await nginx?.stop()
  })

  test('the line made by cron-line downloads its list, hostile names and all, and sends no mail', () => {
    const name = "good 100% of 'Jane's"
    expect(filesIn(home.at(`${name} files`))).toEqual(['a.pdf', 'b.pdf', 'c.pdf'])
    expect(readFileSync(home.at(`${name} files/c.pdf`))).toEqual(PDF)
    expect(mailsOf('good').filter(({ subject }) => subject.includes('--run-deadline'))).toEqual([])
  })

  test('a 404 in the list is one mail, and its first line is the whole story', () => {
    expect(filesIn(home.at('missing files'))).toEqual(['a.pdf'])
    expect(mailsOf('missing').map(linesOf)).toEqual([
      [
        expect.stringMatching(/^mpdl: 2 = 1 downloaded \+ 1 failed in /),
        expect.stringMatching(/^line 2 .*\/no\.pdf HTTP 404 Not Found$/),
        '',
      ],
    ])
  })

  test('--run-deadline ends a run inside its minute, and the next start begins with what never began', () => {
    const nights = mailsOf('window').map(linesOf)
    expect(nights).toHaveLength(2)
    for (const [first] of nights) expect(first).toMatch(/^mpdl: 2 = 1 killed \+ 1 not-started in /)
    // What never began comes first the next time.
    expect(nights.map((lines) => lines.at(-2))).toEqual(['line 2 not started', 'line 1 not started'])
  })

  test('a run that still goes on at the next start is named by that one, which does nothing', () => {
    const [second, first, ...more] = mailsOf('overlap').map(({ body }) => body)
    expect(more).toEqual([])
    expect(second).toMatch(/^mpdl: overlap\.txt is being downloaded .* by another run \(pid \d+, started .*\n$/)
    expect(first).toMatch(/^mpdl: 1 = 1 killed in .*stopped early \(run deadline\)\n/)
  })

  test('a second line with --max-age mails while there is no good run, and is silent once there is', () => {
    expect(mailsOf('never')).toHaveLength(1)
    expect(mailsOf('good').filter(({ subject }) => subject.includes('--max-age'))).toEqual([])
  })
})
