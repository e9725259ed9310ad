// Makes the files that are downloaded, and says whether what arrived is the same. Bytes without a pattern, the same on
// every machine; knows nothing of workloads' meaning.

import { createCipheriv, createHash } from 'node:crypto'
import { closeSync, fstatSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

const CHUNK_BYTES = 2 ** 20
const zeros = Buffer.alloc(CHUNK_BYTES)
const chunks = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)] as const

/** A key stream of the name: no two files have a stretch in common. */
export function makeFile(path: string, name: string, sizeBytes: number): void {
  mkdirSync(dirname(path), { recursive: true })
  const key = createHash('sha256').update(name).digest().subarray(0, 16)
  const stream = createCipheriv('aes-128-ctr', key, Buffer.alloc(16))
  const file = openSync(path, 'wx')
  try {
    for (let left = sizeBytes; left > 0; left -= CHUNK_BYTES) {
      writeAll(file, stream.update(zeros.subarray(0, Math.min(left, CHUNK_BYTES))))
    }
  } finally {
    closeSync(file)
  }
}

function writeAll(file: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; at += writeSync(file, bytes, at));
}

/** What is wrong with the copy, byte by byte; undefined when nothing is. */
export function differenceOf(sourcePath: string, copyPath: string): string | undefined {
  const source = openSync(sourcePath, 'r')
  try {
    const copy = openIfThere(copyPath)
    if (copy === undefined) return 'is missing'
    try {
      return differenceOfOpen(source, copy)
    } finally {
      closeSync(copy)
    }
  } finally {
    closeSync(source)
  }
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

function differenceOfOpen(source: number, copy: number): string | undefined {
  const [sizeBytes, copyBytes] = [fstatSync(source).size, fstatSync(copy).size]
  if (sizeBytes !== copyBytes) return `has ${copyBytes} bytes instead of ${sizeBytes}`
  for (let at = 0; at < sizeBytes; ) {
    const [wanted, found] = [chunkAt(source, chunks[0], at), chunkAt(copy, chunks[1], at)]
    if (!wanted.equals(found)) return `differs somewhere after byte ${at}`
    at += wanted.length
  }
  return undefined
}

/** As much as fits or is there: a file on a disk is read in one go. */
function chunkAt(file: number, chunk: Buffer, at: number): Buffer {
  return chunk.subarray(0, readSync(file, chunk, 0, chunk.length, at))
}
