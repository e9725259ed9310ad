// Decides whether each request goes by the proxy that curl would take.

import { describe, expect, test } from 'vitest'
import { proxyFor } from '../../src/supervisor/proxy-choice.ts'

const rules = (noProxy: string) => ({ http: 'http://p:1', https: 'http://q:2', noProxy })
const isDirect = (url: string, noProxy: string) => proxyFor(url, rules(noProxy), undefined) === undefined

describe('proxyFor', () => {
  test('the scheme of what is asked for chooses', () => {
    expect(proxyFor('http://h/', rules(''), undefined)).toBe('http://p:1')
    expect(proxyFor('https://h/', rules(''), undefined)).toBe('http://q:2')
    expect(proxyFor('https://h/', { http: 'http://p:1', noProxy: '' }, undefined)).toBeUndefined()
  })

  test('a job’s own proxy wins over everything', () => {
    expect(proxyFor('http://h/', rules('*'), 'socks5h://own:1')).toBe('socks5h://own:1')
    expect(proxyFor('http://h/', rules(''), 'none')).toBeUndefined()
  })
})

describe('noProxy', () => {
  test.each([
    ['http://example.com/', 'example.com'],
    ['http://www.example.com/', 'example.com'],
    ['http://example.com/', '.example.com'],
    ['http://a.b.example.com/', '*.example.com'],
    ['http://EXAMPLE.com./', 'example.COM'],
    ['http://example.com/', 'example.com.'],
    ['http://example.com/', 'other, example.com'],
    ['http://example.com/', 'other example.com'],
    ['http://anything/', '*'],
    ['http://anything/', 'other,*'],
    ['http://localhost:8080/', 'localhost'],
    ['http://h:8080/', 'h:8080'],
    ['http://h/', 'h:80'],
    ['https://h/', 'h:443'],
    ['http://xn--bcher-kva.example/', 'bücher.example'],
    ['http://127.0.0.1/', '127.0.0.1'],
    ['http://2130706433/', '127.0.0.1'],
    ['http://127.0.0.1:9/', '127.0.0.1:9'],
    ['http://10.1.2.3/', '10.0.0.0/8'],
    ['http://10.1.2.3/', '0.0.0.0/0'],
    ['http://[::1]/', '::1'],
    ['http://[::1]/', '[::1]'],
    ['http://[::1]:9/', '[::1]:9'],
    ['http://[::1]/', '0:0:0:0:0:0:0:1'],
    ['http://[fd00::5]/', 'FD00::/8'],
  ])('%s is asked directly under %j', (url, noProxy) => {
    expect(isDirect(url, noProxy)).toBe(true)
  })

  test.each([
    ['http://example.com/', ''],
    ['http://example.com/', ' , ,'],
    ['http://notexample.com/', 'example.com'],
    ['http://example.com/', 'www.example.com'],
    ['http://example.com/', '.'],
    ['http://example.com.evil.org/', 'example.com'],
    ['http://h:8080/', 'h:80'],
    ['https://h/', 'h:80'],
    ['http://h/', '10.0.0.0/8'],
    ['http://10.evil.org/', '10.0.0.0/8'],
    ['http://11.1.2.3/', '10.0.0.0/8'],
    ['http://10.1.2.3/', '10.0.0.0/'],
    ['http://10.1.2.3/', '10.0.0.0/33'],
    ['http://1.10.0.0/', '10.0.0'],
    ['http://127.0.0.1/', '127.0.0.1:9'],
    ['http://[::1]/', '::2'],
    ['http://[::1]/', '::/129'],
    ['http://[::1]/', '1'],
  ])('%s goes by its proxy under %j', (url, noProxy) => {
    expect(isDirect(url, noProxy)).toBe(false)
  })
})
