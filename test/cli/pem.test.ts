// Certificates and keys as people have them: whole, apart, encrypted, mixed up.

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readCertificates, readClientCertificate } from '../../src/cli/pem.ts'
import { type Certificates, findProgram, requireServer, selfSignedCa } from '../fixtures/servers.ts'

describe.runIf(requireServer('openssl', findProgram('openssl')))('a certificate with its key', () => {
  let own: Certificates
  const at = (name: string) => join(dirname(own.certPath), name)
  const openssl = (...args: readonly string[]) => execFileSync('openssl', args, { stdio: 'pipe' })
  beforeAll(() => {
    own = selfSignedCa()
    writeFileSync(at('both.pem'), readFileSync(own.keyPath, 'utf8') + readFileSync(own.certPath, 'utf8'))
    writeFileSync(at('torn.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
    writeFileSync(at('torn.key'), '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n')
    openssl('pkey', '-in', own.keyPath, '-aes256', '-passout', 'pass:canary', '-out', at('pkcs8.key'))
    openssl('ec', '-in', own.keyPath, '-aes256', '-passout', 'pass:canary', '-out', at('old.key'))
  })
  afterAll(() => own.remove())

  test('is read from two files or from one', () => {
    const apart = readClientCertificate(own.certPath, own.keyPath)
    expect(apart).toEqual({ cert: readFileSync(own.certPath, 'utf8'), key: readFileSync(own.keyPath, 'utf8') })
    expect(readClientCertificate(at('both.pem'), undefined).key).toContain('PRIVATE KEY')
    expect(readCertificates('--cacert', own.caPath)).toBe(readFileSync(own.caPath, 'utf8'))
  })

  const key = 'BEGIN PRIVATE KEY'
  test.each([
    ['nowhere.pem', undefined, '--cert: cannot read DIR/nowhere.pem: ENOENT'],
    ['server.key', undefined, '--cert: DIR/server.key holds no PEM certificate (-----BEGIN CERTIFICATE-----)'],
    [
      'server.pem',
      undefined,
      `DIR/server.pem holds no PEM private key (-----${key}-----); give the file of the key with`,
    ],
    ['server.pem', 'nowhere.key', '--key: cannot read DIR/nowhere.key: ENOENT'],
    ['server.pem', 'ca.pem', `--key: DIR/ca.pem holds no PEM private key (-----${key}-----)`],
    [
      'server.pem',
      'ca.key',
      '--key: the key in DIR/ca.key does not belong to the (first) certificate in DIR/server.pem',
    ],
    ['server.pem', 'pkcs8.key', '--key: the key in DIR/pkcs8.key is encrypted; decrypt it (umask 077; openssl pkey'],
    ['server.pem', 'old.key', '--key: the key in DIR/old.key is encrypted; decrypt it'],
    ['torn.pem', 'server.key', '--cert: DIR/torn.pem is no certificate that can be read (ERR_OSSL_'],
    ['server.pem', 'torn.key', '--key: the key in DIR/torn.key cannot be read (ERR_OSSL_'],
  ])('%s with %s is refused with what to do', (cert, keyName, sentence) => {
    const read = () => readClientCertificate(at(cert), keyName === undefined ? undefined : at(keyName))
    expect(read).toThrow(sentence.replaceAll('DIR', dirname(own.certPath)))
    expect(read).toThrow(expect.objectContaining({ exitCode: 78 }))
  })
})
