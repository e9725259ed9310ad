// Decides how a proxy may be written and which ones an environment names. Knows nothing of sockets, or of which request
// goes where.

import { quoted } from './redact.ts'
import { hostOf } from './redirect.ts'

/** URLs of proxies with their credentials, by the scheme of what is asked for. */
export interface ProxyRules {
  readonly http?: string
  readonly https?: string
  /** Hosts that are asked directly: names with all below them, `*`, addresses, networks, each perhaps with a port. */
  readonly noProxy: string
}

export type ProxyResult =
  | { readonly ok: true; readonly url: string }
  /** A sentence that begins with `proxy`; of what was given it quotes the scheme at most. */
  | { readonly ok: false; readonly problem: string }

/** As curl has it; `https` is the only scheme whose own port counts. */
const DEFAULT_PORTS = { http: '1080', https: '443', socks5: '1080', socks5h: '1080' }

/**
 * Reads a proxy as curl does: without a scheme it is `http://`, and without a port it is 1080, but 443 for `https://`.
 * With `socks5://` names are looked up here, with `socks5h://` by the proxy. What comes back is
 * `scheme://[user[:password]@]host:port`, with user and password percent-encoded.
 */
export function parseProxy(text: string): ProxyResult {
  const fail = (problem: string): ProxyResult => ({ ok: false, problem: `proxy ${problem}` })
  const [, given, authority] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(.*)$/is.exec(text.trim()) ?? []
  const scheme = given?.toLowerCase() ?? 'http'
  if (!isScheme(scheme)) return fail(whyNoScheme(scheme))
  const url = URL.parse(`http://${authority}`)
  // The port as it was written: a URL leaves out the one that is its scheme's own, and no scheme owns this one.
  const port = URL.parse(`proxy://${authority}`)?.port
  // URL drops a TAB or a line's end wherever it stands, in a password too.
  if (url === null || port === undefined || /\p{Cc}/u.test(text)) {
    return fail('is no valid URL; write http://host:port')
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    return fail('has a path; write http://host:port, and / ? # of a password as %2F %3F %23')
  }
  if (!isDecodable(url.username) || !isDecodable(url.password)) {
    return fail('has a user or password with a % that is no %XX; write % as %25')
  }
  const password = url.password === '' ? '' : `:${url.password}`
  const user = url.username + password === '' ? '' : `${url.username}${password}@`
  return { ok: true, url: `${scheme}://${user}${url.hostname}:${port || DEFAULT_PORTS[scheme]}` }
}

function isScheme(scheme: string): scheme is keyof typeof DEFAULT_PORTS {
  return Object.hasOwn(DEFAULT_PORTS, scheme)
}

function whyNoScheme(scheme: string): string {
  if (scheme === 'socks') {
    return 'is "socks:"; write socks5:// to look names up here or socks5h:// to let the proxy do it'
  }
  const known = 'known are http, https, socks5 and socks5h'
  return /^socks4a?$/.test(scheme)
    ? `is "${scheme}:", which has no passwords and no IPv6; ${known}`
    : `is ${quoted(`${scheme}:`)}; ${known}`
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/** Its host and port, for messages. */
export function proxyLabel(url: string): string {
  return hostOf(new URL(url))
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The proxies that curl would take from an environment: `http_proxy`, only in lower case, because a CGI program's
 * HTTP_PROXY is a header some client sent; `https_proxy`, and `all_proxy` for what has none of its own, in lower case
 * or else in upper. An empty one counts as absent. The sentence names the variable.
 */
export function proxiesFromEnvironment(
  env: Environment,
): { readonly ok: true; readonly rules: ProxyRules } | { readonly ok: false; readonly problem: string } {
  const rules: { -readonly [K in keyof ProxyRules]: ProxyRules[K] } = { noProxy: noProxyOf(env) }
  for (const [scheme, names] of [
    ['http', ['http_proxy', 'all_proxy', 'ALL_PROXY']],
    ['https', ['https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY']],
  ] as const) {
    const name = names.find((each) => env[each])
    if (name === undefined) continue
    const result = parseProxy(env[name] ?? '')
    if (!result.ok) return { ok: false, problem: `${name}: ${result.problem}` }
    rules[scheme] = result.url
  }
  return { ok: true, rules }
}

/** Counts for `--proxy` too, as with curl. */
export function noProxyOf(env: Environment): string {
  return env['no_proxy'] || env['NO_PROXY'] || ''
}

/**
 * What a host's health is known by: where an entry goes a way of its own, what befalls it there says nothing of the
 * others. `host`: with its port; `proxy`: the entry's own, or `none`.
 */
export function routeOf(host: string, proxy: string | undefined): string {
  if (proxy === undefined) return host
  return proxy === 'none' ? `${host} directly` : `${host} by proxy ${proxyLabel(proxy)}`
}
