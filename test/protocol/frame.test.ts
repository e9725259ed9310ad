// Decides whether lines come out as they went in, however the bytes between were cut.

import { expect, test } from 'vitest'
import type { Frame } from '../../src/protocol/frame.ts'
import { encodeFrame, FrameReader } from '../../src/protocol/frame.ts'
import { MAX_MESSAGE_BYTES } from '../../src/protocol/message.ts'
import fc from '../fixtures/property.ts'

const TOO_LONG: Frame = { kind: 'too-long' }
const line = (text: string): Frame => ({ kind: 'line', line: text })
const read = (...chunks: (string | Buffer)[]): Frame[] => {
  const reader = new FrameReader(MAX_MESSAGE_BYTES)
  return chunks.flatMap((chunk) => reader.push(Buffer.from(chunk)))
}

test('a message is one line', () => {
  expect(encodeFrame({ text: 'a\nb\u2028' })).toMatch(/^[^\n]+\n$/)
})

test('cut at any byte, the lines are the same, also inside a character', () => {
  const bytes = Buffer.from('{"a":"é€😀"}\n\n{"b":1}\nrest')
  const whole = [line('{"a":"é€😀"}'), line(''), line('{"b":1}')]
  for (let at = 0; at <= bytes.length; at++) {
    expect(read(bytes.subarray(0, at), bytes.subarray(at))).toEqual(whole)
  }
  expect(read(...[...bytes].map((byte) => Buffer.from([byte])))).toEqual(whole)
})

test('any lines cut anywhere come out as they were, and what has no end yet stays inside', () => {
  const texts = fc.array(
    fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ' ')),
    { maxLength: 8 },
  )
  fc.assert(
    fc.property(texts, fc.string(), fc.array(fc.nat(400), { maxLength: 10 }), (lines, rest, cuts) => {
      const bytes = Buffer.from([...lines.map((text) => `${text}\n`), rest.replaceAll('\n', '')].join(''))
      const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b), bytes.length]
      const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end))
      expect(read(...chunks)).toEqual(lines.map(line))
    }),
  )
})

test('any bytes never throw', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 10 }), (chunks) => {
      const frames = read(...chunks.map((chunk) => Buffer.from(chunk)))
      expect(frames).toHaveLength(Buffer.concat(chunks).filter((byte) => byte === 10).length)
    }),
  )
})

test('a line as long as allowed is a line', () => {
  expect(read('x'.repeat(MAX_MESSAGE_BYTES), '\n')).toEqual([line('x'.repeat(MAX_MESSAGE_BYTES))])
})

test('a longer one is reported once, and reading goes on behind its end', () => {
  const long = 'x'.repeat(MAX_MESSAGE_BYTES + 1)
  expect(read(`before\n${long}\nafter\n`)).toEqual([line('before'), TOO_LONG, line('after')])
  expect(read(long, long, long, 'x\nafter\n')).toEqual([TOO_LONG, line('after')])
  expect(read(`${long}\n${long}\nafter\n`)).toEqual([TOO_LONG, TOO_LONG, line('after')])
})

test('a line without an end is reported as soon as it is too long', () => {
  const reader = new FrameReader(MAX_MESSAGE_BYTES)
  const chunk = Buffer.alloc(64 * 1024, 120)
  const reported = Array.from({ length: 20 }, () => reader.push(chunk).length)
  expect(reported.indexOf(1)).toBe(MAX_MESSAGE_BYTES / chunk.length)
  expect(reported.filter((n) => n > 0)).toEqual([1])
})
