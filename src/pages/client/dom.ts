// Builds what stands on a page. Text only ever becomes text nodes, so nothing from a list or a server can be markup.
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />

import { printable } from '../../core/printable.ts'

type Child = Node | string | number | null

/** Texts are shown as {@link printable} leaves them; null is left out. */
export function el<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string | number | boolean | null>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(key, value === true ? '' : printable(String(value)))
  }
  for (const child of children) {
    if (child !== null) element.append(child instanceof Node ? child : printable(String(child)))
  }
  return element
}

/** An element of a drawing. */
export function svg(name: 'svg' | 'rect', attributes: Readonly<Record<string, string | number>>): SVGElement {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value))
  return element
}

/** An element of the page's own skeleton; that it is missing is a mistake of the build. */
export function byId<Kind extends HTMLElement = HTMLElement>(id: string, kind?: new () => Kind): Kind {
  const element = document.getElementById(id)
  if (!isKind(element, kind)) throw new Error(`the page has no such #${id}`)
  return element
}

function isKind<Kind extends HTMLElement>(element: HTMLElement | null, kind?: new () => Kind): element is Kind {
  return element instanceof (kind ?? HTMLElement)
}

/** Names and what they stand for, for a `dl`. */
export function facts(pairs: readonly (readonly [name: string, text: string])[]): HTMLElement[] {
  return pairs.flatMap(([name, text]) => [el('dt', {}, name), el('dd', {}, text)])
}

/** For what may be wider than the window: it scrolls by itself, by keyboard too. */
export function wide(label: string, content: Node): HTMLElement {
  return el('div', { class: 'scroll', role: 'region', 'aria-label': label, tabindex: 0 }, content)
}

/** What the page was written with. */
export function dataOf<T>(): T {
  return JSON.parse(byId('data').textContent ?? '')
}
