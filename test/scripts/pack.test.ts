// The package as somebody else gets it: packed from a copy of this checkout, looked through, installed where nothing
// else is, type-checked and run. The checkout's own dist is left alone.

import { spawn, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { filesIn } from '../e2e/run-mpdl.ts'
import { bodyOf, type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const INGREDIENTS = ['src', 'scripts', 'package.json', 'tsconfig.json', 'README.md', 'CHANGELOG.md', 'LICENSE']
let dir = ''
let installed = ''
let server: FaultServer

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'mpdl-pack-'))
  const copy = join(dir, 'copy')
  for (const name of INGREDIENTS) cpSync(join(ROOT, name), join(copy, name), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  // As `prepack` does, but never with an installation: these modules are everybody's.
  must(process.execPath, [join(copy, 'scripts', 'build.ts')], copy, { npm_lifecycle_event: 'prepack' })
  must('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', dir], copy)
  installed = join(dir, 'consumer', 'node_modules', 'mpdl')
  mkdirSync(installed, { recursive: true })
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  must('tar', ['xzf', join(dir, `mpdl-${version}.tgz`), '-C', installed, '--strip-components=1'], dir)
  server = await startFaultServer()
})
afterAll(async () => {
  await server.stop()
  rmSync(dir, { recursive: true, force: true })
})

function must(file: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): void {
  const { status, stdout, stderr } = spawnSync(file, args, { cwd, encoding: 'utf8', env: { ...process.env, ...env } })
  expect(status, `${file} ${args.join(' ')}\n${stdout}${stderr}`).toBe(0)
}

/** The server lives in this process, so it must not be blocked. */
async function runProgram(path: string): Promise<{ readonly code: number | null; readonly said: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number | null; said: string }>()
  const child = spawn(process.execPath, [path], { cwd: dirname(path), env: { ...process.env, HOME: dir } })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += String(chunk)))
  child.on('close', (code) => resolve({ code, said }))
  return await promise
}

test('it holds the programs, their pages, types and licences, and nothing else', () => {
  const programs = ['main.js', 'mpdl.js', 'index.js', 'tough-cookie.js']
  const children = ['child', 'child-faults', 'pool', 'thread', 'inline'].map((name) => `${name}.cjs`)
  const isExpected = (path: string) =>
    ['README.md', 'CHANGELOG.md', 'LICENSE', 'package.json'].includes(path) ||
    [...programs, ...children].some((name) => path === `dist/${name}`) ||
    /^dist\/(?:types\/.+\.d\.ts|[\w-]+\.html|[\w.-]+\.LEGAL\.txt)$/.test(path)
  const files = filesIn(installed)
  expect(files.filter((path) => !isExpected(path))).toEqual([])
  expect(files).toEqual(expect.arrayContaining([...programs, ...children].map((name) => `dist/${name}`)))
})

test('publint has nothing to say', async () => {
  const { messages, pkg } = await publint({ pkgDir: installed, pack: false, strict: true })
  expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([])
})

test('what is declared needs the types of no other package', () => {
  const seen = new Set<string>()
  const foreign: string[] = []
  const visit = (path: string) => {
    if (seen.has(path)) return
    seen.add(path)
    for (const [, from = ''] of readFileSync(path, 'utf8').matchAll(/(?:\bfrom |\bimport\()['"]([^'"]+)['"]/g)) {
      if (from.startsWith('.')) visit(join(dirname(path), from.replace(/\.[jt]s$/, '.d.ts')))
      else foreign.push(`${path} imports ${from}`)
    }
  }
  visit(join(installed, 'dist', 'types', 'index.d.ts'))
  expect(foreign).toEqual([])
  expect(seen.size).toBeGreaterThan(5)
})

test('a program in TypeScript is checked against it and runs, with nothing else installed', async () => {
  const consumer = join(dir, 'consumer')
  const program = `
import { describe, download, JobsError } from 'mpdl'
import type { DownloadOptions, DownloadReport, JobInput, JobRow } from 'mpdl'

const options: DownloadOptions = { dir: 'out', jobs: 2, isolate: 'process', signal: undefined, headers: { 'X-A': 'b' } }
async function* jobs(): AsyncGenerator<JobInput> {
  yield '${server.url('/ok/a.bin?size=3000')}'
  yield { url: [new URL('${server.url('/status/404/b')}')], out: 'b.bin', tries: 1 }
}
const rows: JobRow[] = []
{
  await using run = download(jobs(), options)
  for await (const row of run) rows.push(row)
  const report: DownloadReport = await run.report
  console.log(report.ok, report.totals['not-started'])
}
rows.sort((a, b) => a.index - b.index)
for (const { outcome, out, failure } of rows) console.log(outcome, out, failure === null ? '' : describe(failure))
download({ list: 'none.txt' }).report.catch((error: unknown) => console.log(error instanceof JobsError))
// @ts-expect-error a number is no job
const _wrong = () => download(5)
// @ts-expect-error the option has its unit in its name
const _alsoWrong = () => download([], { timeout: 5 })
`
  writeFileSync(join(consumer, 'program.mts'), program)
  mkdirSync(join(consumer, 'node_modules', '@types'))
  for (const name of ['@types/node', 'undici-types']) {
    symlinkSync(join(ROOT, 'node_modules', name), join(consumer, 'node_modules', name))
  }
  const strict = { noEmit: true, strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, target: 'es2024' }
  const ways = {
    node: { module: 'nodenext', lib: ['es2024'], types: ['node'] },
    bundler: { module: 'preserve', lib: ['es2024', 'esnext.disposable', 'dom'], types: [] },
  }
  for (const [name, way] of Object.entries(ways)) {
    const project = join(consumer, `${name}.json`)
    writeFileSync(project, JSON.stringify({ compilerOptions: { ...strict, ...way }, files: ['program.mts'] }))
    must(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', project], consumer)
  }
  expect(await runProgram(join(consumer, 'program.mts'))).toEqual({
    code: 0,
    said: 'false 0\ndownloaded a.bin \nfailed b.bin HTTP 404 Not Found\ntrue\n',
  })
  expect(readFileSync(join(consumer, 'out', 'a.bin'))).toEqual(bodyOf(3000))
})

test('its command runs with nothing else installed, and an older program may require it', async () => {
  const old = join(dir, 'consumer', 'old.cjs')
  writeFileSync(old, "console.log(typeof require('mpdl').download)\n")
  expect(await runProgram(old)).toEqual({ code: 0, said: 'function\n' })
  const { stdout, status } = spawnSync(process.execPath, [join(installed, 'dist', 'main.js'), '--version'], {
    encoding: 'utf8',
  })
  expect([stdout, status]).toEqual([expect.stringMatching(/^mpdl \d+\.\d+\.\d+\n$/), 0])
})
