// Decides by which proxy a request goes, if by any. Knows nothing of sockets, or of where the rules come from.

import { BlockList, isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import type { ProxyRules } from '../core/proxy.ts'
import { hostOf } from '../core/redirect.ts'

/**
 * A job's own proxy wins over everything, and `none` sends it directly. The run's proxies are subject to `noProxy`,
 * which is read as curl reads NO_PROXY: entries between commas or spaces; a name, with or without a leading dot, means
 * itself and all below it; an address or network (`10.0.0.0/8`, `fd00::/8`) means hosts that are written as addresses;
 * `*` means all. Of what only others understand, `*.` before a name and a port after an entry are read too.
 */
export function proxyFor(url: string, rules: ProxyRules, jobProxy: string | undefined): string | undefined {
  if (jobProxy !== undefined) return jobProxy === 'none' ? undefined : jobProxy
  const proxy = url.startsWith('https:') ? rules.https : rules.http
  return proxy === undefined || isDirect(new URL(url), rules.noProxy) ? undefined : proxy
}

function isDirect(target: URL, noProxy: string): boolean {
  const host = plainHost(target.hostname)
  const port = /\d+$/.exec(hostOf(target))?.[0]
  return noProxy.split(/[\s,]+/).some((entry) => {
    if (entry === '*') return true
    const withPort = isIP(entry) === 0 ? /^(.+):(\d+)$/.exec(entry) : null
    if (withPort !== null && withPort[2] !== port) return false
    const name = plainHost(withPort?.[1] ?? entry)
    return isIP(host) === 0 ? isBelow(host, name) : isWithin(host, name)
  })
}

/** Without the brackets of an IPv6 address or the dot that ends an absolute name. */
function plainHost(text: string): string {
  return text.replace(/[[\]]|\.$/g, '')
}

function isBelow(host: string, entry: string): boolean {
  const name = domainToASCII(entry.replace(/^\*?\./, ''))
  return name !== '' && `.${host}`.endsWith(`.${name}`)
}

function isWithin(address: string, entry: string): boolean {
  const [network = '', prefix] = entry.split('/')
  const family = isIP(network)
  const bits = family === 4 ? 32 : 128
  const prefixBits = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN
  if (family === 0 || !(prefixBits <= bits)) return false
  const list = new BlockList()
  list.addSubnet(network, prefixBits, family === 4 ? 'ipv4' : 'ipv6')
  return list.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6')
}
