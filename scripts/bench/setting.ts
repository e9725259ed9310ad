// What the parts of a benchmark share: the server, where things are, and how a tool's run is laid out there. Knows
// nothing of measuring.

import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BenchServer, TINY_FILE, TINY_PATH } from './server.ts'
import { differenceOf, makeFile } from './sources.ts'
import type { Programs } from './subjects.ts'
import { wordsOf } from './tools.ts'
import { namesOf, type Place, type Workload } from './workloads.ts'

const TINY_BYTES = 1024

export interface Setting {
  readonly server: BenchServer
  readonly programs: Programs
  /** What the server serves. */
  readonly root: string
  /** Lists and what else is made once. */
  readonly scratch: string
  readonly dirs: Readonly<Partial<Record<Place, string>>>
  readonly signal: AbortSignal
  /** Tells what is done. */
  readonly say: (text: string) => void
}

/** A workload whose files and lists are there. */
export interface Prepared {
  readonly workload: Workload
  readonly names: readonly string[]
  /** Of its commands, but for where a run's own files go. */
  readonly places: Readonly<Record<string, string>>
}

export async function prepare(workload: Workload, setting: Setting): Promise<Prepared> {
  const { server, scratch, programs, root } = setting
  const names = namesOf(workload)
  makeSources(workload, names, root)
  const base = `${await server.urlOf(workload.way)}/${workload.source}`
  const urls = names.map((name) => `${base}/${name}`)
  const places = { ...writeLists(join(scratch, workload.name), urls), source: join(root, workload.source) }
  const { connections } = workload
  return {
    workload,
    names,
    places: { ...programs, ...places, n: `${connections}`, n16: `${Math.min(16, connections)}`, ca: server.caPath },
  }
}

/** The places of commands that name what is to be downloaded. */
export function writeLists(path: string, urls: readonly string[]): Record<'list' | 'curlrc' | 'url', string> {
  const [list, curlrc] = [`${path}.txt`, `${path}.curlrc`]
  writeFileSync(list, `${urls.join('\n')}\n`)
  writeFileSync(curlrc, `${urls.map((url) => `url = "${url}"`).join('\n')}\n`)
  return { list, curlrc, url: urls[0] ?? '' }
}

function makeSources({ source, sizeBytes }: Workload, names: readonly string[], root: string): void {
  if (source === TINY_PATH) {
    if (!existsSync(join(root, TINY_FILE))) makeFile(join(root, TINY_FILE), TINY_FILE, TINY_BYTES)
  } else if (!existsSync(join(root, source))) {
    for (const name of names) makeFile(join(root, source, name), `${source}/${name}`, sizeBytes)
  }
}

/** Where one run's files are; gone after it. */
export interface RunPlaces {
  readonly dir: string
  readonly out: string
  readonly home: string
  readonly sayings: string
}

export function makeRunPlaces(placeDir: string): RunPlaces {
  const dir = join(placeDir, 'run')
  // Nothing of a run before it, however that ended.
  rmSync(dir, { recursive: true, force: true })
  const places = { dir, out: join(dir, 'out'), home: join(dir, 'home'), sayings: join(dir, 'sayings') }
  mkdirSync(places.out, { recursive: true })
  mkdirSync(places.home)
  return places
}

export function commandOf(command: string, { places }: Pick<Prepared, 'places'>, { out, home }: RunPlaces): string[] {
  return wordsOf(command, { ...places, out, home })
}

/** Nothing of the user's: no proxies, no configuration, and numbers with a point. */
export function toolEnvironment({ home }: RunPlaces): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH ?? '', HOME: home, LC_ALL: 'C' }
}

/** What is wrong with what arrived, a sentence; undefined when every byte of every file is right. */
export function differenceIn(out: string, { workload: { source }, names }: Prepared, root: string): string | undefined {
  for (const name of names) {
    const sourcePath = source === TINY_PATH ? join(root, TINY_FILE) : join(root, source, name)
    const difference = differenceOf(sourcePath, join(out, name))
    if (difference !== undefined) return `${name} ${difference}`
  }
  return undefined
}
