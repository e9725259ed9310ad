// Certificates and keys of the command line: readable, PEM, and fitting each other, or a sentence that says what to
// do. Knows nothing of connections.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { ClientCertificate } from '../protocol/message.ts'
import { codeOf } from '../supervisor/disk-failure.ts'
import { UsageError } from './usage-error.ts'

const CERTIFICATE = '-----BEGIN CERTIFICATE-----'
const KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/
const ENCRYPTED = /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m

/** One certificate or more that are to be trusted. */
export function readCertificates(option: '--cacert' | '--cert', path: string): string {
  const text = readText(option, path)
  if (!text.includes(CERTIFICATE)) throw problem(`${option}: ${path} holds no PEM certificate (${CERTIFICATE})`)
  return text
}

/** The certificate that says who is there; its key is in the same file unless `keyPath` names another. */
export function readClientCertificate(certPath: string, keyPath: string | undefined): ClientCertificate {
  const cert = readCertificates('--cert', certPath)
  const [option, path] = keyPath === undefined ? ['--cert', certPath] : ['--key', keyPath]
  const key = keyPath === undefined ? cert : readText('--key', keyPath)
  if (ENCRYPTED.test(key)) {
    const plain = 'umask 077; openssl pkey -in FILE -out PLAIN'
    throw problem(`${option}: the key in ${path} is encrypted; decrypt it (${plain}) and give that with --key`)
  }
  if (!KEY.test(key)) {
    const hint = keyPath === undefined ? '; give the file of the key with --key FILE' : ''
    throw problem(`${option}: ${path} holds no PEM private key (-----BEGIN PRIVATE KEY-----)${hint}`)
  }
  const certificate = parsed(() => new X509Certificate(cert), `--cert: ${certPath} is no certificate that can be read`)
  const secret: KeyObject = parsed(() => createPrivateKey(key), `${option}: the key in ${path} cannot be read`)
  if (!certificate.checkPrivateKey(secret)) {
    throw problem(`${option}: the key in ${path} does not belong to the (first) certificate in ${certPath}`)
  }
  return { cert, key }
}

function readText(option: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw problem(`${option}: cannot read ${path}: ${codeOf(error) ?? error}`)
  }
}

/** OpenSSL's own words help nobody, but their code may be looked up. */
function parsed<T>(parse: () => T, sentence: string): T {
  try {
    return parse()
  } catch (error) {
    throw problem(`${sentence} (${codeOf(error) ?? error})`)
  }
}

function problem(sentence: string): UsageError {
  return new UsageError(sentence, 78)
}
