// The one server of a benchmark: nginx on loopback as Debian configures it, plain and with TLS, and ways to it that are
// long or narrow. Knows nothing of who asks it.

import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findProgram } from './find-program.ts'
import { type Guarded, startServer } from './guard.ts'
import { answers, findFreePort } from './port.ts'
import type { LinkPace, Way } from './workloads.ts'

/** Below this every name is the same tiny file. */
export const TINY_PATH = 'tiny'
export const TINY_FILE = 'tiny.bin'

const READY_MS = 20_000
const POLL_MS = 10

export interface BenchServer {
  readonly caPath: string
  /** Not where there is no openssl. */
  readonly hasTls: boolean
  /** Up to the path, over that way; a link there is started when it is first wanted. */
  urlOf(way: Way): Promise<string>
  stop(): Promise<void>
}

/** Serves `root`; keeps its own files in `scratch`. */
export async function startBenchServer(nginx: string, root: string, scratch: string): Promise<BenchServer> {
  const [plainPort, tlsPort] = [await findFreePort(), await findFreePort()]
  const caPath = join(scratch, 'ca.pem')
  const keyPath = join(scratch, 'key.pem')
  const hasTls = makeCertificate(caPath, keyPath)
  const tls = `
  server {
    listen 127.0.0.1:${tlsPort} ssl;
    ssl_certificate ${caPath};
    ssl_certificate_key ${keyPath};
    root ${root};
  }`
  const temporaries = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `  ${name}_temp_path ${join(scratch, name)};`)
    .join('\n')
  const conf = join(scratch, 'nginx.conf')
  writeFileSync(
    conf,
    `daemon off;
master_process off;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${join(scratch, 'nginx.pid')};
events { worker_connections 1024; }
http {
  access_log off;
${temporaries}
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  server {
    listen 127.0.0.1:${plainPort} backlog=1024;
    root ${root};
    location /${TINY_PATH}/ { rewrite ^ /${TINY_FILE} break; }
  }${hasTls ? tls : ''}
}
`,
  )
  const server = startServer([nginx, '-p', scratch, '-e', 'stderr', '-c', conf], process.env)
  await untilAnswers(server, plainPort)
  const links = new Map<string, { readonly port: number; readonly process: Guarded }>()
  return {
    caPath,
    hasTls,
    urlOf: async (way) => {
      if (way === 'plain') return `http://127.0.0.1:${plainPort}`
      if (way === 'tls') return `https://127.0.0.1:${tlsPort}`
      const key = JSON.stringify(way)
      const link = links.get(key) ?? (await openLink(plainPort, way))
      links.set(key, link)
      return `http://127.0.0.1:${link.port}`
    },
    stop: async () => {
      await Promise.all([...[...links.values()].map((link) => link.process.stop()), server.stop()])
    },
  }
}

async function openLink(serverPort: number, pace: LinkPace) {
  const link = startLink(serverPort, pace)
  const said = await Promise.race([once(link.child.stdout ?? link.child, 'data'), link.ended])
  if (!Array.isArray(said)) throw new Error(`the link does not start: ${said.stderr}`)
  return { port: Number(said[0]), process: link }
}

/** Says its port. */
export function startLink(serverPort: number, { roundTripMs, bytesPerS }: LinkPace): Guarded {
  const program = join(import.meta.dirname, 'link.ts')
  const args = [serverPort, roundTripMs, bytesPerS].map(String)
  return startServer([process.execPath, program, ...args], process.env)
}

/** Its own authority, so that tools can be told to trust it; false where there is no openssl. */
function makeCertificate(certPath: string, keyPath: string): boolean {
  const openssl = findProgram('openssl')
  if (openssl === undefined) return false
  const how = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost'
  const names = ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  execFileSync(openssl, [...how.split(' '), ...names, '-keyout', keyPath, '-out', certPath], { stdio: 'pipe' })
  return true
}

async function untilAnswers(server: Guarded, port: number): Promise<void> {
  let hasEnded = false
  void server.ended.finally(() => (hasEnded = true)).catch(() => {})
  const deadline = performance.now() + READY_MS
  while (!(await answers(port))) {
    if (hasEnded || performance.now() > deadline) {
      await server.stop()
      throw new Error(`nginx does not start: ${(await server.ended).stderr}`)
    }
    await sleep(POLL_MS)
  }
}
