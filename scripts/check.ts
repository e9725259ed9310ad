// Decides whether the sources are well-typed and well-formed. Knows nothing of whether they are right.
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** Both checks always run: whoever breaks the types wants to see the lint as well. */
const CHECKS: readonly (readonly string[])[] = [
  ['node_modules/typescript/bin/tsc', '--noEmit', '-p', '.'],
  ['node_modules/@biomejs/biome/bin/biome', 'check', 'src', 'scripts', 'test'],
]

for (const check of CHECKS) {
  const { status } = spawnSync(process.execPath, [...check], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
}
