// The options of a run: names, defaults and the help that teaches them. Knows nothing of how a run is done.

import { type Command, Option } from 'commander'
import { DEFAULTS } from '../supervisor/settings.ts'
import type { Injection, MinSpeed } from './values.ts'
import {
  duration,
  headerLine,
  injection,
  integer,
  minSpeed,
  outPattern,
  reportPath,
  size,
  unlikeCurl,
  userAgent,
} from './values.ts'

/** What commander hands over; every value already validated. */
export interface RawRunOptions {
  readonly dir: string
  readonly out?: string
  readonly jobs: number
  readonly maxPerHost: number
  readonly split: number
  readonly minSplitSize: number
  readonly limitRate?: number
  readonly continue?: boolean
  readonly isolate: 'auto' | 'process'
  readonly sandbox?: 'strict' | 'off'
  readonly tries: number
  readonly retryDelay: number
  readonly retryAfterMax: number
  readonly connectTimeout: number
  readonly timeout: number
  readonly minSpeed: MinSpeed
  readonly deadline?: number
  readonly runDeadline?: number
  readonly maxMemory: number
  readonly maxFilesize?: number
  readonly minDiskFree?: number
  readonly maxRedirects: number
  readonly header?: readonly [string, string][]
  readonly userAgent?: string
  readonly cacert?: string
  readonly names: 'flat' | 'tree' | 'host'
  readonly queryNames?: boolean
  readonly onClash: 'fail' | 'rename'
  readonly force?: boolean
  readonly skipExisting?: boolean
  readonly fsync: 'file' | 'run' | 'none'
  readonly mtime: boolean
  readonly keepGoing?: boolean
  readonly quiet?: boolean
  readonly verbose?: boolean
  readonly progress: 'auto' | 'tty' | 'lines' | 'none'
  readonly json?: boolean
  readonly report?: readonly string[]
  readonly failedOut?: string
  readonly dryRun?: boolean
  readonly logDir?: string
  readonly logKeep: number
  readonly log: boolean
  readonly hangTimeout: number
  readonly killAfter: number
  readonly inject?: readonly Injection[]
}

const advanced = (option: Option) => option.hideHelp()

/** `all`: also show what few people need. */
export function addRunOptions(command: Command, all: boolean): Command {
  const add = (flags: string, text: string) => new Option(flags, text)
  const options: Option[] = [
    add('-d, --dir <DIR>', 'where the files go').default('.'),
    add('-o, --out <NAME>', 'name of the file; with %n for several: image-%n.jpg').argParser(outPattern),
    add('-j, --jobs <N>', 'transfers at once').default(DEFAULTS.jobs).argParser(integer(1, 1000)),
    add('--max-per-host <N>', 'transfers at once from one host')
      .default(DEFAULTS.maxPerHost)
      .argParser(integer(1, 1000)),
    add('-s, --split <N>', 'children at once for one file, when slots are idle; 1: never')
      .default(DEFAULTS.split)
      .argParser(unlikeCurl(integer(1, 1000), "curl's -s is -q.")),
    add('-k, --min-split-size <SIZE>', 'a further child must have this much to bring')
      .default(DEFAULTS.minSplitBytes, '16M')
      .argParser(unlikeCurl(size(2 ** 20), "curl's -k is not here; to trust your own CA use --cacert FILE.")),
    add('--limit-rate <SPEED>', 'bytes a second for the whole run, like 500K').argParser(size(1024)),
    add('-c, --continue', "go on with other tools' partial files too; mpdl's own are continued anyway"),
    add('-t, --tries <N>', 'attempts for what may pass by itself').default(DEFAULTS.tries).argParser(integer(1, 1000)),
    add('-T, --timeout <DUR>', 'no body bytes for this long ends an attempt; headers get 5 times as long')
      .default(DEFAULTS.timeoutMs, '60s')
      .argParser(duration(1)),
    add('--connect-timeout <DUR>', 'for name, connection and TLS together')
      .default(DEFAULTS.connectTimeoutMs, '30s')
      .argParser(duration(1)),
    add('--deadline <DUR>', 'for one job, all attempts and waits together').argParser(duration(1)),
    add('--run-deadline <DUR>', 'for the whole run; what has not started is not started').argParser(duration(1)),
    add('--min-speed <SPEED>', 'slower over the window ends an attempt; off')
      .default({ bytesPerSecond: DEFAULTS.minBytesPerSecond, windowMs: DEFAULTS.speedWindowMs }, '1K/10m')
      .argParser(minSpeed),
    add('--max-filesize <SIZE>', 'larger files are refused').argParser(size(1)),
    add('-H, --header <LINE>', '"Name: value", sent to the origin of each URL only; repeatable').argParser(headerLine),
    add('-A, --user-agent <NAME>', 'instead of mpdl/VERSION').argParser(userAgent),
    add('--cacert <FILE>', 'trust these certificates (PEM) as well'),
    add('--names <HOW>', 'flat: file; tree: host/path/file; host: host__path__file')
      .choices(['flat', 'tree', 'host'])
      .default('flat'),
    add('--query-names', 'keep the query in names'),
    add('--on-clash <HOW>', 'two URLs, one name: fail before a byte moves, or rename to name.1.ext')
      .choices(['fail', 'rename'])
      .default('fail'),
    add('--force', 'download even what has not changed').conflicts('skipExisting'),
    add('--skip-existing', 'never touch a file that exists'),
    add('--keep-going', 'skip bad lines of the list; they count as failed'),
    add('-n, --dry-run', 'show the plan and download nothing'),
    add('-q, --quiet', 'say only what went wrong'),
    add('-v, --verbose', 'a line as each child starts'),
    add('--progress <HOW>', 'auto, tty, lines or none').choices(['auto', 'tty', 'lines', 'none']).default('auto'),
    add('--json', 'the report as JSON on standard output'),
    add('--report <FILE>', 'write the report to FILE.json or FILE.txt; repeatable').argParser(reportPath),
    add('--failed-out <FILE>', 'write the list entries that did not succeed or start, as a list'),
    advanced(
      add('--isolate <HOW>', 'process: a fresh child for every attempt').choices(['auto', 'process']).default('auto'),
    ),
    advanced(add('--sandbox <HOW>', 'strict: a child may touch its one file only').choices(['strict', 'off'])),
    advanced(
      add('--retry-delay <DUR>', 'the first wait; then 4, 16, 64 times as long, at most 2m')
        .default(DEFAULTS.retryDelayMs, '2s')
        .argParser(duration(0)),
    ),
    advanced(
      add('--retry-after-max <DUR>', 'a longer Retry-After fails the job as "try later"')
        .default(DEFAULTS.retryAfterMaxMs, '10m')
        .argParser(duration(0)),
    ),
    advanced(
      add('--max-memory <SIZE>', 'of one child: heap and resident memory')
        .default(DEFAULTS.maxMemoryBytes, '256M')
        .argParser(size(64 * 2 ** 20)),
    ),
    advanced(
      add('--min-disk-free <SIZE>', 'stop before the disk has less (default: the lesser of 1G and 5 %)').argParser(
        size(0),
      ),
    ),
    advanced(add('--max-redirects <N>', 'follow at most N').default(DEFAULTS.maxRedirects).argParser(integer(0, 1000))),
    advanced(
      add('--fsync <HOW>', 'durable before a file gets its name, once at the end, or never')
        .choices(['file', 'run', 'none'])
        .default(DEFAULTS.fsync),
    ),
    advanced(add('--no-mtime', "do not take over the server's Last-Modified")),
    advanced(add('--log-dir <DIR>', 'where run logs go').env('MPDL_LOG_DIR')),
    advanced(add('--log-keep <N>', 'how many logs of this list are kept').default(30).argParser(integer(1, 100_000))),
    advanced(add('--no-log', 'keep no log')),
    advanced(
      add('--hang-timeout <DUR>', 'no heartbeat for this long ends a child')
        .default(DEFAULTS.hangTimeoutMs, '30s')
        .argParser(duration(2000)),
    ),
    advanced(
      add('--kill-after <DUR>', 'grace between SIGTERM and SIGKILL')
        .default(DEFAULTS.killAfterMs, '5s')
        .argParser(duration(0)),
    ),
    advanced(add('--inject <KIND@LINE>', 'rehearse a failure; repeatable (see README)').argParser(injection)),
  ]
  for (const option of options) {
    if (all) option.hidden = false
    command.addOption(option)
  }
  return command
}

/** Letters that people know from curl or wget and that mean nothing, or something else, here. */
export const FOREIGN_OPTIONS: Readonly<Record<string, string>> = {
  '-O': 'curl -O is what mpdl does anyway; wget -O FILE is -o FILE',
  '-L': 'redirects are followed anyway (--max-redirects N)',
  '-r': 'mpdl does not follow links in pages; curl -r ranges are not supported',
  '-P': 'wget -P DIR is -d DIR',
  '-i': 'wget -i LIST: give the list as an operand',
  '-x': 'aria2 -x N is --max-per-host N',
  '-C': 'an interrupted download is continued by itself',
  '-f': 'an HTTP error always fails the job',
  '-S': 'errors are always shown',
  '-Z': 'downloads run in parallel anyway (-j N)',
  '-m': 'curl -m is --deadline DUR',
  '-b': 'cookies are not supported yet; -H "Cookie: …" sends one',
  '-e': '-H "Referer: …"',
  '-u': 'user= and password= in the list, or https://user:password@host/',
  '-N': 'what has not changed is not downloaded again anyway',
  '--output': '-o or --out',
  '--location': 'redirects are followed anyway (--max-redirects N)',
  '--retry': '--tries N (the first attempt counts)',
  '--max-time': '--deadline DUR',
  '--parallel': '--jobs N',
  '--input-file': 'give the list as an operand',
  '--directory-prefix': '--dir DIR',
}
