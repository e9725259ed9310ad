// Decides whether a page in the place of a file is noticed.

import { expect, test } from 'vitest'
import { contentWarning } from '../../src/core/content-warning.ts'

test.each([
  ['text/html; charset=utf-8', 'a/form.pdf', true],
  ['Text/HTML', 'archive.ZIP', true],
  ['application/pdf', 'form.pdf', false],
  ['text/html', 'index.html', false],
  ['text/html', 'pdf', false],
  [undefined, 'form.pdf', false],
])('%s for %s: warned is %s', (contentType, target, isWarned) => {
  expect(contentWarning(contentType, target) !== undefined).toBe(isWarned)
})
