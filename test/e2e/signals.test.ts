// A colleague is writing this file right now (see its name for what it covers); do not write the same tests elsewhere.
import { test } from 'vitest'

test('placeholder', () => {})
