// Decides whether the wire believes nothing that is not exactly a message.

import { describe, expect, test } from 'vitest'
import { CODINGS } from '../../src/core/coding.ts'
import { decodeChildMessage, decodeCommand } from '../../src/protocol/decode.ts'
import { encodeFrame } from '../../src/protocol/frame.ts'
import type { ChildFailure, ChildMessage, Command } from '../../src/protocol/message.ts'
import { PROTOCOL_VERSION } from '../../src/protocol/message.ts'
import fc from '../fixtures/property.ts'

const count = fc.maxSafeNat()
const text = fc.string({ unit: 'grapheme', maxLength: 80 })
const headers = fc.array(
  fc.tuple(text, text).map(([name, value]): [string, string] => [name, value]),
  { maxLength: 5 },
)
const bytesOrUnknown = fc.option(count)
const ms = fc.double({ min: 0, max: 1e12, noNaN: true, noDefaultInfinity: true }).map((n) => Math.abs(n))

const coding = fc.constantFrom(...CODINGS)
const flag = fc.boolean()
const request = {
  method: fc.constantFrom('GET' as const, 'HEAD' as const),
  url: text,
  headers,
  proxy: text,
  clientCertificate: fc.record({ cert: text, key: text }),
}

const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({
    type: fc.constant('task'),
    version: fc.constant(PROTOCOL_VERSION),
    task: fc.oneof(
      fc.record(
        { kind: fc.constant('fetch'), ...request, beatMs: count, ca: text, isInsecure: flag, blocksPrivate: flag },
        { requiredKeys: ['kind', 'method', 'url', 'headers', 'beatMs', 'isInsecure', 'blocksPrivate'] },
      ),
      fc.record({ kind: fc.constant('hash'), algorithms: fc.array(text), sizeBytes: count, beatMs: count }),
    ),
  }),
  fc.record({ type: fc.constant('go'), ...request }, { requiredKeys: ['type', 'method', 'url', 'headers'] }),
  fc.record(
    {
      type: fc.constant('receive'),
      offsetBytes: count,
      lengthBytes: bytesOrUnknown,
      skipBytes: count,
      maxBytes: count,
      coding,
    },
    { requiredKeys: ['type', 'offsetBytes', 'lengthBytes', 'skipBytes'] },
  ),
  fc.record({ type: fc.constant('limit'), endBytes: count }),
  fc.record({ type: fc.constant('rate'), bytesPerSecond: fc.option(fc.integer({ min: 1 })) }),
  fc.record({ type: fc.constant('refuse') }),
)

const failure: fc.Arbitrary<ChildFailure> = fc.oneof(
  fc.record({ kind: fc.constant('unknown-host'), host: text, code: text }),
  fc.record({ kind: fc.constant('connect-refused'), host: text }),
  fc.record({ kind: fc.constant('network'), host: text, code: text }),
  fc.record(
    { kind: fc.constant('truncated'), receivedBytes: count, expectedBytes: count, code: text },
    { requiredKeys: ['kind', 'receivedBytes'] },
  ),
  fc.record({ kind: fc.constant('tls'), host: text, code: text }),
  fc.record({ kind: fc.constant('protocol'), code: text }),
  fc.record(
    { kind: fc.constant('proxy'), proxy: text, code: text, status: fc.nat(999) },
    { requiredKeys: ['kind', 'proxy', 'code'] },
  ),
  fc.record({ kind: fc.constant('unauthorized'), status: fc.constant(407) }),
  fc.record({ kind: fc.constant('private-address'), host: text, address: text }),
  fc.record({ kind: fc.constant('broken-coding'), coding, code: text }),
  fc.record({ kind: fc.constant('too-large'), limitBytes: count }),
  fc.record({ kind: fc.constant('disk-full'), path: text }),
  fc.record({ kind: fc.constant('disk-error'), code: text, operation: text, path: text }),
  fc.record({ kind: fc.constant('child-error'), detail: text }),
)

const childMessage: fc.Arbitrary<ChildMessage> = fc.oneof(
  fc.record({ type: fc.constant('ready'), version: count }),
  fc.record({ type: fc.constant('phase'), phase: fc.constantFrom('connecting', 'waiting', 'hashing') }),
  fc.record({
    type: fc.constant('head'),
    status: fc.integer({ min: 100, max: 999 }),
    headers,
    remoteAddress: fc.option(text),
    timings: fc.record({ nameLookupMs: ms, connectMs: ms, startTransferMs: ms }, { requiredKeys: [] }),
  }),
  fc.record({ type: fc.constant('beat'), bytes: count }),
  fc.record({ type: fc.constant('limited'), endBytes: count }),
  fc.record(
    {
      type: fc.constant('done'),
      bytes: count,
      digests: fc.dictionary(fc.constantFrom('sha-256', 'md5'), fc.stringMatching(/^[0-9a-f]{32,128}$/), {
        noNullPrototype: true,
      }),
    },
    { requiredKeys: ['type', 'bytes'] },
  ),
  fc.record({ type: fc.constant('refused') }),
  fc.record({ type: fc.constant('failed'), failure }),
)

describe('what one side can say, the other understands', () => {
  test('every command', () => {
    fc.assert(
      fc.property(command, (message) => {
        expect(decodeCommand(encodeFrame(message))).toEqual({ ok: true, message })
      }),
    )
  })

  test('every message of a child', () => {
    fc.assert(
      fc.property(childMessage, (message) => {
        expect(decodeChildMessage(encodeFrame(message))).toEqual({ ok: true, message })
      }),
    )
  })
})

describe('what is no message is never one, and never throws', () => {
  const decoders = [decodeChildMessage, decodeCommand]
  const isSound = (line: string) => {
    for (const decode of decoders) {
      const decoded = decode(line)
      if (!decoded.ok) {
        expect(decoded.detail).toMatch(/^[^\n]{1,80}$/)
        expect(decoded.detail).not.toContain('undefined')
      }
    }
  }

  test('any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => isSound(Buffer.from(bytes).toString('utf8'))))
  })

  test('any JSON', () => {
    fc.assert(fc.property(fc.json(), isSound))
  })

  test('any message with one field added, missing or of another type', () => {
    fc.assert(
      fc.property(fc.oneof(childMessage, command), fc.nat(9), fc.jsonValue(), (message, at, value) => {
        const fields = Object.entries(message)
        for (const decode of decoders) {
          expect(decode(JSON.stringify({ ...message, surprise: value })).ok).toBe(false)
        }
        const without = Object.fromEntries(fields.filter((_, i) => i !== at % fields.length))
        isSound(JSON.stringify(without))
        isSound(JSON.stringify({ ...without, [fields[at % fields.length]?.[0] ?? '']: value }))
      }),
    )
  })

  test('brackets nested without end', () => {
    for (const decode of decoders) {
      expect(decode('['.repeat(500_000)).ok).toBe(false)
      expect(decode('[['.repeat(100_000) + ']]'.repeat(100_000)).ok).toBe(false)
      expect(decode('{"type":'.repeat(50_000)).ok).toBe(false)
    }
  })

  test.each([
    '',
    'null',
    '[]',
    '"ready"',
    '{}',
    '{"type":"ready"}',
    '{"type":"ready","version":"1"}',
    '{"type":"ready","version":1.5}',
    '{"type":"ready","version":-1}',
    '{"type":"ready","version":1}{"type":"refused"}',
    '{"type":"READY","version":1}',
    '{"type":"__proto__"}',
    '{"__proto__":{"type":"refused"}}',
    '{"type":"phase","phase":"receiving"}',
    '{"type":"phase","phase":"held"}',
    '{"type":"beat","bytes":1e400}',
    '{"type":"beat","bytes":9007199254740993}',
    '{"type":"beat","bytes":null}',
    '{"type":"limited"}',
    '{"type":"limited","endBytes":-1}',
    '{"type":"limited","endBytes":null}',
    '{"type":"limit","endBytes":1}',
    '{"type":"done","bytes":1,"digests":{"sha-256":"XYZ"}}',
    '{"type":"done","bytes":1,"digests":null}',
    '{"type":"head","status":99,"headers":[],"remoteAddress":null,"timings":{}}',
    '{"type":"head","status":1000,"headers":[],"remoteAddress":null,"timings":{}}',
    '{"type":"head","status":200,"headers":[["a"]],"remoteAddress":null,"timings":{}}',
    '{"type":"head","status":200,"headers":[["a","b","c"]],"remoteAddress":null,"timings":{}}',
    '{"type":"head","status":200,"headers":{"a":"b"},"remoteAddress":null,"timings":{}}',
    '{"type":"head","status":200,"headers":[],"remoteAddress":null,"timings":{"connectMs":-1}}',
    '{"type":"failed","failure":{"kind":"cancelled","signal":"SIGINT"}}',
    '{"type":"failed","failure":{"kind":"http-status","status":404}}',
    '{"type":"failed","failure":{"kind":"proxy","proxy":"p:1","code":"x","status":1000}}',
    '{"type":"failed","failure":{"kind":"unauthorized","status":401}}',
    '{"type":"failed","failure":{"kind":"broken-coding","coding":"zip","code":"x"}}',
    '{"type":"refused","why":"because"}',
    '{"type":"go","url":"http://h/","headers":[]}',
  ])('a child that says %s', (line) => {
    expect(decodeChildMessage(line).ok).toBe(false)
  })

  test.each([
    '{"type":"receive","offsetBytes":0,"lengthBytes":null}',
    '{"type":"receive","offsetBytes":0,"lengthBytes":-1,"skipBytes":0}',
    '{"type":"receive","offsetBytes":0,"lengthBytes":1,"skipBytes":-1}',
    '{"type":"receive","offsetBytes":0,"lengthBytes":1,"skipBytes":null}',
    '{"type":"receive","offsetBytes":0,"lengthBytes":null,"skipBytes":0,"maxBytes":null}',
    '{"type":"receive","offsetBytes":0,"lengthBytes":null,"skipBytes":0,"coding":"identity"}',
    '{"type":"go","method":"POST","url":"http://h/","headers":[]}',
    '{"type":"go","url":"http://h/","headers":[]}',
    '{"type":"limit"}',
    '{"type":"limit","endBytes":null}',
    '{"type":"limit","endBytes":0.5}',
    '{"type":"limited","endBytes":1}',
    '{"type":"rate"}',
    '{"type":"rate","bytesPerSecond":0}',
    '{"type":"rate","bytesPerSecond":1.5}',
    '{"type":"beat","bytes":1}',
  ])('a supervisor that says %s', (line) => {
    expect(decodeCommand(line).ok).toBe(false)
  })

  test('a failure whose text is longer than a sentence', () => {
    const failed = (detail: string) => JSON.stringify({ type: 'failed', failure: { kind: 'child-error', detail } })
    expect(decodeChildMessage(failed('x'.repeat(300))).ok).toBe(true)
    expect(decodeChildMessage(failed('x'.repeat(301))).ok).toBe(false)
  })

  test('a task of another version', () => {
    const task = { kind: 'hash', algorithms: ['md5'], sizeBytes: 1, beatMs: 1000 }
    expect(decodeCommand(JSON.stringify({ type: 'task', version: PROTOCOL_VERSION, task })).ok).toBe(true)
    for (const version of [PROTOCOL_VERSION + 1, PROTOCOL_VERSION - 1, 0, String(PROTOCOL_VERSION), null, undefined]) {
      expect(decodeCommand(JSON.stringify({ type: 'task', version, task })).ok).toBe(false)
    }
  })

  test('the detail names the field, and only as much of it as is safe', () => {
    expect(decodeChildMessage('{"type":"beat","bytes":"x"}')).toEqual({ ok: false, detail: 'wrong bytes' })
    expect(decodeChildMessage('nonsense')).toEqual({ ok: false, detail: 'not JSON' })
    expect(decodeChildMessage('7')).toEqual({ ok: false, detail: 'no known message' })
    for (const nameless of ['{}', '[]', '{"type":"gossip"}', '{"type":"constructor"}', '{"type":["beat"],"bytes":1}']) {
      expect(decodeChildMessage(nameless)).toEqual({ ok: false, detail: 'wrong type' })
    }
    const { detail } = { detail: '', ...decodeChildMessage(JSON.stringify({ type: 'refused', ['k'.repeat(9999)]: 1 })) }
    expect(detail.length).toBeLessThanOrEqual(70)
  })
})
