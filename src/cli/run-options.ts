// The options of a run: names, defaults and the help that teaches them. Knows nothing of how a run is done.

import { Command, Option } from 'commander'
import { AUTH_MODES, type AuthMode } from '../core/credentials.ts'
import type { HaltRule } from '../core/halt.ts'
import { ISOLATIONS, type IsolationName, MOST_JOBS_BY_PROCESS } from '../core/isolation-name.ts'
import { DEFAULTS } from '../supervisor/settings.ts'
import type { GivenUser, Injection, MinSpeed } from './values.ts'
import {
  duration,
  haltRule,
  headerLine,
  injection,
  integer,
  mediaTypes,
  metricsPath,
  minSpeed,
  outPattern,
  proxy,
  reportPath,
  size,
  unlikeCurl,
  userAgent,
  userPassword,
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
  readonly isolate: 'auto' | IsolationName
  readonly sandbox?: 'strict' | 'off'
  readonly tries: number
  readonly retryDelay: number
  readonly retryAfterMax: number
  readonly connectTimeout: number
  readonly timeout: number
  readonly minSpeed: MinSpeed
  readonly deadline?: number
  readonly runDeadline?: number
  readonly halt?: HaltRule
  readonly lockWait?: number
  readonly maxMemory: number
  readonly maxFilesize?: number
  readonly minDiskFree?: number
  readonly maxRedirects: number
  readonly header?: readonly [string, string][]
  readonly userAgent?: string
  readonly user?: GivenUser
  readonly auth?: Exclude<AuthMode, 'default'>
  readonly netrc?: boolean
  readonly netrcFile?: string
  readonly cookies?: boolean
  readonly cookieJar?: string
  /** False: directly, whatever the environment says. */
  readonly proxy?: string | false
  readonly blockPrivate?: boolean
  readonly cacert?: string
  readonly cert?: string
  readonly key?: string
  readonly insecure?: boolean
  readonly wait?: number
  readonly compressed?: boolean
  readonly acceptType?: readonly string[]
  readonly contentDisposition?: boolean
  readonly names: 'flat' | 'tree' | 'host'
  readonly queryNames?: boolean
  readonly onClash: 'fail' | 'rename'
  readonly force?: boolean
  readonly skipExisting?: boolean
  readonly timestamping?: boolean
  readonly fsync: 'file' | 'run' | 'none'
  readonly mtime: boolean
  readonly keepGoing?: boolean
  readonly quiet?: boolean
  readonly verbose?: boolean
  readonly progress: 'auto' | 'tty' | 'lines' | 'none'
  readonly json?: boolean
  readonly report?: readonly string[]
  readonly failedOut?: string
  readonly notify: 'trouble' | 'changes'
  readonly metrics?: string
  readonly onFinish?: string
  readonly onFinishTimeout: number
  readonly dryRun?: boolean
  readonly logDir?: string
  readonly logKeep: number
  readonly log: boolean
  readonly hangTimeout: number
  readonly killAfter: number
  readonly inject?: readonly Injection[]
  /** False: none, not even the one beside the list. */
  readonly config?: string | false
}

type Names = ReadonlySet<string>
const names = (...each: readonly (keyof RawRunOptions)[]): Names => new Set(each)

/** Whose every use adds to the last. */
export const REPEATABLE = names('header', 'report', 'acceptType', 'inject')
/** Whose value nobody else may read. */
export const SECRET = names('header', 'user', 'proxy')
/** Of which a run can have one. */
export const EXCLUSIVE = names('timestamping', 'force', 'skipExisting')

export const HELP_GROUP = 'Help:'

const DEFAULT_HOOK_MS = 60_000

const advanced = (option: Option) => option.hideHelp()

/** `all`: also show what few people need. */
export function addRunOptions(command: Command, all: boolean): Command {
  const add = (flags: string, text: string) => new Option(flags, text)
  const groups: Readonly<Record<string, readonly Option[]>> = {
    Files: [
      add('-d, --dir <DIR>', 'where the files go').default('.'),
      add('-o, --out <NAME>', 'name of the file; with %n for several: image-%n.jpg').argParser(outPattern),
      add('--names <HOW>', 'flat: file; tree: host/path/file; host: host__path__file')
        .choices(['flat', 'tree', 'host'])
        .default('flat'),
      add('--query-names', 'keep the query in names'),
      add('--content-disposition', 'take the name that the server suggests, made safe'),
      add('--on-clash <HOW>', 'two URLs, one name: fail before a byte moves, or rename to name.1.ext')
        .choices(['fail', 'rename'])
        .default('fail'),
      add(
        '-N, --timestamping',
        'ask also whether files that mpdl did not fetch have changed, by time and size',
      ).conflicts(['force', 'skipExisting']),
      add('--force', 'download even what has not changed').conflicts('skipExisting'),
      add('--skip-existing', 'never touch a file that exists'),
      add('-c, --continue', "go on with other tools' partial files too; mpdl's own are continued anyway"),
      add('--max-filesize <SIZE>', 'larger files are refused').argParser(size(1)),
      add('--accept-type <TYPES>', 'other types are refused: application/pdf,image/*; repeatable').argParser(
        mediaTypes,
      ),
      advanced(
        add('--min-disk-free <SIZE>', 'stop before the disk has less (default: the lesser of 1G and 5 %)').argParser(
          size(0),
        ),
      ),
      advanced(
        add('--fsync <HOW>', 'durable before a file gets its name, once at the end, or never')
          .choices(['file', 'run', 'none'])
          .default(DEFAULTS.fsync),
      ),
      advanced(add('--no-mtime', "do not take over the server's Last-Modified")),
    ],
    'How much at once': [
      add('-j, --jobs <N>', 'transfers at once').default(DEFAULTS.jobs).argParser(integer(1, 1000)),
      add('--max-per-host <N>', 'transfers at once from one host')
        .default(DEFAULTS.maxPerHost)
        .argParser(integer(1, 1000)),
      add('-s, --split <N>', 'children at once for one file, when slots are idle; 1: never')
        .default(DEFAULTS.split)
        .argParser(unlikeCurl(integer(1, 1000), "curl's -s is -q.")),
      add('-k, --min-split-size <SIZE>', 'a further child must have this much to bring')
        .default(DEFAULTS.minSplitBytes, '16M')
        .argParser(unlikeCurl(size(2 ** 20), "curl's -k is --insecure; better trust your own CA with --cacert FILE.")),
      add('--limit-rate <SPEED>', 'bytes a second for the whole run, like 500K').argParser(size(1024)),
      add('-w, --wait <DUR>', 'between two starts at one host: half to one and a half times as long').argParser(
        unlikeCurl(duration(0), "curl's -w is --json here."),
      ),
    ],
    'How long, how often': [
      add('-t, --tries <N>', 'attempts for what may pass by itself')
        .default(DEFAULTS.tries)
        .argParser(integer(1, 1000)),
      add('-T, --timeout <DUR>', 'no body bytes for this long ends an attempt; headers get 5 times as long')
        .default(DEFAULTS.timeoutMs, '60s')
        .argParser(duration(1)),
      add('--connect-timeout <DUR>', 'for name, connection and TLS together')
        .default(DEFAULTS.connectTimeoutMs, '30s')
        .argParser(duration(1)),
      add('--deadline <DUR>', 'for one job, all attempts and waits together').argParser(duration(1)),
      add(
        '--run-deadline <DUR>',
        'for the whole run; the next one begins with what had not started, then with what failed',
      ).argParser(duration(1)),
      add(
        '--halt <RULE>',
        'soon,fail=10%: begin nothing more once so many failed; now,fail=3: end what runs too',
      ).argParser(haltRule),
      add('--min-speed <SPEED>', 'slower over the window ends an attempt; off')
        .default({ bytesPerSecond: DEFAULTS.minBytesPerSecond, windowMs: DEFAULTS.speedWindowMs }, '1K/10m')
        .argParser(minSpeed),
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
        add('--hang-timeout <DUR>', 'no heartbeat for this long ends a child')
          .default(DEFAULTS.hangTimeoutMs, '30s')
          .argParser(duration(2000)),
      ),
      advanced(
        add('--kill-after <DUR>', 'grace between SIGTERM and SIGKILL')
          .default(DEFAULTS.killAfterMs, '5s')
          .argParser(duration(0)),
      ),
    ],
    "What servers are told, each URL's own origin only": [
      add('-H, --header <LINE>', '"Name: value"; repeatable').argParser(headerLine),
      add('-A, --user-agent <NAME>', 'instead of mpdl/VERSION').argParser(userAgent),
      add('-u, --user <USER[:PASSWORD]>', 'log in; without :PASSWORD it is asked for').argParser(userPassword),
      advanced(
        add('--auth <HOW>', 'how: any, basic or digest (default: Basic at once, Digest where asked)').choices(
          AUTH_MODES.filter((mode) => mode !== 'default'),
        ),
      ),
      add('--netrc', 'log in with what ~/.netrc holds for the host'),
      advanced(add('--netrc-file <FILE>', 'with what this file holds')),
      add('--cookies', 'keep cookies during the run'),
      add('--cookie-jar <FILE>', 'and load them from and save them to this file (cookies.txt)'),
      add('--compressed', 'let bodies come compressed and unpack them; without resume'),
    ],
    'The way there': [
      add(
        '--proxy <URL>',
        'http://, https://, socks5:// or socks5h:// (it looks names up); default: environment',
      ).argParser(proxy),
      advanced(add('--no-proxy', 'no proxy, whatever the environment says')),
      add('--cacert <FILE>', 'trust these certificates (PEM) as well'),
      advanced(add('--cert <FILE>', "show this certificate (PEM) to each URL's own origin")),
      advanced(add('--key <FILE>', 'its key (PEM), unless it is in the same file')),
      advanced(add('--insecure', 'do not verify certificates: anybody on the way can read and change everything')),
      advanced(add('--block-private', 'connect to public addresses only, also after redirects')),
      advanced(
        add('--max-redirects <N>', 'follow at most N').default(DEFAULTS.maxRedirects).argParser(integer(0, 1000)),
      ),
    ],
    'What you see': [
      add('-n, --dry-run', 'show the plan and download nothing'),
      add('-q, --quiet', 'say only what went wrong'),
      add('-v, --verbose', 'a line as each child starts'),
      add('--progress <HOW>', 'auto, tty, lines or none').choices(['auto', 'tty', 'lines', 'none']).default('auto'),
      add('--json', 'the report as JSON on standard output'),
      add('--report <FILE>', 'write the report to FILE.html, FILE.json or FILE.txt; repeatable').argParser(reportPath),
      add('--failed-out <FILE>', 'write the list entries that did not succeed or start, as a list'),
      add('--notify <WHAT>', 'without a terminal, speak of all trouble, or of changes since the last run only')
        .choices(['trouble', 'changes'])
        .default('trouble'),
      add('--metrics <FILE>', "write FILE.prom for the textfile collector of Prometheus' node_exporter").argParser(
        metricsPath,
      ),
      advanced(add('--log-dir <DIR>', 'where run logs go')),
      advanced(add('--log-keep <N>', 'how many logs of this list are kept').default(30).argParser(integer(1, 100_000))),
      advanced(add('--no-log', 'keep no log')),
    ],
    'The run': [
      add('--keep-going', 'skip bad lines of the list; they count as failed'),
      add(
        '--lock-wait <DUR>',
        'wait so long for another run of this list into this directory (default: exit 75)',
      ).argParser(duration(0)),
      add(
        '--on-finish <PROGRAM>',
        'run it once at the end, without a shell; what happened is in its environment: MPDL_RUN_SUMMARY and the like',
      ),
      advanced(
        add('--on-finish-timeout <DUR>', 'how long it may take').default(DEFAULT_HOOK_MS, '1m').argParser(duration(1)),
      ),
      add('--config <FILE>', 'options from a TOML file (default: mpdl.toml beside the list)'),
      advanced(add('--no-config', 'not even from the one beside the list')),
      add(
        '--isolate <HOW>',
        `what keeps downloads apart: a process each, a pool of processes, a thread each, or inline: nothing; auto: process up to ${MOST_JOBS_BY_PROCESS} jobs, then pool`,
      )
        .choices(['auto', ...ISOLATIONS])
        .default(DEFAULTS.isolate),
      advanced(
        add(
          '--sandbox <HOW>',
          'strict: a process may touch its one file only, one of a pool those below --dir',
        ).choices(['strict', 'off']),
      ),
      advanced(
        add('--max-memory <SIZE>', 'of one child: heap and resident memory')
          .default(DEFAULTS.maxMemoryBytes, '256M')
          .argParser(size(64 * 2 ** 20)),
      ),
      advanced(add('--inject <KIND@LINE>', 'rehearse a failure; repeatable (see README)').argParser(injection)),
    ],
  }
  for (const [heading, options] of Object.entries(groups)) {
    for (const option of options) {
      if (all) option.hidden = false
      command.addOption(option.helpGroup(`${heading}:`))
    }
  }
  return command.addHelpOption(new Option('-h, --help', 'this help').helpGroup(HELP_GROUP))
}

/** All of them, whatever a command takes. */
export const RUN_OPTIONS: readonly Option[] = addRunOptions(new Command(), true).options

/** Letters that people know from curl or wget and that mean nothing, or something else, here. */
export const FOREIGN_OPTIONS: Readonly<Record<string, string>> = {
  '-O': 'curl -O is what mpdl does anyway; wget -O FILE is -o FILE',
  '-J': 'curl -J is --content-disposition',
  '-L': 'redirects are followed anyway (--max-redirects N)',
  '-r': 'mpdl does not follow links in pages; curl -r ranges are not supported',
  '-P': 'wget -P DIR is -d DIR',
  '-i': 'wget -i LIST: give the list as an operand',
  '-x': 'curl -x is --proxy URL; aria2 -x N is --max-per-host N',
  '-U': 'curl -U: write the credentials into the URL of --proxy; wget -U is -A',
  '-C': 'an interrupted download is continued by itself',
  '-f': 'an HTTP error always fails the job',
  '-S': 'errors are always shown',
  '-Z': 'downloads run in parallel anyway (-j N)',
  '-m': 'curl -m is --deadline DUR',
  '-b': '--cookie-jar FILE loads and saves cookies, --cookies keeps them for the run; -H "Cookie: …" sends one',
  '-e': '-H "Referer: …"',
  '-E': 'curl -E is --cert FILE',
  '-z': 'curl -z is -N; what mpdl fetched before is asked about anyway',
  '-K': 'curl -K is --config FILE (TOML)',
  '--output': '-o or --out',
  '--location': 'redirects are followed anyway (--max-redirects N)',
  '--remote-header-name': '--content-disposition',
  '--time-cond': '-N',
  '--conditional-get': '-N',
  '--no-clobber': '--skip-existing',
  '--allow-overwrite': '--force',
  '--retry': '--tries N (the first attempt counts)',
  '--max-tries': '--tries N',
  '--retry-wait': '--retry-delay DUR',
  '--waitretry': '--retry-delay DUR',
  '--random-wait': '--wait DUR is spread at random anyway',
  '--max-time': '--deadline DUR',
  '--parallel': '--jobs N',
  '--max-concurrent-downloads': '--jobs N',
  '--max-connection-per-server': '--max-per-host N',
  '--input-file': 'give the list as an operand',
  '--directory-prefix': '--dir DIR',
  '--anyauth': '--auth any',
  '--digest': '--auth digest',
  '--basic': '--auth basic',
  '--http-user': '-u USER:PASSWORD, or user= in the list',
  '--http-passwd': '-u USER:PASSWORD, or password= in the list',
  '--http-password': '-u USER:PASSWORD, or password= in the list',
  '--password': '-u USER:PASSWORD, or password= in the list',
  '--ask-password': '-u USER asks for the password',
  '--netrc-path': '--netrc-file FILE',
  '--netrc-optional': '--netrc; it needs no entry for a host',
  '--cookie': '--cookie-jar FILE loads and saves cookies; -H "Cookie: …" sends one',
  '--load-cookies': '--cookie-jar FILE, which also saves them',
  '--save-cookies': '--cookie-jar FILE, which also loads them',
  '--keep-session-cookies': '--cookie-jar FILE',
  '--junk-session-cookies': '--cookies begins with none',
  '--no-cookies': 'cookies are off unless --cookies or --cookie-jar is given',
  '--all-proxy': '--proxy URL',
  '--http-proxy': '--proxy URL',
  '--https-proxy': '--proxy URL',
  '--preproxy': 'one proxy only: --proxy URL',
  '--socks5': '--proxy socks5://HOST:PORT',
  '--socks5-hostname': '--proxy socks5h://HOST:PORT',
  '--proxy-user': 'write the credentials into the URL of --proxy',
  '--proxy-password': 'write the credentials into the URL of --proxy',
  '--noproxy': '--no-proxy, or NO_PROXY=HOSTS in the environment',
  '--no-check-certificate': '--insecure; better trust your own CA with --cacert FILE',
  '--check-certificate': '--insecure; better trust your own CA with --cacert FILE',
  '--ca-certificate': '--cacert FILE',
  '--certificate': '--cert FILE',
  '--private-key': '--key FILE',
  '--http-accept-gzip': '--compressed',
  '--compression': '--compressed',
  '--referer': '-H "Referer: …"',
  '--max-redirect': '--max-redirects N',
  '--max-redirs': '--max-redirects N',
  '--conf-path': '--config FILE (TOML)',
  '--no-conf': '--no-config',
}
