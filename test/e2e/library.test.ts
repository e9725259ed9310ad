// The README's program, as it stands there, run as a program of its own against a server of this test.

import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FaultServer, sha256Of, startFaultServer } from '../fixtures/fault-server.ts'
import { childrenOf, filesIn, type Home, newHome, until } from './run-mpdl.ts'

const ROOT = join(import.meta.dirname, '..', '..')
let server: FaultServer

beforeAll(async () => {
  server = await startFaultServer()
})
afterAll(async () => {
  await server.stop()
})

/** Starts a program in which `mpdl` is installed. */
function start(home: Home, program: string) {
  mkdirSync(home.at('node_modules'), { recursive: true })
  symlinkSync(ROOT, home.at('node_modules/mpdl'))
  writeFileSync(home.at('program.mjs'), program)
  const child = spawn(process.execPath, [home.at('program.mjs')], {
    cwd: home.root,
    env: { PATH: process.env['PATH'], HOME: home.root, XDG_STATE_HOME: home.state },
  })
  const { promise: ended, resolve } = Promise.withResolvers<{ code: number | null; said: string }>()
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += String(chunk)))
  child.on('close', (code) => resolve({ code, said }))
  const { pid } = child
  if (pid === undefined) throw new Error('the program could not be started')
  return { pid, child, ended, said: () => said }
}

describe('a program', () => {
  test('as the README has it downloads what it says', async () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
    const example = /\n## From a program\n+```js\n(.*?)```/s.exec(readme)?.[1] ?? ''
    const home = newHome()
    const program = example.replaceAll('https://example.com/', server.url('/ok/')).replace("'pdf'", `'${home.out}'`)
    const { ended } = start(home, `${program}console.log(ok, totals.downloaded)\n`)
    const { code, said } = await ended
    const lines = said.trimEnd().split('\n')
    expect([code, lines.slice(0, 2).sort(), lines.at(-1)]).toEqual([
      0,
      ['downloaded a.pdf ', 'downloaded form.pdf '],
      'true 2',
    ])
    expect(filesIn(home.out)).toEqual(['a.pdf', 'form.pdf'])
    expect(sha256Of(readFileSync(join(home.out, 'a.pdf')))).toBe(sha256Of(readFileSync(join(home.out, 'form.pdf'))))
  })

  test('that never asks how its run went ends well, though the jobs were wrong', async () => {
    const { ended } = start(newHome(), "import { download } from 'mpdl'\ndownload('ftp://example.com/x')\n")
    expect(await ended).toEqual({ code: 0, said: '' })
  })

  test.each(['pool', 'thread', 'inline', 'process'])(
    'that breaks off a run under %s ends by itself',
    async (isolate) => {
      const home = newHome()
      const program = `
import { download } from 'mpdl'
const jobs = ['${server.url('/ok/quick')}', '${server.url('/stall/a?at=10')}', '${server.url('/stall/b?at=10')}']
for await (const job of download(jobs, { dir: '${home.out}', isolate: '${isolate}' })) {
  console.log(job.outcome, job.out)
  break
}
`
      expect(await start(home, program).ended).toEqual({ code: 0, said: 'downloaded quick\n' })
    },
  )

  test('that is killed leaves no child behind', async () => {
    const home = newHome()
    const program = `
import { download } from 'mpdl'
download('${server.url('/stall/a?at=10')}', { dir: '${home.out}', onEvent: ({ type }) => console.log(type) })
`
    const { pid, child, ended, said } = start(home, program)
    await until('the child receives', () => said().includes('response'))
    expect(childrenOf(pid)).toHaveLength(1)
    child.kill('SIGKILL')
    await ended
    await until('its child is gone', () => childrenOf(pid).length === 0)
  })
})
