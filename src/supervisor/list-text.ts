// Decides how the bytes of a list are got at: opened, unpacked, or copied aside where they come only once. Knows nothing
// of what they say.

import { closeSync, constants, createReadStream, openSync, readSync, statSync, writeSync } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { excerpt } from '../core/printable.ts'
import { redactUrl } from '../core/redact.ts'
import { codeOf } from './disk-failure.ts'
import { openNameless } from './nameless-file.ts'

const CHUNK_BYTES = 1 << 20
const MAX_SPOOL_BYTES = 4 * 2 ** 30
/** Of a path in a problem: cut so late that only a hostile one is. */
const SHOWN_PATH_CHARACTERS = 1000

/** Where the list comes from. `urls` are taken as URLs only, each a row of its own. */
export type ListSource =
  | { kind: 'file'; path: string }
  | { kind: 'stream'; stream: NodeJS.ReadableStream; name: string }
  | { kind: 'urls'; urls: readonly string[] }

/** Random access to the list's bytes; offsets hold as long as nobody edits the file. */
export interface ListText {
  /** Fills `buffer` from `at`; returns how many bytes came, 0 at the end. */
  readInto(buffer: Buffer, at: number, offset: number): number
  /** At most `length` bytes; valid until the next call. */
  read(offset: number, length: number): Buffer
  close(): void
}

/** `name` is what people call the list, safe to show. */
export type OpenedText =
  | { ok: true; text: ListText; name: string }
  | { ok: false; kind: 'no-list' | 'bad-list'; problem: string }
type Refusal = Extract<OpenedText, { ok: false }>

/** Opens the source for reading at any offset. Closes what it opened unless the result is ok. */
export async function openText(source: ListSource, spoolDir: string): Promise<OpenedText> {
  if (source.kind === 'urls') {
    // As JSON a URL cannot be taken for an option, a comment or two rows.
    const bytes = Buffer.from(source.urls.map((url) => JSON.stringify({ url })).join('\n'))
    return { ok: true, text: memoryText(bytes), name: 'command line' }
  }
  const name = source.kind === 'file' ? excerpt(redactUrl(source.path), SHOWN_PATH_CHARACTERS) : source.name
  const raw =
    source.kind === 'file' ? await openFile(source.path, name, spoolDir) : await spool(source.stream, name, spoolDir)
  if (typeof raw !== 'number') return raw
  let isKept = false
  try {
    if (isGzip(raw)) {
      const plain = await spool(Readable.from(chunksOf(raw)), name, spoolDir, true)
      return typeof plain === 'number' ? { ok: true, text: fileText(plain), name } : plain
    }
    isKept = true
    return { ok: true, text: fileText(raw), name }
  } catch (error) {
    return noList(whyUnreadable(diskCode(error), name, name))
  } finally {
    if (!isKept) closeSync(raw)
  }
}

/** A file stream would close the descriptor when unpacking fails, and then it would be closed twice. */
function* chunksOf(fd: number): Generator<Buffer> {
  for (let offset = 0; ; ) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    const count = readSync(fd, chunk, 0, CHUNK_BYTES, offset)
    if (count === 0) return
    yield chunk.subarray(0, count)
    offset += count
  }
}

async function openFile(path: string, name: string, spoolDir: string): Promise<number | Refusal> {
  try {
    const kind = statSync(path)
    if (kind.isDirectory()) return noList(`${name} is a directory; give a list file, a URL or - for standard input`)
    // A pipe, as from <(command), can be read only once.
    if (!kind.isFile()) return await spool(createReadStream(path), name, spoolDir)
    return openSync(path, constants.O_RDONLY)
  } catch (error) {
    return noList(whyUnreadable(diskCode(error), path, name))
  }
}

function whyUnreadable(code: string, path: string, name: string): string {
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    const isUrl = /^[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}(?::\d+)?\//i.test(path)
    const hint = isUrl ? `did you mean https://${name}?` : 'give a list file, a URL or - for standard input'
    return `${name} does not exist; ${hint}`
  }
  if (code === 'EACCES' || code === 'EPERM') return `${name} may not be read by this user; change its permissions`
  return `${name} cannot be read: ${code}; give a list file, a URL or - for standard input`
}

function isGzip(fd: number): boolean {
  const magic = Buffer.alloc(3)
  return readSync(fd, magic, 0, 3, 0) === 3 && magic.equals(Buffer.from([0x1f, 0x8b, 0x08]))
}

/** Copies a stream into a file that has no name any more, so that nothing is left whatever happens. */
async function spool(
  stream: NodeJS.ReadableStream,
  name: string,
  spoolDir: string,
  isPacked = false,
): Promise<number | Refusal> {
  let fd: number
  try {
    fd = openNameless(spoolDir, 'list')
  } catch (error) {
    const where = excerpt(spoolDir, SHOWN_PATH_CHARACTERS)
    return noList(`${name} cannot be copied to ${where}: ${diskCode(error)}; make it writable`)
  }
  const refusal = await copy(stream, fd, name, isPacked)
  if (refusal === undefined) return fd
  closeSync(fd)
  return refusal
}

async function copy(
  stream: NodeJS.ReadableStream,
  fd: number,
  name: string,
  isPacked: boolean,
): Promise<Refusal | undefined> {
  let refusal: Refusal | undefined
  const write = async (chunks: AsyncIterable<string | Uint8Array>): Promise<void> => {
    let sizeBytes = 0
    for await (const chunk of chunks) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      sizeBytes += bytes.length
      refusal = sizeBytes > MAX_SPOOL_BYTES ? tooBig(name) : append(fd, bytes, name)
      if (refusal !== undefined) return
    }
  }
  try {
    if (isPacked) await pipeline(stream, createGunzip(), write)
    else await pipeline(stream, write)
  } catch (error) {
    const cause = codeOf(error) ?? 'the stream failed'
    const isDamage = isPacked && cause.startsWith('Z_')
    refusal ??= isDamage
      ? { ok: false, kind: 'bad-list', problem: `${name} is damaged or cut off gzip; copy or pack it again` }
      : noList(`${name} cannot be read: ${cause}; run again with a list that can`)
  }
  return refusal
}

function append(fd: number, bytes: Uint8Array, name: string): Refusal | undefined {
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
    return undefined
  } catch (error) {
    return noList(`${name} cannot be copied aside: ${diskCode(error)}; make room and run again`)
  }
}

function tooBig(name: string): Refusal {
  const problem = `${name} unpacks to more than ${MAX_SPOOL_BYTES / 2 ** 30} GiB; split the list`
  return { ok: false, kind: 'bad-list', problem }
}

function noList(problem: string): Refusal {
  return { ok: false, kind: 'no-list', problem }
}

function fileText(fd: number): ListText {
  let scratch = Buffer.allocUnsafe(4096)
  let isOpen = true
  return {
    readInto: (buffer, at, offset) => readSync(fd, buffer, at, buffer.length - at, offset),
    read: (offset, length) => {
      if (scratch.length < length) scratch = Buffer.allocUnsafe(length * 2)
      let count = 0
      for (let got = 1; got > 0 && count < length; count += got) {
        got = readSync(fd, scratch, count, length - count, offset + count)
      }
      return scratch.subarray(0, count)
    },
    close: () => {
      if (isOpen) closeSync(fd)
      isOpen = false
    },
  }
}

function memoryText(bytes: Buffer): ListText {
  return {
    readInto: (buffer, at, offset) => bytes.copy(buffer, at, offset),
    read: (offset, length) => bytes.subarray(offset, offset + length),
    close: () => {},
  }
}

/** The errno of what the system refused; anything else is a bug and thrown on. */
function diskCode(error: unknown): string {
  const code = codeOf(error)
  if (code === undefined) throw error
  return code
}
