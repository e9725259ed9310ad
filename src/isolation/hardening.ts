// Decides how a child is wrapped on this machine: limits, death with its parent, the permission model, a clean
// environment. Finds out what is there by looking; `mpdl doctor` proves it by trying.

import { accessSync, constants, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

export interface Hardening {
  /** Absolute path of util-linux setpriv: the kernel kills the child when the supervisor dies. */
  readonly setpriv: string | undefined
  readonly prlimit: string | undefined
  readonly flock: string | undefined
  /** Of util-linux: sets aside room on the disk. */
  readonly fallocate: string | undefined
  /** What a child may open at most; undefined where nobody tells how much it could be. */
  readonly maxDescriptors: number | undefined
  /** Whether this Node can deny a child everything but its descriptors. */
  readonly hasPermissionModel: boolean
}

/**
 * Of each half of V8's young generation. Its default may take a hundred MiB that the heap's cap does not count; a
 * child's bytes are in buffers outside the heap anyway.
 */
export const YOUNG_MIB = 8
const TOOL_DIRS = ['/usr/bin', '/bin', '/usr/sbin', '/sbin', '/usr/local/bin']
/** What a child may know of its surroundings. Not: proxies with passwords, NODE_OPTIONS, tokens. */
const ENV_ALLOWED = ['HOME', 'TZ', 'LANG']

function findTool(name: string): string | undefined {
  return TOOL_DIRS.map((dir) => join(dir, name)).find((path) => {
    try {
      accessSync(path, constants.X_OK)
    } catch {
      return false
    }
    try {
      // BusyBox's versions know neither --pdeathsig nor --core.
      return !readlinkSync(path).includes('busybox')
    } catch {
      return true
    }
  })
}

let detected: Hardening | undefined

/** Looked for once: a run asks several times before its first download. */
export function detectHardening(): Hardening {
  detected ??= {
    setpriv: process.platform === 'linux' ? findTool('setpriv') : undefined,
    prlimit: process.platform === 'linux' ? findTool('prlimit') : undefined,
    flock: findTool('flock'),
    fallocate: process.platform === 'linux' ? findTool('fallocate') : undefined,
    maxDescriptors: descriptorLimit(),
    hasPermissionModel: process.allowedNodeEnvironmentFlags.has('--permission'),
  }
  return detected
}

/** Many times what a child needs, and few enough that one which leaks them fails soon and alone. */
const ENOUGH_DESCRIPTORS = 4096

/** Never more than the hard limit: only root may raise that. */
function descriptorLimit(): number | undefined {
  try {
    const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]
    if (hard === undefined) return undefined
    return hard === 'unlimited' ? ENOUGH_DESCRIPTORS : Math.min(Number(hard), ENOUGH_DESCRIPTORS)
  } catch {
    return undefined
  }
}

/**
 * The heap's share of what a child may hold. The rest is for code, stacks, buffers and the collector's own copies,
 * which V8's cap does not count: with three quarters a full heap reached the watch's limit before V8 gave up, and was
 * misnamed.
 */
export const HEAP_SHARE = 0.6

export interface ChildCommand {
  readonly file: string
  readonly args: readonly string[]
}

/**
 * The command line of one child. Nothing of the job is in it: argv is readable by everyone.
 * `heapBytes` caps V8's heap; a strict child may open its script, and the files below `dir` where that is given.
 */
export function childCommand(
  script: string,
  scriptArgs: readonly string[],
  hardening: Hardening,
  options: { readonly isStrict: boolean; readonly heapBytes: number; readonly dir?: string },
): ChildCommand {
  const node = [
    `--max-old-space-size=${Math.max(16, Math.floor(options.heapBytes / 2 ** 20))}`,
    `--max-semi-space-size=${YOUNG_MIB}`,
    // One core's share of V8's helpers, not four threads: 2 ms of each start.
    '--v8-pool-size=1',
    '--max-http-header-size=65536',
    '--disable-warning=ExperimentalWarning',
    '--disable-sigusr1',
    ...(options.isStrict ? permissionFlags(script, options.dir) : []),
    script,
    ...scriptArgs,
  ]
  const nofile = hardening.maxDescriptors === undefined ? [] : [`--nofile=${hardening.maxDescriptors}`]
  const chain = [
    ...(hardening.prlimit === undefined ? [] : [hardening.prlimit, '--core=0', ...nofile, '--']),
    ...(hardening.setpriv === undefined ? [] : [hardening.setpriv, '--pdeathsig', 'KILL', '--no-new-privs', '--']),
    process.execPath,
    ...node,
  ]
  return { file: chain[0] ?? process.execPath, args: chain.slice(1) }
}

/**
 * Node compares paths as they are written, links unresolved: `dir` must be the one that the paths of the files begin
 * with. A star in it stands for any text (tried on 22, 24 and 26; nothing else is special).
 */
function permissionFlags(script: string, dir: string | undefined): string[] {
  const below = dir === undefined ? [] : [join(dir, '*')]
  return [
    '--permission',
    ...[script, ...below].map((path) => `--allow-fs-read=${path}`),
    ...below.map((path) => `--allow-fs-write=${path}`),
    // Node 26 denies the network too unless told; older ones do not know the flag and refuse to start with it.
    ...(process.allowedNodeEnvironmentFlags.has('--allow-net') ? ['--allow-net'] : []),
  ]
}

export function childEnvironment(): Record<string, string> {
  return Object.fromEntries(
    ENV_ALLOWED.flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )
}
