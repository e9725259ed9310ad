// The rehearsal child: the same serve() with one fault before its body, chosen by argv. A bundle of its own, so
// that the shipped child contains none of this. Also the probe that shows what the sandbox forbids.

import type { Fault } from '../core/fault.ts'
import { isFault } from '../core/fault.ts'
import { FILE_DESCRIPTOR, PROTOCOL_VERSION, WIRE_DESCRIPTOR } from '../protocol/message.ts'
import { serve } from './serve.ts'
import { openSocketPort } from './socket-port.ts'

const crypto = () => process.getBuiltinModule('node:crypto')
const fs = () => process.getBuiltinModule('node:fs')
const never = () => new Promise<never>(() => {})

function spin(): never {
  for (;;);
}

const PERFORM: { readonly [F in Fault]: () => Promise<void> } = {
  spin: async () => spin(),
  'ignore-term': async () => {
    process.on('SIGTERM', () => {})
    spin()
  },
  stop: async () => {
    process.kill(process.pid, 'SIGSTOP')
    await never()
  },
  segv: async () => {
    process.kill(process.pid, 'SIGSEGV')
    await never()
  },
  abort: async () => process.abort(),
  oom: async () => {
    const kept: object[] = []
    for (;;) kept.push(Array.from({ length: 1000 }, (_, i) => ({ i })))
  },
  leak: async () => {
    const kept: Buffer[] = []
    for (;;) {
      kept.push(Buffer.alloc(16 << 20, kept.length + 1))
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  },
  exit0: async () => process.exit(0),
  exit3: async () => process.exit(3),
  garbage: async () => {
    fs().writeSync(
      WIRE_DESCRIPTOR,
      Buffer.from('\u0000\u0001{"type":"done","bytes":'.concat('\u00ff'.repeat(64), '\n')),
    )
    await never()
  },
  flood: async () => {
    for (;;) {
      for (let i = 0; i < 2000; i++) port.send({ type: 'beat', bytes: 0 })
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  },
  'hang-native': async () => {
    crypto().pbkdf2Sync('x', 'y', 2 ** 31 - 1, 64, 'sha512')
  },
  'pool-stuck': async () => {
    for (let i = 0; i < 4; i++) crypto().pbkdf2('x', 'y', 2 ** 31 - 1, 64, 'sha512', () => {})
    await new Promise((resolve) => crypto().randomFill(Buffer.alloc(16), resolve))
  },
}

/** Tries what a child must not be able to do; the answer is a digest-shaped message to keep the wire as it is. */
function probe(): void {
  const attempts: Record<string, () => unknown> = {
    read: () => fs().readFileSync('/etc/hostname'),
    write: () => fs().writeFileSync(`/tmp/mpdl-probe-${process.pid}`, ''),
    spawn: () => process.getBuiltinModule('node:child_process').spawnSync('/bin/true'),
    thread: () => new (process.getBuiltinModule('node:worker_threads').Worker)('0', { eval: true }),
    own: () => fs().writeSync(FILE_DESCRIPTOR, 'mpdl', 0),
  }
  const results = Object.entries(attempts).map(([name, attempt]) => {
    try {
      attempt()
      return `${name}=allowed`
    } catch (error) {
      return `${name}=${error instanceof Error && 'code' in error ? String(error.code) : 'error'}`
    }
  })
  port.send({ type: 'failed', failure: { kind: 'child-error', detail: results.join(' ') } })
  port.leave()
}

const port = openSocketPort(Number(process.argv[2]))
const fault = process.argv[3] ?? ''
if (fault === 'probe') {
  port.send({ type: 'ready', version: PROTOCOL_VERSION })
  probe()
} else {
  serve(port, {
    descriptor: FILE_DESCRIPTOR,
    beforeBody: async () => {
      if (isFault(fault)) await PERFORM[fault]()
    },
  })
}
