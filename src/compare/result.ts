// What a comparison found: the one shape behind the terminal's tables, compare.json and the page. Times are ms since the
// epoch where they say `at` or `started`, durations carry their unit.

/** From the strongest isolation to the weakest; `sequential` is inline with one job at a time. */
export const COMPARE_MODES = ['process', 'pool', 'thread', 'inline', 'sequential'] as const
export type CompareMode = (typeof COMPARE_MODES)[number]

/** Of several runs. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memory_bytes: number
  readonly system: string
  readonly node: string
}

/** One attempt in a lane of its own time line: lanes are slots, numbered from 0. */
export interface LaneBar {
  readonly lane: number
  readonly line: number
  readonly name: string
  /** Ms since the run began. */
  readonly from_ms: number
  readonly to_ms: number
  /** It was busy starting until then; equal to `from_ms` where that is not known. */
  readonly ready_ms: number
  readonly result: 'done' | 'unchanged' | 'failed' | 'killed' | 'crashed'
  readonly is_retry: boolean
}

export interface ModeCost {
  readonly mode: CompareMode
  readonly wall_ms: Spread
  readonly files_per_s: Spread
  readonly bytes_per_s: Spread
  /** User and system time of the whole tree. */
  readonly cpu_ms: Spread
  /** Proportional set size of the whole tree at its peak; null where this system does not tell. */
  readonly peak_pss_bytes: Spread | null
  /** From the start of the run to the first response that was accepted. */
  readonly first_byte_ms: Spread
  /** From the order to the unit's first word: a process, a thread, or nothing at all. */
  readonly unit_start_ms: Spread | null
  /** Median wall time over that of `sequential`; null where that did not run. */
  readonly ratio_to_sequential: number | null
  /** CPU time a URL costs more than inline. */
  readonly isolation_cpu_ms_per_url: number | null
  /** The one number: the cost of isolation per URL over the median download time. */
  readonly isolation_share: number | null
  /** Of the run with the median wall time. */
  readonly lanes: readonly LaneBar[]
}

/** The bands of the matrix, from what everything survives to what only a process survives. */
export const FAULT_BANDS = ['polite', 'javascript', 'machine'] as const
export type FaultBand = (typeof FAULT_BANDS)[number]

/** `well`: it came to its end and told the truth; `lied`: it came to its end and said more than is there. */
export type RunFate = 'well' | 'died' | 'never-ended' | 'lied'

/** How the report leads to the download that went wrong. */
export type Culprit = 'named' | 'after-quarantine' | 'suspects-only' | 'not'

export interface KillMoment {
  /** Ms since the fault, or since the run began where its moment is not known. */
  readonly at_ms: number
  readonly what: 'fault' | 'noticed' | 'SIGTERM' | 'SIGKILL' | 'joined' | 'retried' | 'run-ended' | 'given-up'
  readonly text: string
}

export interface FaultCell {
  readonly mode: CompareMode
  /** Files that are whole when every job had one attempt, by their hashes. */
  readonly files_first: number
  /** And after retries. */
  readonly files_final: number
  readonly fate: RunFate
  readonly exit_code: number | null
  readonly signal: string | null
  readonly culprit: Culprit
  /** From the fault to the supervisor's first act on it; null where it never noticed. */
  readonly noticed_ms: number | null
  /** Processes of the run that outlived it, as a scan of /proc saw them. */
  readonly left_behind: readonly { readonly pid: number; readonly name: string }[]
  readonly kill_timeline: readonly KillMoment[]
  /** Lines of the run's own log about the culprit, redacted as logs are. */
  readonly log: readonly string[]
}

export interface FaultRow {
  readonly fault: string
  /** A few words for people. */
  readonly title: string
  readonly band: FaultBand
  readonly cells: readonly FaultCell[]
}

export interface FaultMatrix {
  /** Files of the list. */
  readonly files: number
  /** The line that goes wrong. */
  readonly line: number
  readonly modes: readonly CompareMode[]
  readonly rows: readonly FaultRow[]
}

/** Which bytes of one file were there, `[from, to)` each. */
export interface SegmentMap {
  readonly label: string
  readonly size_bytes: number
  readonly ranges: readonly (readonly [number, number])[]
}

export interface ConnectionsResult {
  readonly size_bytes: number
  readonly rows: readonly {
    readonly connections: number
    /** Per connection; null: as fast as it comes. */
    readonly limit_bytes_per_s: number | null
    readonly wall_ms: Spread
    readonly bytes_per_s: number
  }[]
  /** Before the kill, after it, and when it was whole. */
  readonly maps: readonly SegmentMap[]
  /** Bytes that were fetched twice because of the kill. */
  readonly refetched_bytes: number
}

export interface Demonstrations {
  /** The same work for the processor in every job: how many cores it kept busy. */
  readonly cpu_bound: readonly {
    readonly mode: CompareMode
    readonly wall_ms: number
    readonly cpu_ms: number
    readonly busy_cores: number
  }[]
  /** A lock that its holder never gave back because it was ended. */
  readonly killed_lock_holder: readonly {
    readonly mode: 'process' | 'thread'
    readonly is_still_locked: boolean
    readonly text: string
  }[]
  readonly connections: ConnectionsResult
}

export interface Comparison {
  readonly schema: 1
  readonly version: string
  readonly started: number
  readonly ended: number
  readonly machine: Machine
  /** Redacted. */
  readonly argv: readonly string[]
  readonly list: {
    readonly name: string
    readonly jobs: number
    readonly bytes: number
    /** Of the sample origin; null for a list of the user's. */
    readonly latency_ms: number | null
  }
  readonly jobs: number
  readonly repeat: number
  /** What it comes to, in one sentence with its numbers. */
  readonly sentence: string
  /** In the order of {@link COMPARE_MODES}; empty where only faults were asked for. */
  readonly costs: readonly ModeCost[]
  readonly faults: FaultMatrix | null
  readonly demonstrations: Demonstrations | null
  /** What even processes do not solve. */
  readonly not_solved: readonly string[]
}
