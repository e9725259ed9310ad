// Runs the cases of a body over plain sockets and TLS: past Node's parser, through it, and by the plain exchange.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe } from 'vitest'
import { plainExchange } from '../../src/child/plain-exchange.ts'
import { type FaultServer, startFaultServer } from '../fixtures/fault-server.ts'
import { type Certificates, selfSignedCa } from '../fixtures/servers.ts'
import { bodyCases } from './body.cases.ts'

let certificates: Certificates
let servers: Readonly<Record<'http' | 'https', FaultServer>>
beforeAll(async () => {
  certificates = selfSignedCa()
  const tls = { key: readFileSync(certificates.keyPath), cert: readFileSync(certificates.certPath) }
  servers = { http: await startFaultServer(), https: await startFaultServer({ tls }) }
})
afterAll(async () => {
  await servers.http.stop()
  await servers.https.stop()
  certificates.remove()
})

describe.each(['http', 'https'] as const)('over %s', (scheme) => {
  const trust = () => (scheme === 'https' ? { ca: readFileSync(certificates.caPath, 'utf8') } : {})
  const server = () => servers[scheme]

  describe.each([
    ['past the parser', true],
    ['through the parser', false],
  ])('%s', (_, takeover) => {
    bodyCases({ server, options: () => ({ takeover, ...trust() }), isTakenOver: takeover, hasProxy: false })
  })

  describe('by the plain exchange', () => {
    const openPlain = plainExchange()
    bodyCases({
      server,
      options: () => ({ openPlain, ...trust() }),
      fresh: () => ({ openPlain: plainExchange() }),
      isTakenOver: true,
      hasProxy: false,
    })
  })
})
