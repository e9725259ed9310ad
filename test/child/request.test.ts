// Proves that a request goes out as it was ordered: its method, who it trusts, and who it says it is.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { type Certificates, selfSignedCa } from '../fixtures/servers.ts'
import { type Claim, type FetchOptions, PlayedSupervisor } from './play-supervisor.ts'

let certificates: Certificates
let ca: string
let plain: FaultServer
let untrusted: FaultServer
/** Answers with the name in the client's certificate. */
let asking: Server
beforeAll(async () => {
  certificates = selfSignedCa()
  ca = readFileSync(certificates.caPath, 'utf8')
  const key = readFileSync(certificates.keyPath)
  plain = await startFaultServer()
  untrusted = await startFaultServer({ tls: { key, cert: readFileSync(certificates.untrustedCertPath) } })
  const options = { key, cert: readFileSync(certificates.certPath), ca, requestCert: true, rejectUnauthorized: false }
  asking = createServer(options, ({ socket }, response) => {
    response.end(String((socket as TLSSocket).getPeerCertificate().subject?.CN ?? 'nobody'))
  })
  await once(asking.listen(0, '127.0.0.1'), 'listening')
})
afterAll(async () => {
  await plain.stop()
  await untrusted.stop()
  asking.close()
  certificates.remove()
})

async function bodyOrFailure(options: FetchOptions): Promise<string | Claim> {
  const child = new PlayedSupervisor(options)
  await Promise.race([child.receive(), child.said('failed')])
  const claim = await child.claim()
  const body = child.file().toString()
  child.remove()
  return claim.type === 'done' ? body : claim
}
const urlOf = (server: Server) => `https://127.0.0.1:${(server.address() as AddressInfo).port}/`

test('a HEAD has the head of a GET and no body to wait for, and a GET may follow', async () => {
  const url = plain.url('/ok?size=5000')
  const child = new PlayedSupervisor({ method: 'HEAD', url })
  const { headers } = await child.said('head')
  expect(headers).toContainEqual(['content-length', '5000'])
  child.send({ type: 'go', method: 'GET', url: `${url}&then`, headers: [] })
  await child.said('head', (head) => head !== child.messages.find(({ type }) => type === 'head'))
  await child.receive()
  expect(await child.claim()).toEqual({ type: 'done', bytes: 5000 })
  child.remove()
  expect(plain.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET'])
})

test('a HEAD whose answer is received brings nothing, and does not wait', async () => {
  const child = new PlayedSupervisor({ method: 'HEAD', url: plain.url('/ok?size=5000') })
  await child.receive({ lengthBytes: null })
  expect(await child.claim()).toEqual({ type: 'done', bytes: 0 })
  child.remove()
})

test('a certificate that nobody vouches for is refused, unless it need not be valid', async () => {
  const url = untrusted.url('/ok?size=3')
  const failure = { kind: 'tls', code: 'DEPTH_ZERO_SELF_SIGNED_CERT', host: `127.0.0.1:${untrusted.port}` }
  expect(await bodyOrFailure({ url })).toEqual({ type: 'failed', failure })
  expect(await bodyOrFailure({ url, isInsecure: true })).toHaveLength(3)
})

test('who asks for a certificate gets the one that was ordered, or none', async () => {
  const clientCertificate = {
    cert: readFileSync(certificates.clientCertPath, 'utf8'),
    key: readFileSync(certificates.clientKeyPath, 'utf8'),
  }
  const url = urlOf(asking)
  expect(await bodyOrFailure({ url, ca })).toBe('nobody')
  expect(await bodyOrFailure({ url, ca, clientCertificate })).toBe('mpdl client')
})

test('a certificate and a key that do not belong together are a failure of TLS, and told without their text', async () => {
  const clientCertificate = { cert: readFileSync(certificates.clientCertPath, 'utf8'), key: 'no key' }
  const failure = { kind: 'tls', code: expect.stringMatching(/^ERR_OSSL_/), host: expect.any(String) }
  expect(await bodyOrFailure({ url: urlOf(asking), ca, clientCertificate })).toEqual({ type: 'failed', failure })
  const other = { ...clientCertificate, key: readFileSync(certificates.keyPath, 'utf8') }
  expect(await bodyOrFailure({ url: urlOf(asking), ca, clientCertificate: other })).toEqual({ type: 'failed', failure })
})
