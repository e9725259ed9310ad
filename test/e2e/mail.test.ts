// Proves what cron would mail: nothing when all is well, and else a page at most that begins with what is wrong.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FaultServer, startFaultServer, startRefused } from '../fixtures/fault-server.ts'
import { type Ended, newHome, QUICK, run } from './run-mpdl.ts'

let server: FaultServer
let refused: Awaited<ReturnType<typeof startRefused>>
beforeAll(async () => {
  ;[server, refused] = await Promise.all([startFaultServer(), startRefused()])
})
afterAll(() => Promise.all([server.stop(), refused.stop()]))

/** A host that answers no connection: its queue is full, and nobody ever takes one out. */
async function startBlackhole(): Promise<{ readonly host: string; stop(): Promise<void> }> {
  const backlog = 1
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
    const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: ${backlog} }, () => {
      parentPort.postMessage(server.address().port)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    })`,
    { eval: true },
  )
  const [port] = await once(worker, 'message')
  const waiting: Socket[] = []
  // Linux queues one more than it is told.
  for (let n = 0; n <= backlog; n++) {
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    await once(socket, 'connect')
    waiting.push(socket)
  }
  return {
    host: `127.0.0.1:${port}`,
    stop: async () => {
      for (const socket of waiting) socket.destroy()
      await worker.terminate()
    },
  }
}

const PATIENT = [...QUICK, '-T', '10s'] as const
const linesOf = ({ stderr }: Ended) => stderr.split('\n').slice(0, -1)
/** Logs that lie elsewhere are named by their path. */
const logOf = ({ home, report }: Ended) => `${home.logs}/${report.run.id}.ndjson`

test('a night on which all went well is no mail', async () => {
  const list = ['/ok/a', '/ok/b', '/status/503/c?times=1'].map(server.url).join('\n')
  const first = await run({ list, args: PATIENT })
  expect([first.code, first.stdout, first.stderr]).toEqual([0, '', ''])
  const again = await run({ home: first.home, list, args: [...PATIENT, '--notify', 'changes'] })
  expect([again.code, again.stdout, again.stderr]).toEqual([0, '', ''])
})

describe('one missing file', () => {
  const expected = (what: string) => [
    expect.stringMatching(new RegExp(`^mpdl: ${what}.*HTTP 404 at 127\\.0\\.0\\.1:${server.port}`)),
    `line 2 ${server.url('/status/404/b')} HTTP 404 Not Found`,
  ]
  const list = () => ['/ok/a', '/status/404/b'].map(server.url).join('\n')

  test('is a mail whose first line says so', async () => {
    const ended = await run({ list: list(), args: PATIENT })
    expect(ended.code).toBe(8)
    expect(linesOf(ended)).toEqual(expected('2 = 1 downloaded \\+ 1 failed in [^:]*:'))
  })

  test('is one mail and no other when only changes are told, and the exit code is what it was', async () => {
    const args = [...PATIENT, '--notify', 'changes']
    const first = await run({ list: list(), args })
    expect(linesOf(first)).toEqual([
      ...expected('1 newly failing \\('),
      `the whole report: mpdl report ${logOf(first)}`,
    ])
    const second = await run({ home: first.home, list: list(), args })
    expect([first.code, second.code, second.stderr]).toEqual([8, 8, ''])
  })
})

describe('five thousand that fail', () => {
  const list = () =>
    Array.from({ length: 2500 }, (_, i) => [server.url(`/status/404/m${i}`), `http://127.0.0.1:${refused.port}/d${i}`])
      .flat()
      .join('\n')

  test.each([
    { notify: 'trouble', first: 'mpdl: 5000 = 5000 failed in ', more: 'and 2,480 more: mpdl report RUN' },
    { notify: 'changes', first: 'mpdl: 5000 newly failing (', more: 'and 2,480 more' },
  ])('are thirty lines at most that say where the rest is: $notify', async ({ notify, first, more }) => {
    const home = newHome()
    // Without --log-dir: what is said in the mail is typed as it stands.
    const args = [...PATIENT, '-d', home.out, '--notify', notify]
    const ended = await run({ home, list: list(), args, isBare: true })
    const lines = linesOf(ended)
    expect([ended.code, lines.length <= 30]).toEqual([4, true])
    expect(lines[0]).toContain(first)
    expect(lines[0]).toContain(`HTTP 404 at 127.0.0.1:${server.port}`)
    expect(lines[0]).toContain('a host is down')
    expect(lines.filter((line) => line.startsWith('  line '))).toHaveLength(20)
    const [command = '', id = ''] = /mpdl report (\S+)$/m.exec(ended.stderr) ?? []
    expect(lines.map((line) => line.replace(id, 'RUN'))).toContain(more)
    const whole = await run({ home, operands: command.split(' ').slice(1), isBare: true })
    expect(whole.code).toBe(1)
    expect(whole.stdout).toContain(`line 4999 ${server.url('/status/404/m2499')} failed: HTTP 404 Not Found`)
  })
})

test('a host that answers no connection is named once, and the others’ files are there', async () => {
  const hole = await startBlackhole()
  try {
    const list = Array.from({ length: 30 }, (_, i) => [`http://${hole.host}/b${i}`, server.url(`/ok/g${i}`)]).flat()
    const args = [...PATIENT, '--connect-timeout', '300ms', '--notify', 'changes']
    const ended = await run({ list: list.join('\n'), args })
    expect([ended.code, ended.report.totals['downloaded']]).toEqual([4, 30])
    const lines = linesOf(ended)
    expect(lines[0]).toMatch(/^mpdl: 30 newly failing \(a host is down\): 60 = 30 downloaded \+ 30 failed in /)
    expect(lines.filter((line) => line.startsWith('host '))).toHaveLength(1)
    expect(lines.slice(1, 3).join('').replaceAll(/\s+/g, ' ')).toBe(
      `host ${hole.host} is down: no connection to ${hole.host} within 300ms (--connect-timeout): 30 jobs failed`,
    )
    expect(lines).toHaveLength(4)
    expect(ended.ms).toBeLessThan(30_000)

    const next = await run({ home: ended.home, list: list.join('\n'), args })
    expect([next.code, next.stderr]).toEqual([4, ''])
  } finally {
    await hole.stop()
  }
})

test('with -q a recovery is no news, a failure is', async () => {
  const list = server.url('/status/404/q?times=1')
  const args = [...PATIENT, '-q', '--notify', 'changes']
  const first = await run({ list, args })
  expect(linesOf(first)[0]).toMatch(/^mpdl: 1 newly failing /)
  const second = await run({ home: first.home, list, args })
  expect([second.code, second.stderr]).toEqual([0, ''])
})
