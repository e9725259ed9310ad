// What a program may ask of a run. Knows nothing of what comes of it.

import type { AuthMode, UserPassword } from './core/credentials.ts'
import type { RunEvent } from './core/event.ts'
import type { IsolationName } from './core/isolation-name.ts'

/**
 * All that can be asked of a run. Times are milliseconds, sizes bytes, both whole numbers. No configuration file is
 * read, and of the environment neither options nor proxies count.
 *
 * @example
 * const options: DownloadOptions = { dir: 'pdf', jobs: 16, timeoutMs: 30_000, headers: { 'X-Team': 'archive' } }
 */
export interface DownloadOptions {
  /** Where the files go; made if it is not there. The current directory by default. */
  readonly dir?: string | undefined
  /** How files are named: `flat` (default) `file`, `tree` `host/path/file`, `host` `host__path__file`. */
  readonly names?: 'flat' | 'tree' | 'host' | undefined
  /** The query is part of a file's name. Default: false. */
  readonly queryNames?: boolean | undefined
  /** Two URLs, one name: `fail` (default) before a byte moves, or `rename`. */
  readonly onClash?: 'fail' | 'rename' | undefined
  /** Jobs that are wrong fail by themselves instead of keeping all others from starting. Default: false. */
  readonly keepGoing?: boolean | undefined
  /**
   * Ends the run: its children are stopped and joined, what is there of files is kept. The rows still come, as
   * `cancelled` and `not-started`, and the report resolves; only while the jobs are still being read there is nothing
   * to report, and it rejects with the signal's reason.
   */
  readonly signal?: AbortSignal | undefined
  /**
   * Hears everything that happens, as the command line's run log does, at once and in order. What it throws ends the
   * run and is what the report rejects with.
   */
  readonly onEvent?: ((event: RunEvent) => void) | undefined

  /**
   * What keeps downloads apart. `auto` (default): a process each up to 100 jobs, beyond that a pool of processes. What
   * hangs in native code can be ended in these only: under `thread` and `inline` it keeps the program from leaving.
   */
  readonly isolate?: 'auto' | IsolationName | undefined
  /** Processes run under Node's permission model. Default: where this Node can. */
  readonly isStrict?: boolean | undefined
  /** Transfers at once. Default: 8. */
  readonly jobs?: number | undefined
  /** Transfers at once from one host. Default: 6. */
  readonly maxPerHost?: number | undefined
  /** Children at once for one file, when slots are idle; 1: never. Default: 4. */
  readonly split?: number | undefined
  /** What a further child must have to bring. Default: 16 MiB. */
  readonly minSplitBytes?: number | undefined
  /** For the whole run. Default: as fast as it comes. */
  readonly limitBytesPerSecond?: number | undefined
  /** Between two starts at one host, on average. Default: 0. */
  readonly waitMs?: number | undefined

  /** Attempts for what may pass by itself. Default: 5. */
  readonly tries?: number | undefined
  /** The first wait; the next are 4, 16, 64 times as long. Default: 2 s. */
  readonly retryDelayMs?: number | undefined
  /** A longer `Retry-After` fails the job. Default: 10 min. */
  readonly retryAfterMaxMs?: number | undefined
  /** For name, connection and TLS together. Default: 30 s. */
  readonly connectTimeoutMs?: number | undefined
  /** No body bytes for this long end an attempt; headers get five times as long. Default: 60 s. */
  readonly timeoutMs?: number | undefined
  /** Slower than this over {@link speedWindowMs} ends an attempt; 0: never. Default: 1,024. */
  readonly minBytesPerSecond?: number | undefined
  /** Default: 10 min. */
  readonly speedWindowMs?: number | undefined
  /** For one job with all its attempts. Default: none. */
  readonly deadlineMs?: number | undefined
  /** For the whole run, the reading of the jobs included. Default: none. */
  readonly runDeadlineMs?: number | undefined
  /** A child that gives no sign of life for this long is ended. Default: 30 s. */
  readonly hangTimeoutMs?: number | undefined
  /** Between SIGTERM and SIGKILL. Default: 5 s. */
  readonly killAfterMs?: number | undefined

  /** Of one child. Default: 256 MiB. */
  readonly maxMemoryBytes?: number | undefined
  /** Larger files are refused. Default: none are. */
  readonly maxFileSizeBytes?: number | undefined
  /** The run stops before the disk has less. Default: the lesser of 1 GiB and 5 %. */
  readonly minDiskFreeBytes?: number | undefined
  /** Default: 20. */
  readonly maxRedirects?: number | undefined

  /**
   * A file that exists: `ask` (default) the server whether one of mpdl's changed, `newer`: also whether a foreign one
   * did, `force`: download it, `skip`: leave it alone.
   */
  readonly existing?: 'ask' | 'newer' | 'force' | 'skip' | undefined
  /** Partial files of other tools are continued. Default: false. */
  readonly adoptForeign?: boolean | undefined
  /** The server may name the file. Default: false. */
  readonly serverNames?: boolean | undefined
  /** Media types, lower-case, `image/*` for all of a kind; others are refused. Default: any. */
  readonly acceptTypes?: readonly string[] | undefined
  /** Bodies may come compressed and are unpacked; without resume. Default: false. */
  readonly decodes?: boolean | undefined
  /** On the disk before a file gets its name (`file`, default), once at the end (`run`), or never. */
  readonly fsync?: 'file' | 'run' | 'none' | undefined
  /** Files get the server's Last-Modified. Default: true. */
  readonly setMtime?: boolean | undefined
  /** Where mpdl remembers what it left. Default: as the XDG directories say. */
  readonly stateDir?: string | undefined

  /** Sent to each job's own origin only; by name, or as lines `Name: value`. */
  readonly headers?: Readonly<Record<string, string>> | readonly string[] | undefined
  /** Default: `mpdl/VERSION`. */
  readonly userAgent?: string | undefined
  /** For all jobs that name no others, each job's own origin only. */
  readonly credentials?: UserPassword | undefined
  /** Default: Basic at once, Digest where it is asked for. */
  readonly auth?: AuthMode | undefined
  /** A netrc file to log in with. Default: none. */
  readonly netrc?: string | undefined
  /** `run`: kept while it lasts; `file`: in a cookies.txt as well. Default: `off`. */
  readonly cookies?: 'off' | 'run' | { readonly file: string } | undefined
  /** `http://`, `https://`, `socks5://` or `socks5h://`. Default: none, whatever the environment says. */
  readonly proxy?: string | undefined
  /** Hosts that are asked directly all the same, with commas between them, as in the variable of that name. */
  readonly noProxy?: string | undefined
  /** Connections to public addresses only. Default: false. */
  readonly blocksPrivate?: boolean | undefined
  /** Certificates to trust besides Node's own, as PEM. */
  readonly ca?: string | undefined
  /** As PEM; shown to each job's own origin only. */
  readonly clientCertificate?: { readonly cert: string; readonly key: string } | undefined
  /** Servers' certificates are not verified: anybody on the way can read and change everything. Default: false. */
  readonly isInsecure?: boolean | undefined
}
