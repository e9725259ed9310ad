// Decides which addresses are public, and lets a connection be made to no others. Loaded late: few lists need it.

import dns from 'node:dns'
import type { LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'
import { KnownFailure } from './failure-of.ts'

const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3')
/** RFC 6052 §2.1: a gateway sends what goes there to the IPv4 address in the last four bytes. */
const NAT64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96')

/** Whether `address` is one that the whole internet shares; false for whatever is no address. */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false
  const parsed = ipaddr.process(address)
  if (parsed instanceof ipaddr.IPv4) return parsed.range() === 'unicast'
  if (parsed.match(NAT64)) return new ipaddr.IPv4(parsed.toByteArray().slice(-4)).range() === 'unicast'
  return parsed.range() === 'unicast' && parsed.match(GLOBAL_UNICAST)
}

/**
 * Throws for a host that tells without a lookup that it is not public: an address in whatever spelling (URL makes them
 * all one), or this machine's own name (RFC 6761 §6.3).
 */
export function refusePrivateHost(url: string): void {
  const { hostname } = new URL(url)
  const literal = hostname.replace(/^\[|\]$/g, '')
  if (/(?:^|\.)localhost\.?$/.test(hostname)) refuse(hostname, 'localhost')
  if (ipaddr.isValid(literal) && !isPublicAddress(literal)) refuse(hostname, literal)
}

/**
 * The lookup of a connection. What was checked is what is connected to: a second lookup might be told something else.
 * One private address among public ones refuses them all, because a name server that mixes them tries its luck, and
 * which of them a connection takes is chance.
 */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  dns.lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, '')
    const wrong = addresses.find(({ address }) => !isPublicAddress(address))
    if (wrong !== undefined) return callback(privateAddress(hostname, wrong.address), '')
    const [first] = addresses
    if (options.all === true || first === undefined) callback(null, addresses)
    else callback(null, first.address, first.family)
  })
}

const privateAddress = (host: string, address: string) =>
  new KnownFailure({ kind: 'private-address', host: host.slice(0, 255), address })

function refuse(host: string, address: string): never {
  throw privateAddress(host, address)
}
