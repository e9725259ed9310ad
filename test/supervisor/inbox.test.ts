// Decides whether the one reader gets every event once and in order.

import { expect, test } from 'vitest'
import { Inbox } from '../../src/supervisor/inbox.ts'

test('what came before is read in order', async () => {
  const inbox = new Inbox<number>()
  inbox.push(1)
  inbox.push(2)
  expect([await inbox.next(), await inbox.next()]).toEqual([1, 2])
})

test('a reader who was first waits, and gets only the first of what comes', async () => {
  const inbox = new Inbox<number>()
  const first = inbox.next()
  inbox.push(1)
  inbox.push(2)
  expect([await first, await inbox.next()]).toEqual([1, 2])
})

test('events that are falsy are events', async () => {
  const inbox = new Inbox<unknown>()
  for (const event of [0, '', null, false]) inbox.push(event)
  expect([await inbox.next(), await inbox.next(), await inbox.next(), await inbox.next()]).toEqual([0, '', null, false])
})

test('a hundred thousand at once come out in order', async () => {
  const inbox = new Inbox<number>()
  for (let n = 0; n < 100_000; n++) inbox.push(n)
  let isInOrder = true
  for (let n = 0; n < 100_000; n++) isInOrder &&= (await inbox.next()) === n
  expect(isInOrder).toBe(true)
})
