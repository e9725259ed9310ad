#!/usr/bin/env node
// The bin: checks Node's version before anything else is loaded, because what is loaded needs it.

// Until the run listens, a SIGUSR1 would open Node's debugger to everybody on this machine.
process.on('SIGUSR1', () => {})

const wanted = [22, 21]
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < (wanted[0] ?? 0) || (major === wanted[0] && minor < (wanted[1] ?? 0))) {
  process.stderr.write(
    `mpdl needs Node ${wanted.join('.')} or newer; this is ${process.versions.node} (${process.execPath})\n`,
  )
  process.exit(78)
}
if (process.platform === 'win32') {
  process.stderr.write('mpdl does not run on Windows: it needs process groups and signals. Use it inside WSL.\n')
  process.exit(78)
}
const { main } = await import('./cli/program.ts')
await main(process.argv)
