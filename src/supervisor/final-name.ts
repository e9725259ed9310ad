// Decides what a job's finished file is called, and what may give way to it, where servers may name files. Knows nothing
// of how the bytes come, nor how a name is given.

import { dirname, join } from 'node:path'
import { numbered } from '../core/destination.ts'
import type { Failure } from '../core/failure.ts'
import type { Job } from '../core/job.ts'
import { isOneOf } from './own-files.ts'
import type { SuggestedName } from './server-name.ts'
import { suggestedName } from './server-name.ts'
import type { Settings } from './settings.ts'
import type { StateDb } from './state-db.ts'
import { inspectTarget } from './target.ts'

export interface NamingContext {
  readonly settings: Settings
  readonly state: StateDb
  /** Absolute paths that jobs of this run have, each with its job's index; undefined where only URLs name files. */
  readonly takenNames: Map<string, number> | undefined
}

export type Named =
  /** `isStanding`: the same file has the name already, and stays. */
  | { readonly ok: true; readonly path: string; readonly isStanding: boolean }
  | { readonly ok: false; readonly failure: Failure }

/** Gives the file this name, `mayReplace` permitting; undefined when it is done. */
export type GiveName = (path: string, mayReplace: (() => boolean) | undefined) => Promise<Failure | undefined>

export class FinalName {
  /** Absolute: the name that the URL or the list gives. */
  readonly target: string
  readonly #context: NamingContext
  readonly #job: Job

  constructor(context: NamingContext, job: Job) {
    this.#context = context
    this.#job = job
    this.target = join(context.settings.dir, job.target)
  }

  /** Where the file of an earlier run is looked for. */
  get place(): string {
    const { takenNames, state } = this.#context
    return (takenNames === undefined ? undefined : state.findNamed(this.target)?.path) ?? this.target
  }

  /** What the server calls it; undefined where that does not count. */
  suggested(contentDisposition: string | undefined): SuggestedName | undefined {
    return contentDisposition === undefined || !this.#mayBeNamed ? undefined : suggestedName(contentDisposition)
  }

  /** The list's word for it is not the server's to change. */
  get #mayBeNamed(): boolean {
    return this.#context.takenNames !== undefined && this.#job.options.out === undefined
  }

  /** What is there is this job's file, and none that others of this run may have. */
  keep(path: string): void {
    this.#context.takenNames?.set(path, this.#job.index)
  }

  /**
   * Has the name given that the server `suggested`, or with `--on-clash rename` the next one that is free. Where nobody
   * knows whose a file is, as when the state was lost, it is this job's if it `isSame`, byte for byte.
   */
  async give(
    suggested: string | undefined,
    giveName: GiveName,
    isSame: (path: string) => Promise<boolean>,
  ): Promise<Named> {
    const isNamed = suggested !== undefined && this.#mayBeNamed
    const wanted = isNamed ? join(dirname(this.target), suggested) : this.target
    for (let n = 0; ; n++) {
      const path = n === 0 ? wanted : numbered(wanted, n)
      const failure = await this.#take(path, giveName)
      if (failure === undefined) return { ok: true, path, isStanding: false }
      if (failure.kind === 'name-taken' && failure.by === 'somebody else' && (await isSame(path))) {
        this.keep(path)
        return { ok: true, path, isStanding: true }
      }
      if (failure.kind !== 'name-taken' || this.#context.settings.onClash === 'fail') return { ok: false, failure }
    }
  }

  async #take(path: string, giveName: GiveName): Promise<Failure | undefined> {
    const { takenNames, settings } = this.#context
    if (isOneOf(settings.ownFiles, path)) return { kind: 'name-taken', path, by: 'this run' }
    // What came meanwhile is not to be touched either.
    const mayReplaceNone = settings.existing === 'skip' ? () => false : undefined
    if (takenNames === undefined) return await giveName(path, mayReplaceNone)
    const owner = takenNames.get(path)
    const isOthers = (owner !== undefined && owner !== this.#job.index) || this.#isLeftByAnother(path)
    if (isOthers) return { kind: 'name-taken', path, by: 'another job' }
    // Before it is there, because others of this run may be about to give it, too.
    takenNames.set(path, this.#job.index)
    const failure = await giveName(path, mayReplaceNone ?? (() => this.#mayReplace(path)))
    if (failure !== undefined && path !== this.target) takenNames.delete(path)
    return failure
  }

  /** Whoever comes first in a run: it may be about to look for its file. */
  #isLeftByAnother(path: string): boolean {
    const left = this.#context.state.find(path)
    return left !== undefined && left.target !== this.target && inspectTarget(path).kind === 'file'
  }

  /** Under its URL's name a file gives way as ever; what a server named belongs to the job that left it there. */
  #mayReplace(path: string): boolean {
    const left = this.#context.state.find(path)
    return left === undefined ? path === this.target : left.target === this.target
  }
}
