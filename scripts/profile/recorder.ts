// What is put before a program, as text, so that it leaves a CPU profile and what it has used. It stands alone: nothing
// of this file but the function goes along. Knows nothing of the program.

export interface Recording {
  /** Of its files: `DIR/ROLE-PID.cpuprofile`, and its use beside it. */
  readonly dir: string
  readonly role: string
  readonly samplingUs: number
  /** It is ended by SIGTERM, when it has nothing to do any more. */
  readonly isDismissed: boolean
}

/** Of one process, or of one thread. */
export interface Use {
  readonly cpuUs: number
  /** Of that: before its first line, and so in no profile. */
  readonly bootCpuUs: number
  readonly maxResidentBytes: number
}

export function record({ dir, role, samplingUs, isDismissed }: Recording): void {
  const { Session } = process.getBuiltinModule('node:inspector')
  const { writeFileSync } = process.getBuiltinModule('node:fs')
  const { isMainThread, threadId } = process.getBuiltinModule('node:worker_threads')
  const cpuUs = () => {
    const { user, system } = isMainThread ? process.cpuUsage() : process.threadCpuUsage()
    return user + system
  }
  const bootCpuUs = cpuUs()
  const path = `${dir}/${role}-${isMainThread ? process.pid : `${process.pid}-${threadId}`}`
  const session = new Session()
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.setSamplingInterval', { interval: samplingUs })
  session.post('Profiler.start')
  let isWritten = false
  const write = () => {
    if (isWritten) return
    isWritten = true
    const use = { cpuUs: cpuUs(), bootCpuUs, maxResidentBytes: process.resourceUsage().maxRSS * 1024 }
    session.post('Profiler.stop', (_, { profile }) => {
      writeFileSync(`${path}.cpuprofile`, JSON.stringify(profile))
      writeFileSync(`${path}.use.json`, JSON.stringify(use))
    })
  }
  process.once('exit', write)
  if (isDismissed) {
    process.once('SIGTERM', () => {
      write()
      process.kill(process.pid, 'SIGTERM')
    })
  }
  // A run with threads leaves by becoming another program, which is no exit.
  const { execve } = process
  process.execve = (...args) => {
    write()
    return execve?.apply(process, args) as never
  }
}
