// Decides what `npm start` does: mpdl with the given arguments, or a demonstration. Knows nothing of downloading.
import { spawn } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startOrigin, urlOf } from '../src/compare/origin.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const program = join(root, 'dist', 'main.js')

const KIB = 1024
/** Made-up forms of the sizes tax forms have; the big one comes slowly, so that there is something to watch. */
const FORMS = [
  { name: 'f1040.pdf', sizeBytes: 220 * KIB },
  { name: 'f1040sa.pdf', sizeBytes: 90 * KIB },
  { name: 'fw4.pdf', sizeBytes: 200 * KIB },
  { name: 'fw9.pdf', sizeBytes: 140 * KIB },
  { name: 'i1040gi.pdf', sizeBytes: 4400 * KIB, bytesPerS: 1100 * KIB },
]

/** Becomes mpdl, so that signals and exit status are its own; relative paths mean where the user typed them. */
function become(args: readonly string[]): never {
  process.chdir(process.env.INIT_CWD ?? process.cwd())
  if (process.execve === undefined) throw new Error('every Node that mpdl runs on has execve')
  return process.execve(process.execPath, [process.execPath, program, ...args], process.env)
}

/** Downloads the sample forms from loopback into a temporary directory that is left for a look. */
async function demonstrate(): Promise<void> {
  const origin = await startOrigin()
  const urls = FORMS.map((form) => urlOf(origin.port, form))
  const scratch = mkdtempSync(join(tmpdir(), 'mpdl-demo-'))
  const list = join(scratch, 'forms.txt')
  const downloads = join(scratch, 'downloads')
  writeFileSync(list, `${urls.join('\n')}\n`)
  console.error(`A demonstration: an origin on loopback serves ${urls.length} made-up tax forms, one of them slowly.`)
  console.error(`mpdl downloads the list ${list}, each URL in a child process of its own.`)
  console.error('With a list of your own: npm start -- urls.txt --dir downloads')

  const progress = process.stderr.isTTY ? 'tty' : 'lines'
  const child = spawn(process.execPath, [program, list, '--dir', downloads, '-v', '--progress', progress], {
    stdio: 'inherit',
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to mpdl as well, and a second one means "at once".
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  const ended = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.on('error', reject).on('exit', (code, signal) => resolve({ code, signal }))
  })
  await origin.stop()
  console.error(`The files are in ${downloads}`)
  if (ended.signal === null) process.exitCode = ended.code ?? 70
  else {
    process.removeAllListeners(ended.signal)
    process.kill(process.pid, ended.signal)
  }
}

const args = process.argv.slice(2)
if (args.length > 0) become(args)
else await demonstrate()
