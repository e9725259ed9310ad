// Starts programs that end with this one, however it ends. A guard beside each holds a pipe from here: when that
// closes, the guard kills their process group, which is theirs alone. Knows nothing of what the programs do.

import { type ChildProcess, spawn } from 'node:child_process'

// Not by the kernel's parent-death signal: it reaches one process, and a program that sets it costs milliseconds.
const GUARD = '{ read -r _ <&3; kill -KILL -- -$$; } &'

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Guarded {
  /** Leader of the group; the guard is its first child. */
  readonly pid: number
  readonly child: ChildProcess
  /** Everything has ended. */
  readonly ended: Promise<Ended>
  /** Ends everything. */
  stop(): Promise<void>
}

/** `script` is bash's; `args` begin with its `$0`. It may hand its descriptor 3 to nobody. */
export function startGuarded(script: string, args: readonly string[], env: NodeJS.ProcessEnv): Guarded {
  const child = spawn('bash', ['-c', `${GUARD}\n${script}`, ...args], {
    detached: true,
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  const { pid } = child
  if (pid === undefined) throw new Error('bash cannot be started')
  const leash = child.stdio[3]
  leash?.on('error', () => {})
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => (said[name] += text))
  }
  const stragglersGo = () => leash?.destroy()
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', stragglersGo)
    child.once('close', (code) => resolve({ code, ...said }))
  })
  return {
    pid,
    child,
    ended,
    stop: async () => {
      stragglersGo()
      await ended
    },
  }
}

/** A server: it stands in the leader's place. */
export function startServer(command: readonly string[], env: NodeJS.ProcessEnv): Guarded {
  return startGuarded('exec "$@" 3<&-', ['server', ...command], env)
}
