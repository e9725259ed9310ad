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
// V8 need not read the program anew each time: that is a sixth of what a start costs. What it made of the text stays
// beside the text, and only where that is this user's own: whoever else could change it there could run code as us.
const { dirname } = import.meta
const isOwn = process.getBuiltinModule('node:fs').statSync(dirname).uid === process.geteuid?.()
if (isOwn) process.getBuiltinModule('node:module').enableCompileCache(`${dirname}/.compiled`)
const { main } = await import('./cli/program.ts')
await main(process.argv)
