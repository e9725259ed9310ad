// What is downloaded: how many files of which size, over which way and by how many connections. Data, and how it
// shrinks; knows nothing of who downloads it.

export type Place = 'tmpfs' | 'disk'

/** What a tool is asked for: a list of files, one file, or one file by several connections. */
export type Shape = 'list' | 'one' | 'split'

/** Of the way between server and tool. */
export interface LinkPace {
  /** Of a round trip. A connection costs one, each answer on it another. */
  readonly roundTripMs: number
  /** Of each connection; 0: as fast as it goes. */
  readonly bytesPerS: number
}

export type Way = 'plain' | 'tls' | LinkPace

export interface Workload {
  readonly name: string
  readonly about: string
  readonly shape: Shape
  readonly files: number
  readonly sizeBytes: number
  /** Directory of the server with the files. Workloads may share one. */
  readonly source: string
  /** At once, in all and to the one host, for every tool alike. */
  readonly connections: number
  readonly way: Way
  readonly places: readonly Place[]
  /** What no tool can be faster than; its command, as tools have theirs. */
  readonly floor?: Floor
}

export interface Floor {
  readonly name: string
  readonly command: string
  /** Whether the files are there afterwards. */
  readonly bringsFiles: boolean
}

const KIB = 2 ** 10
const MIB = 2 ** 20
const BOTH: readonly Place[] = ['tmpfs', 'disk']
const CP: Floor = { name: 'cp', command: 'cp -rT {source} {out}', bringsFiles: true }
const BARE_NODE: Floor = { name: 'node -e 0', command: '{node} -e 0', bringsFiles: false }
const LIMITED: LinkPace = { roundTripMs: 0, bytesPerS: 8 * MIB }
const DISTANT: LinkPace = { roundTripMs: 50, bytesPerS: 0 }

const one = { shape: 'one', files: 1, sizeBytes: 2048 * MIB, source: 'big', connections: 1, places: BOTH } as const
const limited = {
  shape: 'split',
  files: 1,
  sizeBytes: 256 * MIB,
  source: 'limited',
  way: LIMITED,
  places: ['tmpfs'],
} as const

export const WORKLOADS: readonly Workload[] = [
  { ...one, name: 'big', about: 'one file of 2 GiB', way: 'plain', floor: CP },
  {
    name: 'files',
    about: '16 files of 64 MiB',
    shape: 'list',
    files: 16,
    sizeBytes: 64 * MIB,
    source: 'files',
    connections: 4,
    way: 'plain',
    places: BOTH,
    floor: CP,
  },
  {
    name: 'small',
    about: '2,000 files of 16 KiB',
    shape: 'list',
    files: 2000,
    sizeBytes: 16 * KIB,
    source: 'small',
    connections: 16,
    way: 'plain',
    places: BOTH,
    floor: CP,
  },
  {
    name: 'five',
    about: '5 files of 200 KiB',
    shape: 'list',
    files: 5,
    sizeBytes: 200 * KIB,
    source: 'five',
    connections: 5,
    way: 'plain',
    places: ['tmpfs'],
    floor: BARE_NODE,
  },
  { ...limited, name: 'limited', about: '256 MiB at 8 MiB/s for each of 16 connections', connections: 16 },
  { ...limited, name: 'limited-32', about: 'the same by 32 connections', connections: 32 },
  {
    name: 'latency',
    about: '200 files of 256 KiB, 50 ms away',
    shape: 'list',
    files: 200,
    sizeBytes: 256 * KIB,
    source: 'latency',
    connections: 16,
    way: DISTANT,
    places: ['tmpfs'],
  },
  { ...one, name: 'tls', about: 'one file of 2 GiB over TLS', way: 'tls', places: ['tmpfs'] },
]

export const MILLION_LINES = 1_000_000

/** Below this a size is start-up time already, so there is nothing to shrink. */
const LARGE_BYTES = MIB
const FEW_FILES = 16

/** Large files get smaller, long lists shorter; a handful of small files stays. */
export function shrink(workload: Workload, scale: number): Workload {
  const { files, sizeBytes } = workload
  if (sizeBytes >= LARGE_BYTES) return { ...workload, sizeBytes: Math.max(1, Math.round(sizeBytes * scale)) }
  return files <= FEW_FILES ? workload : { ...workload, files: shrinkCount(files, scale) }
}

export const shrinkCount = (count: number, scale: number) => Math.max(1, Math.round(count * scale))

export const fileName = (n: number) => `f${String(n + 1).padStart(7, '0')}.bin`

export const namesOf = ({ files }: Pick<Workload, 'files'>) => Array.from({ length: files }, (_, n) => fileName(n))
