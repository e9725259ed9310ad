// Chooses the schema of an object by a name in it. Knows nothing of what the names mean.

import * as v from 'valibot'

type Named<K extends string> = v.GenericSchema & { readonly entries: Readonly<Record<K, { readonly literal: string }>> }

/**
 * One of `options`, in each of which `key` is a name of its own. valibot's `variant` tries them in turn, and finds words
 * for what is wrong with each until it comes to the one that is meant: that was half of all decoding.
 */
export function variant<const K extends string, const O extends Named<K>>(
  key: K,
  options: readonly O[],
): v.GenericSchema<unknown, v.InferOutput<O>> {
  const named = new Map<unknown, O>(options.map((option) => [option.entries[key].literal, option]))
  const nameless = v.object({ [key]: v.never() })
  return v.lazy((input) => {
    const name: unknown = typeof input === 'object' && input !== null ? Reflect.get(input, key) : undefined
    return named.get(name) ?? nameless
  })
}
