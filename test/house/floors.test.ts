// Decides whether every room imports only from the floors it stands on, and keeps the manners of the house.

import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')

interface Import {
  readonly from: string
  readonly isTypeOnly: boolean
  /** By `import()`: loaded when it is wanted. */
  readonly isLate: boolean
}

interface Source {
  /** Relative to `src`. */
  readonly path: string
  readonly room: string
  readonly text: string
  /** Without comments and the contents of strings. */
  readonly code: string
  readonly imports: readonly Import[]
}

const COMMENT_OR_STRING = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g
const STATIC_IMPORT = /^(?:import|export)\s+(type\s+)?([^;'"]*?\sfrom\s+)?'([^']+)'/gm
const DYNAMIC_IMPORT = /(typeof\s+)?\bimport\(\s*'([^']+)'/g

function importsOf(text: string): Import[] {
  const withoutComments = text.replace(COMMENT_OR_STRING, (found) => (found.startsWith('/') ? '' : found))
  const named = [...withoutComments.matchAll(STATIC_IMPORT)].map(([, type, what = '', from = '']): Import => {
    const names = /\{([^}]*)\}/
      .exec(what)?.[1]
      ?.split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '')
    const isEachType = names !== undefined && names.length > 0 && names.every((name) => name.startsWith('type '))
    return { from, isTypeOnly: type !== undefined || isEachType, isLate: false }
  })
  const late = [...withoutComments.matchAll(DYNAMIC_IMPORT)].map(
    ([, type, from = '']): Import => ({ from, isTypeOnly: type !== undefined, isLate: true }),
  )
  return [...named, ...late]
}

const roomOf = (path: string) => (path.includes('/') ? (path.split('/')[0] ?? '') : 'root')

const sources = globSync('**/*.ts', { cwd: join(ROOT, 'src') }).map((path): Source => {
  const text = readFileSync(join(ROOT, 'src', path), 'utf8')
  const code = text.replace(COMMENT_OR_STRING, (found) => (found.startsWith('/') ? '' : "''"))
  return { path, room: roomOf(path), text, code, imports: importsOf(text) }
})
const inRoom = (room: string) => sources.filter((source) => source.room === room)

/** `a/b.ts` for imports of project files, the package's name otherwise. */
const resolved = (source: Source, { from }: Import) =>
  from.startsWith('.') ? normalize(join(dirname(source.path), from)) : from

/** Which rooms each room stands on. The composition roots, cli and the files of src itself, may use all. */
const FLOORS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  protocol: ['core'],
  reporters: ['core'],
  isolation: ['core', 'protocol'],
  child: ['core', 'protocol'],
  supervisor: ['core', 'protocol'],
  pages: ['core', 'reporters'],
  compare: ['core', 'protocol'],
}

/** What a room may use beyond its floors, and why. */
function isAllowed(source: Source, target: string, isTypeOnly: boolean): boolean {
  const to = roomOf(target)
  if (to === source.room || FLOORS[source.room]?.includes(to) === true) return true
  // The supervisor is handed its isolation and its reporters; it knows their interfaces only.
  if (source.room === 'supervisor' && (to === 'isolation' || to === 'reporters')) {
    return isTypeOnly || ['isolation/hardening.ts', 'isolation/descriptor.ts'].includes(target)
  }
  // The page of a comparison shows its result, and knows nothing of how it came about.
  return source.room === 'pages' && target === 'compare/result.ts'
}

test('the parser of this test sees every kind of import', () => {
  const text = [
    "import a from 'a'",
    "import type { B } from './b.ts'",
    "import { type C, type D } from './c.ts'",
    "import { type E, f } from './e.ts'",
    'import {',
    '  g,',
    "} from './g.ts'",
    "export { h } from './h.ts'",
    "import './i.ts'",
    "const j = await import('./j.ts')",
    "const k: typeof import('./k.ts') = l",
    "// import m from './m.ts'",
  ].join('\n')
  expect(importsOf(text)).toEqual([
    { from: 'a', isTypeOnly: false, isLate: false },
    { from: './b.ts', isTypeOnly: true, isLate: false },
    { from: './c.ts', isTypeOnly: true, isLate: false },
    { from: './e.ts', isTypeOnly: false, isLate: false },
    { from: './g.ts', isTypeOnly: false, isLate: false },
    { from: './h.ts', isTypeOnly: false, isLate: false },
    { from: './i.ts', isTypeOnly: false, isLate: false },
    { from: './j.ts', isTypeOnly: false, isLate: true },
    { from: './k.ts', isTypeOnly: true, isLate: true },
  ])
  expect(sources.flatMap(({ imports }) => imports).length).toBeGreaterThan(100)
})

describe('floors', () => {
  test.each(Object.keys(FLOORS))('%s imports only from the floors below it', (room) => {
    const files = inRoom(room)
    expect(files.length).toBeGreaterThan(0)
    const wrong = files.flatMap((source) =>
      source.imports
        .filter(({ from }) => from.startsWith('.'))
        .filter((imported) => !isAllowed(source, resolved(source, imported), imported.isTypeOnly))
        .map((imported) => `${source.path} imports ${resolved(source, imported)}`),
    )
    expect(wrong).toEqual([])
  })

  test('every room is known, and only composition roots stand outside of them', () => {
    expect([...new Set(sources.map(({ room }) => room))].sort()).toEqual([...Object.keys(FLOORS), 'cli', 'root'].sort())
    const roots = [
      'defaults.ts',
      'download-options.ts',
      'download-plan.ts',
      'download.ts',
      'index.ts',
      'jobs.ts',
      'main.ts',
      'open-jobs.ts',
      'places.ts',
      'session.ts',
      'version.ts',
    ]
    expect(
      inRoom('root')
        .map(({ path }) => path)
        .sort(),
    ).toEqual(roots)
  })

  test('no composition root runs a child in its own process', () => {
    const wrong = [...inRoom('cli'), ...inRoom('root')].flatMap((source) =>
      source.imports.map((imported) => resolved(source, imported)).filter((target) => roomOf(target) === 'child'),
    )
    expect(wrong).toEqual([])
  })

  test('every import of a project file names a file that is there', () => {
    const known = new Set(sources.map(({ path }) => path))
    const missing = sources.flatMap((source) =>
      source.imports
        .filter(({ from }) => from.startsWith('.'))
        .map((imported) => resolved(source, imported))
        .filter((target) => !known.has(target))
        .map((target) => `${source.path} imports ${target}`),
    )
    expect(missing).toEqual([])
  })
})

describe('packages', () => {
  const packagesOf = (room: string) =>
    [...new Set(inRoom(room).flatMap(({ imports }) => imports.map(({ from }) => from)))].filter(
      (from) => !from.startsWith('.'),
    )

  test('core imports no package and nothing of Node', () => {
    expect(packagesOf('core')).toEqual([])
  })

  test('the protocol needs its schemas and nothing of Node', () => {
    expect(packagesOf('protocol')).toEqual(['valibot'])
  })

  /** What comes with the first line of a file, however far away. */
  const loadedWith = (path: string, seen: Set<string>): string[] => {
    const source = sources.find((each) => each.path === path)
    if (source === undefined || seen.has(path)) return []
    seen.add(path)
    const atOnce = source.imports.filter(({ isTypeOnly, isLate }) => !isTypeOnly && !isLate)
    return atOnce.flatMap((imported) =>
      imported.from.startsWith('.') ? loadedWith(resolved(source, imported), seen) : [imported.from],
    )
  }

  test('a child starts without what only a supervisor or few requests need', () => {
    const packages = new Set(loadedWith('child/process-entry.ts', new Set()))
    expect([...packages].filter((from) => !from.startsWith('node:')).sort()).toEqual(['valibot'])
    const all = packagesOf('child').filter((from) => !from.startsWith('node:'))
    expect(all.sort()).toEqual(['ipaddr.js', 'node-fetch', 'socks-proxy-agent'])
  })
})

describe('decisions', () => {
  test.each(inRoom('core'))('$path has no clock, no chance and no process', ({ code }) => {
    const clock = /\b(?:Date\.now|new Date\(\s*\)|performance\.|setTimeout|setInterval|setImmediate)/g
    const others = /\b(?:Math\.random|crypto\.|process\.|globalThis|console\.|fetch\()/g
    expect([...(code.match(clock) ?? []), ...(code.match(others) ?? [])]).toEqual([])
  })
})

describe('manners', () => {
  test.each(sources)('$path says first what it decides', ({ text }) => {
    const first = text.startsWith('#!') ? text.slice(text.indexOf('\n') + 1) : text
    expect(first).toMatch(/^\/\/ \S/)
  })

  test.each(sources)('$path leaves the type checker on', ({ code, text }) => {
    expect(code).not.toMatch(/[:<|(,]\s*any\b|\bas\s+any\b|\bas\s+unknown\s+as\b/)
    expect(text).not.toMatch(/@ts-(?:ignore|nocheck|expect-error)/)
  })
})
