// Proves whom mpdl believes over TLS and what it says of the others, against nginx. Knows nothing of how it verifies.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bodyOf } from '../fixtures/fault-server.ts'
import {
  type Certificates,
  findProgram,
  type NginxServer,
  requireServer,
  selfSignedCa,
  startNginx,
} from '../fixtures/servers.ts'
import { newHome, ONCE, run } from './run-mpdl.ts'

const canRun = requireServer('nginx', findProgram('nginx')) && requireServer('openssl', findProgram('openssl'))

describe.skipIf(!canRun)('TLS', () => {
  const WHOLE = bodyOf(100_000)
  let root: string
  let certificates: Certificates
  let bad: Readonly<Record<string, NginxServer>>
  let asking: NginxServer
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'mpdl-e2e-www-'))
    writeFileSync(join(root, 'a'), WHOLE)
    certificates = selfSignedCa()
    const { keyPath, certPath, caPath } = certificates
    const serve = (path: string) => startNginx({ root, tls: { certPath: path, keyPath } })
    bad = {
      expired: await serve(certificates.expiredCertPath),
      'wrong-host': await serve(certificates.wrongHostCertPath),
      'self-signed': await serve(certificates.untrustedCertPath),
      'unknown-issuer': await serve(certificates.unknownIssuerCertPath),
    }
    asking = await startNginx({
      root,
      tls: { certPath, keyPath },
      extraConf: `ssl_client_certificate ${caPath}; ssl_verify_client on;`,
    })
  })
  afterAll(async () => {
    await Promise.all([...Object.values(bad ?? {}), asking].map((each) => each?.stop()))
    certificates?.remove()
    rmSync(root, { recursive: true, force: true })
  })

  const listOfBad = () =>
    Object.entries(bad)
      .map(([name, { url }]) => `${url}/a\n out=${name}\n`)
      .join('')

  test('[tls] each bad certificate is refused by its name, asked for once, and leaves nothing', async () => {
    const ended = await run({ list: listOfBad(), args: [...ONCE, '--cacert', certificates.caPath, '-t', '3'] })
    const SAYS = [
      /the certificate has expired/,
      /the certificate is for another host/,
      /the certificate is self-signed \(trust it with --cacert FILE\)/,
      /the issuer of the certificate is unknown \(trust it with --cacert FILE\)/,
    ]
    expect(ended.code).toBe(5)
    for (const [i, says] of SAYS.entries()) {
      const { failure, reason, attempts } = ended.row(2 * i + 1)
      expect([failure?.kind, attempts.length, reason]).toEqual(['tls', 1, expect.stringMatching(says)])
    }
    expect([...ended.seen].filter((name) => !name.includes('.part'))).toEqual([])
  })

  test('--insecure downloads from all of them, and says so where everybody looks', async () => {
    const home = newHome()
    const text = home.at('report.txt')
    const loudly = ['--insecure', '--report', text, '--progress', 'lines']
    const ended = await run({ home, list: listOfBad(), args: [...ONCE, ...loudly] })
    expect(ended.code).toBe(0)
    for (const name of Object.keys(bad)) expect([name, ended.bytes(name).equals(WHOLE)]).toEqual([name, true])
    const loud = /CERTIFICATES NOT VERIFIED \(--insecure\)/
    expect(ended.stderr).toMatch(loud)
    expect(readFileSync(text, 'utf8')).toMatch(loud)
    expect(ended.report.run.insecure).toBe(true)
    const safe = await run({ list: listOfBad(), args: ONCE })
    expect([safe.report.run.insecure, loud.test(safe.stderr)]).toEqual([false, false])
  })

  test('a server that asks who is there is shown the certificate, whole and in one file', async () => {
    const { clientCertPath, clientKeyPath, caPath } = certificates
    const home = newHome()
    const both = home.at('both.pem')
    writeFileSync(both, readFileSync(clientKeyPath, 'utf8') + readFileSync(clientCertPath, 'utf8'), { mode: 0o600 })
    for (const shown of [
      ['--cert', clientCertPath, '--key', clientKeyPath],
      ['--cert', both],
    ]) {
      const args = [...ONCE, '--force', '--cacert', caPath, ...shown]
      const ended = await run({ home, list: `${asking.url}/a`, args })
      expect([ended.code, ended.stderr, ended.bytes('a').equals(WHOLE)]).toEqual([0, '', true])
    }
    const nobody = await run({ list: `${asking.url}/a`, args: [...ONCE, '--cacert', caPath] })
    expect([nobody.code, nobody.row(1).failure]).toEqual([8, expect.objectContaining({ status: 400 })])
  })

  test('certificates and keys that are none, or no pair, are refused before a byte moves, by option and file', async () => {
    const { clientCertPath, clientKeyPath, keyPath } = certificates
    const home = newHome()
    const text = home.at('text.pem')
    writeFileSync(text, 'no certificate\n')
    const before = asking.accessLog().length
    for (const [args, says] of [
      [['--cert', home.at('missing.pem'), '--key', clientKeyPath], /--cert:? .*missing\.pem/],
      [['--cert', text, '--key', clientKeyPath], /--cert:? .*text\.pem/],
      [['--cert', clientCertPath, '--key', text], /--key:? .*text\.pem/],
      [['--cert', clientCertPath], /--key/],
      [['--cert', clientCertPath, '--key', keyPath], /--key/],
      [['--key', clientKeyPath], /--cert/],
      [['--cacert', text], /--cacert:? .*text\.pem/],
    ] as const) {
      const ended = await run({ home, list: `${asking.url}/a`, args })
      expect([args, ended.code]).toEqual([args, expect.toSatisfy((code) => code === 78 || code === 64)])
      expect(ended.stderr).toMatch(says)
    }
    expect(asking.accessLog().length - before).toBe(0)
  })
})
