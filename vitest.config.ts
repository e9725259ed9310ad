// Decides how tests run on a small machine. Knows nothing of what they test.
import { defineConfig } from 'vitest/config'

export default defineConfig({
  // Tests that start the program from source see the constant that the build puts into the bundles.
  define: { __MPDL_VERSION__: '"0.0.0-test"' },
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    coverage: {
      provider: 'v8',
      include: ['src/core/**'],
      reporter: ['text-summary', ['text', { skipFull: true }]],
      thresholds: { lines: 100 },
    },
  },
})
