// Decides how the sources become the few files that run. Knows nothing of what they do.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { builtinModules, createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type BuildOptions, build, type Plugin } from 'esbuild'
import { PLACE } from '../src/pages/template.ts'

type Bundle = { readonly entry: string; readonly out: string; readonly options: BuildOptions }

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const require = createRequire(import.meta.url)

/**
 * What node-fetch imports for bodies that are sent or parsed as forms. A child sends none, and its responses are
 * read as streams, so these names are tested against (`instanceof`) but never built.
 */
const FORM_STUB = `
const absent = (name) => class { constructor() { throw new Error(name + ' is left out of the child bundle') } }
export const FormData = absent('FormData')
export const Blob = absent('Blob')
export const File = absent('File')
export const formDataToBlob = () => new FormData()
export const fileFromSync = () => new File()
export const fileFrom = fileFromSync
export const blobFromSync = () => new Blob()
export const blobFrom = blobFromSync
export default Blob
`

const formStub: Plugin = {
  name: 'form-stub',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(?:fetch-blob|formdata-polyfill|node-domexception|web-streams-polyfill)(?:\/|$)/ }, () => ({
      path: 'form-stub',
      namespace: 'form-stub',
    }))
    onLoad({ filter: /.*/, namespace: 'form-stub' }, () => ({ contents: FORM_STUB, loader: 'js' }))
  },
}

// Each costs 5 to 10 ms of a child's start, and a plain http download uses neither.
const LAZY_BUILTINS: readonly string[] = ['https', 'zlib']

/**
 * Replaces a built-in by an object of getters with the same names, so that importing it loads nothing and the first
 * use loads it. The bundle is CommonJS, where esbuild turns named imports into property reads: semantics are kept.
 */
const lazyBuiltins: Plugin = {
  name: 'lazy-builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: new RegExp(`^(?:node:)?(?:${LAZY_BUILTINS.join('|')})$`) }, ({ path, namespace }) =>
      namespace === 'lazy-builtin'
        ? { path, external: true }
        : { path: path.replace('node:', ''), namespace: 'lazy-builtin' },
    )
    onLoad({ filter: /.*/, namespace: 'lazy-builtin' }, ({ path }) => {
      const builtin: object = require(`node:${path}`)
      const getters = Object.keys(builtin)
        .map((key) => `get ${JSON.stringify(key)}() { return require('node:${path}')[${JSON.stringify(key)}] }`)
        .join(',\n')
      return { contents: `module.exports = {\n${getters}\n}`, loader: 'js' }
    })
  },
}

const LATE_PACKAGES: readonly string[] = ['ipaddr.js', 'socks-proxy-agent']

/**
 * A package that few downloads need is a text in the child's file until one does. V8 reads every function of a file, used
 * or not, and these are more than all others together: 1.6 ms of each child's start.
 */
const latePackages: Plugin = {
  name: 'late-packages',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: new RegExp(`^(?:${LATE_PACKAGES.join('|')})$`) }, ({ path }) => ({ path, namespace: 'late' }))
    onLoad({ filter: /.*/, namespace: 'late' }, async ({ path }) => {
      const { outputFiles } = await build({
        absWorkingDir: root,
        entryPoints: [path],
        bundle: true,
        platform: 'node',
        format: 'cjs',
        target: 'node22',
        minify: true,
        write: false,
      })
      const text = JSON.stringify(outputFiles[0]?.text)
      return {
        contents: `new Function('require', 'module', 'exports', ${text})(require, module, exports)`,
        loader: 'js',
      }
    })
  },
}

/** The first file must parse on any Node, so the program it imports after the version check stays a file of its own. */
const programApart: Plugin = {
  name: 'program-apart',
  setup({ onResolve }) {
    onResolve({ filter: /(?:^\.\/mpdl\.js|\/cli\/program\.ts)$/ }, () => ({ path: './mpdl.js', external: true }))
  },
}

/** A package that few runs need, in a file of its own: reading it costs every start of the program 3 ms. */
const cookiesApart: Plugin = {
  name: 'cookies-apart',
  setup({ onResolve }) {
    onResolve({ filter: /^tough-cookie$/ }, () => ({ path: './tough-cookie.js', external: true }))
  },
}

/**
 * Takes built-ins by name instead of importing them: for an import Node reads all that a built-in exports, and behind
 * node:http's getters alone lies undici, 20 ms of every start.
 */
const builtinsByName: Plugin = {
  name: 'builtins-by-name',
  setup({ onResolve, onLoad }) {
    const builtins = new Set(builtinModules.flatMap((name) => [name, `node:${name}`]))
    onResolve({ filter: /.*/ }, ({ path }) =>
      builtins.has(path) ? { path: path.replace(/^node:/, ''), namespace: 'builtin' } : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('node:${path}')`,
      loader: 'js',
    }))
  },
}

const supervisor: BuildOptions = {
  format: 'esm',
  target: 'node22',
  minifySyntax: true,
  minifyWhitespace: true,
  lineLimit: 200,
  plugins: [cookiesApart, builtinsByName],
  // Some dependencies are CommonJS and call require(), which an ES module does not have.
  banner: { js: "const require = process.getBuiltinModule('node:module').createRequire(import.meta.url)" },
}
const child: BuildOptions = {
  format: 'cjs',
  target: 'node22',
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: true,
  // A child that dies of an error prints the line it stands in, and what comes behind it would not fit into the pipe.
  lineLimit: 200,
  plugins: [formStub, lazyBuiltins, latePackages],
}

const BUNDLES: readonly Bundle[] = [
  // The oldest target with top-level await: any Node since 14.8 reads this file and can tell that it is too old.
  { entry: 'src/main.ts', out: 'main.js', options: { format: 'esm', target: 'node14.8', plugins: [programApart] } },
  { entry: 'src/cli/program.ts', out: 'mpdl.js', options: supervisor },
  { entry: 'src/index.ts', out: 'index.js', options: supervisor },
  {
    entry: 'node_modules/tough-cookie/dist/index.js',
    out: 'tough-cookie.js',
    options: { format: 'esm', target: 'node22', minifySyntax: true, minifyWhitespace: true },
  },
  { entry: 'src/child/process-entry.ts', out: 'child.cjs', options: child },
  { entry: 'src/child/pool-entry.ts', out: 'pool.cjs', options: child },
  { entry: 'src/child/thread-entry.ts', out: 'thread.cjs', options: child },
  { entry: 'src/child/inline-entry.ts', out: 'inline.cjs', options: child },
  { entry: 'src/child/faults-entry.ts', out: 'child-faults.cjs', options: child },
]

/** Bundles one entry. */
async function bundle({ entry, out, options }: Bundle, version: string): Promise<void> {
  const result = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile: join('dist', out),
    bundle: true,
    platform: 'node',
    external: builtinModules.flatMap((name) => [name, `node:${name}`]),
    define: { __MPDL_VERSION__: JSON.stringify(version) },
    legalComments: 'linked',
    sourcemap: false,
    logLevel: 'warning',
    write: false,
    ...options,
  })
  for (const { path, contents, text } of result.outputFiles ?? [])
    put(path, contents, text.startsWith('#!') ? 0o755 : 0o644)
}

/** By rename, so that a program started meanwhile reads a whole file. */
function put(path: string, contents: string | Uint8Array, mode = 0o644): void {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`)
  writeFileSync(temporary, contents, { mode })
  renameSync(temporary, path)
}

type PageName = 'compare' | 'run'
const PAGES: Readonly<Record<PageName, string>> = { compare: 'mpdl compare', run: 'mpdl run' }

/** Makes a page that needs nothing but its data: the shell around its text, its style and its script. */
async function page(name: PageName): Promise<void> {
  const client = join('src', 'pages', 'client')
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [join(client, `${name}.ts`), join(client, `${name}.css`)],
    outdir: 'dist',
    bundle: true,
    minify: true,
    platform: 'browser',
    format: 'iife',
    target: 'es2023',
    legalComments: 'none',
    logLevel: 'warning',
    write: false,
  })
  const built = (suffix: string) => outputFiles.find(({ path }) => path.endsWith(suffix))?.text.trim() ?? ''
  const script = built('.js')
  const parts: Readonly<Record<string, string>> = {
    title: PAGES[name],
    // The only script that a browser will run there, whatever the data may smuggle in.
    hash: createHash('sha256').update(script).digest('base64'),
    style: `<style>${built('.css')}</style>`,
    body: readFileSync(join(root, client, `${name}.html`), 'utf8').trim(),
    scripts: `<script type="application/json" id="data">${PLACE}</script>\n<script>${script}</script>`,
  }
  const shell = readFileSync(join(root, client, 'shell.html'), 'utf8')
  put(
    join(root, 'dist', `${name}-page.html`),
    shell.replace(/@@(\w+)@@/g, (place, part) => parts[part] ?? place),
  )
}

/** Declarations for whoever imports the library; the program itself needs none, so only packing makes them. */
function declareTypes(): void {
  const out = join(root, 'dist', 'types')
  rmSync(out, { recursive: true, force: true })
  const project = join(root, 'dist', 'tsconfig.types.json')
  const compilerOptions = {
    noEmit: false,
    emitDeclarationOnly: true,
    declaration: true,
    rootDir: '../src',
    outDir: 'types',
    types: ['node'],
  }
  writeFileSync(
    project,
    JSON.stringify({ extends: '../tsconfig.json', compilerOptions, include: [], files: ['../src/index.ts'] }),
  )
  const tsc = spawnSync(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', project], {
    stdio: 'inherit',
  })
  rmSync(project)
  if (tsc.status !== 0) throw new Error('tsc could not write the declarations')
  keepReached(out)
}

/** What a program cannot reach from the library's face is nobody's business. */
function keepReached(out: string): void {
  const reached = new Set<string>()
  const visit = (path: string) => {
    if (reached.has(path)) return
    reached.add(path)
    // With the extension that every TypeScript looks up, and not only one that may import sources.
    const text = readFileSync(path, 'utf8').replace(/(['"])(\.[^'"]+)\.ts\1/g, (_, quote: string, from: string) => {
      visit(join(dirname(path), `${from}.d.ts`))
      return `${quote}${from}.js${quote}`
    })
    writeFileSync(path, text)
  }
  visit(join(out, 'index.d.ts'))
  for (const name of readdirSync(out, { encoding: 'utf8', recursive: true })) {
    if (name.endsWith('.d.ts') && !reached.has(join(out, name))) rmSync(join(out, name))
  }
}

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
mkdirSync(join(root, 'dist'), { recursive: true })
const missing = BUNDLES.filter(({ entry }) => !existsSync(join(root, entry)))
const built = await Promise.allSettled([
  ...BUNDLES.filter((each) => !missing.includes(each)).map((each) => bundle(each, version)),
  page('compare'),
  page('run'),
])
for (const { entry, out } of missing) {
  console.error(`mpdl build: ${entry} does not exist, so ${join('dist', out)} was not built`)
}
const failed = missing.length > 0 || built.some(({ status }) => status === 'rejected')
if (failed) process.exitCode = 1
else if (process.env.npm_lifecycle_event === 'prepack') {
  declareTypes()
  // They belong to the checkout: a package is never rebuilt in place, and whoever runs it has another Node.
  for (const name of ['.stamp', '.compiled']) rmSync(join(root, 'dist', name), { recursive: true, force: true })
}
