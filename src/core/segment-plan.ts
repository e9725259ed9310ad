// Decides how the missing bytes of one file are shared out among children: what a new one asks for, who gives up what
// for it, and where exactly it starts. Knows nothing of processes, servers or time.

import type { Range } from './segment.ts'
import { addRange, missingRanges, tiles, without } from './segment.ts'

/** What has to be done now, in this order. */
export type PlanStep =
  /** Tell the child to write nothing from here on; its answer goes to {@link SegmentPlan.limited}. */
  | { readonly do: 'limit'; readonly id: number; readonly endBytes: number }
  /** Its answer begins at the range it asked for: the first `skipBytes` are there already. */
  | { readonly do: 'receive'; readonly id: number; readonly range: Range; readonly skipBytes: number }
  /** Nothing is left for it. */
  | { readonly do: 'drop'; readonly id: number }

interface Segment {
  readonly id: number
  /** The next byte it brings; where it was asked to begin as long as it does not receive. */
  position: number
  end: number
  state: 'asking' | 'receiving'
  /** Who waits for this one's answers to `limit`, in the order they were sent. */
  readonly heirs: number[]
}

interface Piece {
  readonly range: Range
  /** Bytes a share of it must have to be worth another child. */
  readonly leastBytes: number
  readonly isOwned: boolean
  /** How many children share it, new ones included. */
  sharers: number
}

/**
 * The missing bytes of a file of `sizeBytes` (unknown: undefined, then there is one segment and no end) of which
 * `completed` are there. A child that receives owns what lies before its end. One that asks is promised its range, but
 * nobody gives way before its answer has come and fits: a server that serves no ranges, or no more connections, costs
 * nothing then.
 */
export class SegmentPlan {
  readonly #sizeBytes: number
  readonly #segments = new Map<number, Segment>()
  #completed: readonly Range[]

  constructor(sizeBytes: number | undefined, completed: readonly Range[]) {
    this.#sizeBytes = sizeBytes ?? Number.POSITIVE_INFINITY
    this.#completed = completed
  }

  get completed(): readonly Range[] {
    return this.#completed
  }

  /** Exactly `[0, sizeBytes)` is there. */
  get isComplete(): boolean {
    return Number.isFinite(this.#sizeBytes) && tiles(this.#completed, this.#sizeBytes)
  }

  /** The bytes a segment has still to bring, as far as they are its own now. */
  remainderOf(id: number): Range | undefined {
    const segment = this.#segments.get(id)
    return segment?.state === 'receiving' ? [segment.position, segment.end] : undefined
  }

  /**
   * What up to `children` more of them may ask for: what nobody is on first, then shares of what is left to those that
   * receive, so that the largest share becomes as small as it can. `leastBytes` of a child (undefined: of nobody) is
   * what each share of its remainder must at least have.
   */
  offers(children: number, leastBytes: (id: number | undefined) => number): Range[] {
    const pieces = [...this.#unowned(leastBytes), ...this.#remainders(leastBytes)]
    for (let granted = 0; granted < children; granted++) {
      let best: Piece | undefined
      for (const piece of pieces) {
        const bytes = piece.range[1] - piece.range[0]
        if (piece.sharers > 0 && bytes / (piece.sharers + 1) < piece.leastBytes) continue
        if (best === undefined || shareOf(piece) > shareOf(best)) best = piece
      }
      if (best === undefined) break
      best.sharers++
    }
    return pieces.flatMap((piece) => evenly(piece.range, piece.sharers).slice(piece.isOwned ? 1 : 0))
  }

  /** A child asks for one of the {@link offers}. */
  ask(id: number, [start, end]: Range): void {
    this.#add({ id, position: start, end, state: 'asking', heirs: [] })
  }

  /** The only child receives from `range` on, in a plan that has no other. */
  receive(id: number, [start, end]: Range): void {
    this.#add({ id, position: start, end, state: 'receiving', heirs: [] })
  }

  /** The answer to a child that asked fits this file. */
  confirmed(id: number): PlanStep {
    const heir = this.#get(id)
    const owner = [...this.#segments.values()].find(
      ({ state, position, end }) => state === 'receiving' && position < heir.end && end > heir.position,
    )
    if (owner === undefined) return this.#enter(heir, heir.position)
    owner.heirs.push(id)
    return { do: 'limit', id: owner.id, endBytes: Math.max(heir.position, owner.position) }
  }

  /**
   * A child's answer to `limit`: it writes nothing from `endBytes` on. Undefined when that cannot be true: it was asked
   * nothing, or names an end it has passed or never had.
   */
  limited(id: number, endBytes: number): readonly PlanStep[] | undefined {
    const owner = this.#get(id)
    const [heirId] = owner.heirs
    if (heirId === undefined || endBytes < owner.position || endBytes > owner.end) return undefined
    owner.heirs.shift()
    owner.end = endBytes
    const heir = this.#segments.get(heirId)
    return heir === undefined ? [] : [this.#enter(heir, endBytes)]
  }

  /** The bytes before `position` are there. False when they cannot be that child's. */
  advanced(id: number, position: number): boolean {
    const segment = this.#get(id)
    if (segment.state !== 'receiving' || position < segment.position || position > segment.end) return false
    this.#completed = addRange(this.#completed, [segment.position, position])
    segment.position = position
    return true
  }

  /** A child is gone, whatever it left undone; who waited for it starts where it stopped. */
  ended(id: number): readonly PlanStep[] {
    const { heirs } = this.#get(id)
    this.#segments.delete(id)
    return heirs.flatMap((heirId) => {
      const heir = this.#segments.get(heirId)
      return heir === undefined ? [] : [this.#enter(heir, heir.position)]
    })
  }

  #get(id: number): Segment {
    const segment = this.#segments.get(id)
    if (segment === undefined) throw new Error(`segment ${id} is not in this plan`)
    return segment
  }

  #add(segment: Segment): void {
    if (this.#segments.has(segment.id)) throw new Error(`segment ${segment.id} is in this plan already`)
    this.#segments.set(segment.id, segment)
  }

  /** Lets it begin at `from` or behind what is there from its start on, whichever is later. */
  #enter(heir: Segment, from: number): PlanStep {
    const asked = heir.position
    const covered = this.#completed.find(([start, end]) => start <= asked && end > asked)
    const start = Math.max(asked, from, covered?.[1] ?? 0)
    if (start >= heir.end) return { do: 'drop', id: heir.id }
    heir.position = start
    heir.state = 'receiving'
    return { do: 'receive', id: heir.id, range: [start, heir.end], skipBytes: start - asked }
  }

  #unowned(leastBytes: (id: undefined) => number): Piece[] {
    const taken = [...this.#segments.values()].map(({ position, end }): Range => [position, end])
    return taken
      .reduce<readonly Range[]>((left, range) => without(left, range), missingRanges(this.#completed, this.#sizeBytes))
      .map((range) => ({ range, leastBytes: leastBytes(undefined), isOwned: false, sharers: 0 }))
  }

  #remainders(leastBytes: (id: number) => number): Piece[] {
    const all = [...this.#segments.values()]
    return all.flatMap((owner): Piece[] => {
      if (owner.state !== 'receiving' || !Number.isFinite(owner.end)) return []
      const promised = all.filter(({ state, end }) => state !== 'receiving' && end > owner.position)
      const end = promised.reduce((least, { position }) => Math.min(least, position), owner.end)
      if (end <= owner.position) return []
      return [{ range: [owner.position, end], leastBytes: leastBytes(owner.id), isOwned: true, sharers: 1 }]
    })
  }
}

/** Infinite where nobody shares it yet, so that comes first. */
function shareOf({ range, sharers }: Piece): number {
  return (range[1] - range[0]) / sharers
}

function evenly([start, end]: Range, parts: number): Range[] {
  const cut = (n: number) => start + Math.floor(((end - start) * n) / parts)
  return Array.from({ length: parts }, (_, n): Range => [cut(n), cut(n + 1)])
}
