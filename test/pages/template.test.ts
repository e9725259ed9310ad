import { describe, expect, test } from 'vitest'
import { comparePage } from '../../src/pages/compare.ts'
import { embedded, halves, PLACE } from '../../src/pages/template.ts'
import { comparison } from './example.ts'

const HOSTILE = [
  '</script><script>alert(1)</script>',
  '<!-- <script>',
  ']]>',
  '\u2028',
  'a\u202eb',
  '& &lt; \\u003c',
  '$&',
]

describe('data in a page', () => {
  test.each(HOSTILE)('%j can neither leave its element nor open another', (text) => {
    const json = embedded({ text, [text]: [text] })
    expect(json).not.toMatch(/[<\u2028\u202e]/)
    expect(JSON.parse(json)).toEqual({ text, [text]: [text] })
  })

  test('stand in the one place of the template', () => {
    expect(halves(`a${PLACE}b`)).toEqual(['a', 'b'])
  })

  test.each(['nothing', `${PLACE} twice ${PLACE}`])('a template with no place or two is a mistake: %s', (template) => {
    expect(() => halves(template)).toThrow(PLACE)
  })

  test('of a comparison are the whole comparison', () => {
    const evil = { ...comparison, sentence: HOSTILE.join(' ') }
    const page = comparePage(evil, `<b>${PLACE}</b>`)
    expect(JSON.parse(page.slice('<b>'.length, -'</b>'.length))).toEqual(evil)
  })
})
