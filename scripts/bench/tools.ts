// Who downloads: mpdl in each of its modes, and what one would use instead, with the command line of each. Data; knows
// nothing of what it comes to.

import type { Place, Shape } from './workloads.ts'

export type ToolKind = 'mpdl' | 'peer' | 'floor'

export interface Tool {
  readonly name: string
  readonly kind: ToolKind
  /** Must all be in PATH; `{node}` is. */
  readonly programs: readonly string[]
  readonly version: string
  /**
   * Words with these places in them: `{n}` connections, `{n16}` the same but at most 16, `{list}` a URL a line,
   * `{curlrc}` the list as curl reads it, `{url}` the first, `{out}` where files go, `{home}`, `{ca}` who
   * vouches for the server. Left out: it cannot do that.
   */
  readonly commands: Readonly<Partial<Record<Shape, string>>>
  /** What is added to a command where the server speaks TLS. */
  readonly tls?: string
  readonly places?: readonly Place[]
}

const MPDL = '{node} {mpdl} {list} -d {out} --log-dir {home}'

function mpdl(name: string, isolation: string, more: Partial<Tool> & { readonly extra?: string } = {}): Tool {
  const { extra = '', ...rest } = more
  const command = (split: string) =>
    `${MPDL} -j {n} --max-per-host {n} ${split} --isolate ${isolation}${extra} --no-config --progress none`
  return {
    name,
    kind: 'mpdl',
    programs: [],
    version: '{node} {mpdl} --version',
    commands: { list: command('-s 1'), one: command('-s 1'), split: command('-s {n} -k 1M') },
    tls: '--cacert {ca}',
    ...rest,
  }
}

const ARIA2C = 'aria2c -q --no-conf --file-allocation=none'
const CURL = 'curl -q -sS -f --output-dir {out}'
const WGET = 'wget -q --no-config --no-hsts -P {out}'
const WGET2 = 'wget2 -q --no-config --no-hsts --max-threads={n} -P {out}'
const AXEL = 'axel -q -n {n} -o {out} {url}'
const LFTP = `lftp --norc -c 'set ssl:ca-file "{ca}"; pget -n {n} -O {out} {url}'`

export const TOOLS: readonly Tool[] = [
  mpdl('mpdl-process', 'process'),
  mpdl('mpdl-pool', 'pool'),
  // Where the disk counts: what it costs that a file is durable before it gets its name.
  mpdl('mpdl-pool-nosync', 'pool', { extra: ' --fsync none', places: ['disk'] }),
  mpdl('mpdl-thread', 'thread'),
  mpdl('mpdl-inline', 'inline'),
  {
    name: 'curl',
    kind: 'peer',
    programs: ['curl'],
    version: 'curl --version',
    commands: { list: `${CURL} --parallel --parallel-max {n} --remote-name-all -K {curlrc}`, one: `${CURL} -O {url}` },
    tls: '--cacert {ca}',
  },
  {
    name: 'aria2c',
    kind: 'peer',
    programs: ['aria2c'],
    version: 'aria2c --version',
    commands: {
      // Deferred: else it holds 11 KiB for each line, and a million lines would fill the machine.
      list: `${ARIA2C} -x 1 -s 1 -j {n} -d {out} --deferred-input -i {list}`,
      one: `${ARIA2C} -x 1 -s 1 -d {out} {url}`,
      split: `${ARIA2C} -x {n16} -s {n16} -k 1M -d {out} {url}`,
    },
    tls: '--ca-certificate={ca}',
  },
  {
    name: 'wget2',
    kind: 'peer',
    programs: ['wget2'],
    version: 'wget2 --version',
    // With --chunk-size it asked for one chunk after the other, on one connection: 32 s for `limited`.
    commands: { list: `${WGET2} -i {list}`, one: `${WGET2} {url}` },
    tls: '--ca-certificate={ca}',
  },
  {
    name: 'wget',
    kind: 'peer',
    programs: ['wget'],
    version: 'wget --version',
    commands: { list: `${WGET} -i {list}`, one: `${WGET} {url}` },
    tls: '--ca-certificate={ca}',
  },
  {
    name: 'axel',
    kind: 'peer',
    programs: ['axel'],
    version: 'axel --version',
    commands: { one: AXEL, split: AXEL },
    // It would look for a name in the certificate, and the server has only a number.
    tls: '--insecure',
  },
  {
    name: 'lftp',
    kind: 'peer',
    programs: ['lftp'],
    version: 'lftp --version',
    commands: { one: LFTP, split: LFTP },
  },
  {
    name: 'xargs-curl',
    kind: 'peer',
    programs: ['xargs', 'curl'],
    version: 'xargs --version',
    commands: { list: `xargs -a {list} -P {n} -n 1 ${CURL} -O` },
    tls: '--cacert {ca}',
  },
]

const WORD = /'([^']*)'|\S+/g

/** A command's words. Quotes hold one together, and the places in it are filled afterwards. */
export function wordsOf(command: string, places: Readonly<Record<string, string>>): string[] {
  return [...command.matchAll(WORD)].map(([word, quoted = word]) =>
    quoted.replace(/\{(\w+)\}/g, (place, name: string) => places[name] ?? place),
  )
}

/** As it is shown: what is the same in every run of a workload is filled in. */
export function shownCommand(command: string, connections: number): string {
  return command
    .replaceAll('{n}', String(connections))
    .replaceAll('{n16}', String(Math.min(16, connections)))
    .replace('{node} {mpdl}', 'mpdl')
    .replace('{node}', 'node')
}
