// Decides whether a page or a coded body in the place of a file is noticed.

import { expect, test } from 'vitest'
import { contentWarnings } from '../../src/core/content-warning.ts'

test.each([
  ['text/html; charset=utf-8', 'a/form.pdf', true],
  ['Text/HTML', 'archive.ZIP', true],
  ['application/pdf', 'form.pdf', false],
  ['text/html', 'index.html', false],
  ['text/html', 'pdf', false],
  [undefined, 'form.pdf', false],
])('%s for %s: warned is %s', (contentType, target, isWarned) => {
  const content = { isDecoded: false, ...(contentType === undefined ? {} : { contentType }) }
  expect(contentWarnings(content, target)).toHaveLength(isWarned ? 1 : 0)
})

test.each([
  ['gzip', 'form.pdf', false, ['stored as sent, coded gzip (--compressed decodes)']],
  ['gzip', 'form.pdf', true, []],
  ['gzip', 'linux.tar.gz', false, []],
  ['identity', 'form.pdf', false, []],
  ['\u001b[31m', 'x', false, ['stored as sent, coded \\x1b[31m (--compressed decodes)']],
])('coded %j for %s, decoded: %s', (contentEncoding, target, isDecoded, warnings) => {
  expect(contentWarnings({ contentEncoding, isDecoded }, target)).toEqual(warnings)
})
