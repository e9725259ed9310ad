// Decides which tools take part: those that are installed and can do what is asked for. Knows nothing of how they fare.

import { findProgram, versionOf } from './find-program.ts'
import { TOOLS, type Tool, type ToolKind, wordsOf } from './tools.ts'
import type { Place, Workload } from './workloads.ts'

/** A tool with what it is to be told in one workload. */
export interface Subject {
  readonly tool: string
  readonly kind: ToolKind
  readonly command: string
  /** Whether the files are there when it has ended well. */
  readonly bringsFiles: boolean
}

/** Where the programs are that every command may name. */
export interface Programs {
  readonly node: string
  readonly mpdl: string
}

export interface Installed {
  readonly tools: readonly Tool[]
  readonly versions: Readonly<Record<string, string>>
  readonly missing: readonly string[]
}

/** Of those whose names are wanted; all when none is. */
export async function findTools(wanted: readonly string[], programs: Programs): Promise<Installed> {
  const asked = TOOLS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))
  const isThere = ({ programs: needed }: Tool) => needed.every((name) => findProgram(name) !== undefined)
  const tools = asked.filter(isThere)
  const versions: Record<string, string> = {}
  for (const {
    programs: [program = 'mpdl'],
    version,
  } of tools) {
    versions[program] ??= await versionOf(wordsOf(version, { ...programs }))
  }
  return { tools, versions, missing: asked.filter((tool) => !isThere(tool)).map(({ name }) => name) }
}

export function subjectsFor(tools: readonly Tool[], { shape, way, floor }: Workload, place: Place): Subject[] {
  const able = tools.flatMap(({ name, kind, commands, tls, places }): Subject[] => {
    const command = commands[shape]
    if (command === undefined || places?.includes(place) === false) return []
    const suffix = way === 'tls' && tls !== undefined ? ` ${tls}` : ''
    return [{ tool: name, kind, command: command + suffix, bringsFiles: true }]
  })
  if (floor === undefined) return able
  return [...able, { tool: floor.name, kind: 'floor', command: floor.command, bringsFiles: floor.bringsFiles }]
}
