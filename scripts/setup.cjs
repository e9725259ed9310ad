// Decides whether this checkout needs installing or building before a command runs. Knows nothing of that command.
'use strict'

// Only syntax of very old Nodes above and around this check: it is what they are told.
if (Number(process.versions.node.split('.')[0]) < 18) {
  process.stderr.write(`mpdl: setting up needs Node 18 or newer, this is ${process.version}\n`)
  process.exit(78)
}

const { spawn } = require('node:child_process')
const { createHash } = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const EXIT_CONFIG = 78
const LOCK_HEARTBEAT_MS = 1000
// A holder on another machine, or in another container, can only be judged by its silence.
const LOCK_SILENCE_MS = 20_000
const LOCK_POLL_MS = 100

const root = path.join(__dirname, '..')
const inRoot = (...parts) => path.join(root, ...parts)
const BUILD_INPUTS = ['src', 'scripts/build.ts', 'package.json', 'package-lock.json']
const modulesStamp = inRoot('node_modules', '.mpdl-stamp')
const distStamp = inRoot('dist', '.stamp')
const lockDir = inRoot('dist', '.lock')

function readOr(file, otherwise) {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch {
    return otherwise
  }
}

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex')

/** The Node that runs mpdl here: the pinned one, else this one if it is new enough, else undefined. */
function findRuntime() {
  const pinned = inRoot('node_modules', '.bin', 'node')
  if (fs.existsSync(pinned)) return pinned
  const [major, minor] = process.versions.node.split('.').map(Number)
  return major > 22 || (major === 22 && minor >= 21) ? process.execPath : undefined
}

/** Every file the build reads, with size and time: cheap enough to ask at each start. */
function listInputs() {
  const files = []
  let newestMs = 0
  const visit = (file) => {
    const stat = fs.statSync(inRoot(file))
    newestMs = Math.max(newestMs, stat.mtimeMs)
    if (stat.isDirectory()) {
      for (const name of fs.readdirSync(inRoot(file)).sort()) visit(`${file}/${name}`)
    } else files.push({ file, sizeBytes: stat.size, mtimeMs: stat.mtimeMs })
  }
  for (const input of BUILD_INPUTS) if (fs.existsSync(inRoot(input))) visit(input)
  return { files, newestMs, listing: sha256(JSON.stringify(files)) }
}

const hashContents = (files) =>
  sha256(...files.flatMap(({ file }) => [`${file}\0`, fs.readFileSync(inRoot(file)), '\0']))

function isInstalled() {
  return readOr(modulesStamp, '') === sha256(fs.readFileSync(inRoot('package-lock.json')))
}

/** True when npm itself has installed exactly this lock file: somebody ran `npm ci` by hand. */
function isInstalledByHand() {
  const installed = JSON.parse(readOr(inRoot('node_modules', '.package-lock.json'), '{}')).packages
  if (installed === undefined) return false
  const { packages } = JSON.parse(fs.readFileSync(inRoot('package-lock.json'), 'utf8'))
  return Object.entries(packages).every(([where, wanted]) => {
    if (!where.startsWith('node_modules/')) return true
    const found = installed[where]
    // Packages of other platforms are optional, and npm leaves them out.
    if (found === undefined) return wanted.optional === true
    return found.version === wanted.version && found.integrity === wanted.integrity
  })
}

function readDistStamp() {
  try {
    return JSON.parse(readOr(distStamp, '{}'))
  } catch {
    return {}
  }
}

/**
 * Dates the stamp for the launcher, which asks `find -newer`: no for what was built, yes for anything saved later.
 * A file from the future is not waited for, so that edits made now are still seen.
 */
function dateStamp(file, newestMs) {
  // Times keep fractions of a millisecond, and seconds as a double round to a quarter of a microsecond.
  const seconds = Math.min(newestMs, Date.now()) / 1000 + 2e-6
  fs.utimesSync(file, seconds, seconds)
}

function isUpToDate() {
  if (!isInstalled()) return false
  const { listing, newestMs } = listInputs()
  if (readDistStamp().listing !== listing) return false
  // An editor's temporary file makes a directory newer than the stamp, and the launcher come here each time.
  if (fs.statSync(distStamp).mtimeMs < newestMs) dateStamp(distStamp, newestMs)
  return true
}

/** Runs a program quietly; what it said is shown only when it failed. */
function runQuietly(file, args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const said = []
    child.stdout.on('data', (chunk) => said.push(chunk))
    child.stderr.on('data', (chunk) => said.push(chunk))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) return resolve()
      process.stderr.write(Buffer.concat(said))
      const command = [path.basename(file), ...args.map((arg) => path.relative(root, arg) || arg)].join(' ')
      reject(new Error(`${command} failed (${signal || `exit code ${code}`})`))
    })
  })
}

async function install() {
  if (!isInstalledByHand()) {
    const args = ['ci', '--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund']
    const npmScript = process.env.npm_execpath || ''
    const node = process.env.npm_node_execpath || process.execPath
    const besideNode = path.join(path.dirname(process.execPath), 'npm')
    // cron's PATH may lack the directory of the Node that runs this, and npm starts with `env node`.
    const env = { ...process.env, PATH: `${path.dirname(node)}${path.delimiter}${process.env.PATH || ''}` }
    if (npmScript.endsWith('.js')) await runQuietly(node, [npmScript, ...args], env)
    else await runQuietly(fs.existsSync(besideNode) ? besideNode : 'npm', args, env)
  }
  fs.writeFileSync(modulesStamp, sha256(fs.readFileSync(inRoot('package-lock.json'))))
}

async function build(runtime) {
  // Listed before the build reads them: a file saved meanwhile makes the next start build again.
  const { files, listing, newestMs } = listInputs()
  const contents = hashContents(files)
  if (readDistStamp().contents !== contents) await runQuietly(runtime, [inRoot('scripts', 'build.ts')], process.env)
  const temporary = `${distStamp}.${process.pid}`
  fs.writeFileSync(temporary, JSON.stringify({ listing, contents }))
  dateStamp(temporary, newestMs)
  fs.renameSync(temporary, distStamp)
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** The lock's holder, and whether that holder has died; a lock freed meanwhile is just not stale. */
function inspectLock() {
  let silentMs = 0
  try {
    silentMs = Date.now() - fs.statSync(lockDir).mtimeMs
  } catch {
    return { holder: '', isStale: false }
  }
  const holder = readOr(path.join(lockDir, 'holder'), '')
  const [pid, host] = holder.split(' ')
  let isGone = false
  if (host === os.hostname()) {
    try {
      process.kill(Number(pid), 0)
    } catch (error) {
      isGone = error.code === 'ESRCH'
    }
  }
  return { holder, isStale: isGone || silentMs > LOCK_SILENCE_MS }
}

/** Moves a dead holder's lock aside. Whoever loses this race, or finds a living holder moved, just looks again. */
function breakLock({ holder }) {
  const aside = `${lockDir}.${process.pid}`
  try {
    fs.renameSync(lockDir, aside)
    if (readOr(path.join(aside, 'holder'), '') !== holder) return fs.renameSync(aside, lockDir)
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  }
  fs.rmSync(aside, { recursive: true, force: true })
}

/** Runs `work` while no other set-up of this checkout does; the kernel may end the holder at any moment. */
async function withLock(work) {
  fs.mkdirSync(path.dirname(lockDir), { recursive: true })
  for (;;) {
    try {
      fs.mkdirSync(lockDir)
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    const found = inspectLock()
    if (found.isStale) breakLock(found)
    else await sleep(LOCK_POLL_MS)
  }
  fs.writeFileSync(path.join(lockDir, 'holder'), `${process.pid} ${os.hostname()}`)
  const heartbeat = setInterval(() => {
    const now = new Date()
    fs.utimes(lockDir, now, now, () => {})
  }, LOCK_HEARTBEAT_MS)
  try {
    return await work()
  } finally {
    clearInterval(heartbeat)
    fs.rmSync(lockDir, { recursive: true, force: true })
  }
}

async function setUp() {
  if (isUpToDate()) return
  await withLock(async () => {
    if (!isInstalled()) {
      if (!isInstalledByHand()) process.stderr.write('mpdl: setting up (once)…\n')
      await install()
    }
    const runtime = findRuntime()
    if (runtime !== undefined && readDistStamp().listing !== listInputs().listing) await build(runtime)
  })
}

/** A wrapper that is killed outright must not leave the program running, where the kernel can see to that. */
function findDeathSignal() {
  if (process.platform !== 'linux') return []
  for (const directory of ['/usr/bin', '/bin', '/sbin', '/usr/sbin']) {
    const file = path.join(directory, 'setpriv')
    try {
      // BusyBox has a setpriv that knows no --pdeathsig.
      if (path.basename(fs.realpathSync(file)) === 'setpriv') return [file, '--pdeathsig', 'TERM', '--']
    } catch {
      // Not there: look further.
    }
  }
  return []
}

/** Becomes the program where Node can; otherwise stands in for it, signals and exit status included. */
function run(runtime, args) {
  if (process.execve) process.execve(runtime, [runtime, ...args], process.env)
  const [file, ...rest] = [...findDeathSignal(), runtime, ...args]
  const child = spawn(file, rest, { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the program as well, and mpdl takes a second one as "at once".
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  child.on('error', (error) => {
    process.stderr.write(`mpdl: cannot start ${runtime}: ${error.message}\n`)
    process.exit(EXIT_CONFIG)
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

setUp().then(
  () => {
    const runtime = findRuntime()
    if (runtime === undefined) {
      process.stderr.write(
        `mpdl: needs Node 22.21 or newer, this is ${process.version}, and none is pinned for this platform\n`,
      )
      process.exit(EXIT_CONFIG)
    }
    if (process.argv.length > 2) run(runtime, process.argv.slice(2))
  },
  (error) => {
    process.stderr.write(`mpdl: set-up failed: ${error.message}\n`)
    process.exit(EXIT_CONFIG)
  },
)
