// Runs the cases of a body over plain sockets and TLS, past the parser and through it.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe } from 'vitest'
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

describe.each([
  { scheme: 'http', takeover: true },
  { scheme: 'http', takeover: false },
  { scheme: 'https', takeover: true },
  { scheme: 'https', takeover: false },
] as const)('over $scheme, takeover: $takeover', ({ scheme, takeover }) => {
  bodyCases({
    server: () => servers[scheme],
    options: () => ({ takeover, ...(scheme === 'https' ? { ca: readFileSync(certificates.caPath, 'utf8') } : {}) }),
    isTakenOver: takeover,
    hasProxy: false,
  })
})
