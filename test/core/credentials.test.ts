// Whose name and password a job uses.

import { describe, expect, test } from 'vitest'
import { credentialsFor, type RunCredentials } from '../../src/core/credentials.ts'
import type { EntryOptions, Job } from '../../src/core/job.ts'

const NETRC = { user: 'netrc', password: 'n' }
const run: RunCredentials = {
  user: { user: 'run', password: 'r' },
  netrc: (host, user) => (host === 'h' && (user === undefined || user === 'netrc') ? NETRC : undefined),
}
const withoutUser = { ...run, user: undefined }

function job(url: string, options: EntryOptions = {}): Job {
  return { index: 0, line: 1, id: '0', urls: [url], target: 'f', options }
}

const credentials = (url: string, options: EntryOptions, of: RunCredentials) =>
  credentialsFor(job(url, options), url, of)

describe('credentialsFor', () => {
  test.each<[what: string, url: string, options: EntryOptions, of: RunCredentials, user: string, password: string]>([
    ['the job’s own before all', 'http://url:u@h/', { user: 'own', password: 'o' }, run, 'own', 'o'],
    ['those of its URL before -u', 'http://url:u@h/', {}, run, 'url', 'u'],
    ['-u before netrc', 'http://h/', {}, run, 'run', 'r'],
    ['netrc last', 'http://h:8080/', {}, withoutUser, 'netrc', 'n'],
    ['for a user alone, the password -u has for it', 'http://run@h/', {}, run, 'run', 'r'],
    ['for a user alone, the password netrc has for it', 'http://h/', { user: 'netrc' }, run, 'netrc', 'n'],
    ['no password that belongs to another user', 'http://else@h/', {}, run, 'else', ''],
    ['a password without a user', 'http://:u@h/', {}, run, '', 'u'],
    ['what the URL escapes', 'http://a%40b:%C3%A4%3A@h/', {}, run, 'a@b', 'ä:'],
    ['a % that is none of an escape', 'http://a:100%^%zz@h/', {}, run, 'a', '100%^%zz'],
    ['escapes that are no UTF-8 as they stand', 'http://a:%ff%41@h/', {}, run, 'a', '%ff%41'],
  ])('takes %s', (_, url, options, of, user, password) => {
    expect(credentials(url, options, of)).toEqual({ user, password })
  })

  test('has none where nobody named any', () => {
    expect(credentials('http://other/', {}, withoutUser)).toBeUndefined()
  })
})
