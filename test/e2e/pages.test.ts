// Opens both pages in a real browser, by themselves and after real runs: what they show, what they ask for, and whether
// a person without a mouse, without colours or with a small window can read them.
/// <reference lib="dom" />
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Comparison } from '../../src/compare/result.ts'
import { comparePage } from '../../src/pages/compare.ts'
import { writeRunPage } from '../../src/pages/run.ts'
import { reportOf, stream } from '../events.ts'
import { startFaultServer } from '../fixtures/fault-server.ts'
import { findProgram, requireServer } from '../fixtures/servers.ts'
import { comparison, runEvents } from '../pages/example.ts'
import { type Ended, newHome, ONCE, PROGRAM, run } from './run-mpdl.ts'

const executablePath = findProgram('chromium')
const template = (name: string) => readFileSync(join(PROGRAM, '..', `${name}-page.html`), 'utf8')
const home = newHome()

const EVIL = '</script><img src=x onerror="window.pwned=1"><b>bold</b>\u202e'

interface Opened {
  readonly page: Page
  /** What the browser complained of and what it asked for beside the page. */
  readonly complaints: string[]
}

function writeCompare(name: string, data: Comparison): string {
  const path = home.at(name)
  writeFileSync(path, comparePage(data, template('compare')))
  return path
}

async function writeRun(name: string, events: ReturnType<typeof runEvents>): Promise<string> {
  let text = ''
  const page = { events: stream(events), report: reportOf(events), exitCode: 4, template: template('run') }
  await writeRunPage(page, (chunk) => {
    text += chunk
  })
  const path = home.at(name)
  writeFileSync(path, text)
  return path
}

describe.skipIf(!requireServer('chromium', executablePath))('in a browser', () => {
  let browser: Browser
  const paths = { compare: '', run: '' }

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath ?? '', args: ['--no-sandbox'] })
    paths.compare = writeCompare('compare.html', comparison)
    paths.run = await writeRun('run.html', runEvents(120))
  })
  afterAll(async () => {
    await browser?.close()
  })

  async function open(path: string, options: Parameters<Browser['newPage']>[0] = {}): Promise<Opened> {
    const page = await browser.newPage(options)
    const complaints: string[] = []
    page.on('console', (message) => complaints.push(`console: ${message.text()}`))
    page.on('pageerror', (error) => complaints.push(`error: ${error.message}`))
    page.on('request', (request) => {
      if (request.url() !== pathToFileURL(path).href && !request.url().startsWith('data:')) {
        complaints.push(`request: ${request.url()}`)
      }
    })
    await page.goto(pathToFileURL(path).href)
    await page.locator('.chart svg').first().waitFor()
    return { page, complaints }
  }

  describe.each(['compare', 'run'] as const)('the page of a %s', (name) => {
    test.each(['light', 'dark'] as const)('needs nothing but itself and is legible: %s', async (colorScheme) => {
      const { page, complaints } = await open(paths[name], { colorScheme })
      expect(await faintTexts(page)).toEqual([])
      expect(await page.locator('h1').count()).toBe(1)
      expect(await page.locator('table:not(:has(> caption))').count()).toBe(0)
      expect(await page.locator('html').getAttribute('lang')).toBe('en')
      expect(complaints).toEqual([])
      await page.close()
    })

    test('has another paper in the dark', async () => {
      const papers = await Promise.all(
        (['light', 'dark'] as const).map(async (colorScheme) => {
          const { page } = await open(paths[name], { colorScheme })
          const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
          await page.close()
          return paper
        }),
      )
      expect(papers[0]).not.toBe(papers[1])
    })

    test('fits a window of 360 pixels', async () => {
      const { page, complaints } = await open(paths[name], { viewport: { width: 360, height: 740 } })
      await page.locator('.cell, .jobs td button').first().click()
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360)
      expect(complaints).toEqual([])
      await page.close()
    })

    test('shows where the keyboard is, on everything it reaches', async () => {
      const { page } = await open(paths[name])
      const seen = new Set<string>()
      for (let i = 0; i < 12; i++) {
        await page.keyboard.press('Tab')
        const focus = await page.evaluate(() => {
          const element = document.activeElement
          const { outlineStyle, outlineWidth } = getComputedStyle(element ?? document.body)
          return { name: element?.textContent ?? '', outline: `${outlineStyle} ${outlineWidth}` }
        })
        expect(focus.outline).toBe('solid 3px')
        seen.add(focus.name)
      }
      expect(seen.size).toBeGreaterThan(2)
      await page.close()
    })
  })

  describe('a comparison', () => {
    test('shows in every cell what its data say', async () => {
      const { page } = await open(paths.compare)
      const { rows = [], files = 0 } = comparison.faults ?? {}
      const expected = rows.map(({ title, cells }) => [
        title,
        ...cells.map(({ fate, files_first: first, files_final: final }) => {
          if (fate === 'well') return `${first}→${final} ${final === files ? '✓' : '◐'}`
          return { died: '✗ run died', 'never-ended': '∞ never ended', lied: '! ended and lied' }[fate]
        }),
      ])
      const shown = await page
        .locator('.matrix .fault:not(.price)')
        .evaluateAll((lines) =>
          lines.map((line) => [...line.querySelectorAll('th, td b')].map(({ textContent }) => textContent)),
        )
      expect(shown).toEqual(expected)
      await page.close()
    })

    test('has the figures of its data', async () => {
      const { page } = await open(paths.compare)
      const text = (await page.locator('body').innerText()).replaceAll('\u00a0', ' ')
      expect(await page.locator('h1').textContent()).toBe(comparison.sentence)
      for (const { wall_ms, cpu_ms } of comparison.costs) {
        for (const ms of [wall_ms.median, wall_ms.min, cpu_ms.median, cpu_ms.max]) {
          expect(text).toContain(`${Math.round(ms).toLocaleString('en')} ms`)
        }
      }
      for (const sentence of comparison.not_solved) expect(text).toContain(sentence)
      expect(text).toContain('5.00 MiB came twice')
      const lanes = await page.locator('#lanes .chart svg').getAttribute('aria-label')
      expect(lanes).toMatch(/sequential ends after [\d,]+\sms, inline .* process ends/)
      await page.close()
    })

    test('opens a kill by keyboard, and gives the focus back', async () => {
      const { page } = await open(paths.compare)
      const cell = page.getByRole('button', { name: 'SIGSTOP, process' })
      await cell.focus()
      await page.keyboard.press('Enter')
      const detail = page.locator('.detail')
      const moments = await detail.locator('.moments tbody tr').allInnerTexts()
      expect(moments.map((moment) => moment.replaceAll(/\s+/g, ' ').trim())).toEqual([
        '0 ms fault line 17 goes wrong silence 2,004 ms',
        '2,004 ms noticed no heartbeat for 2 s decision 2 ms',
        '2,006 ms SIGTERM asked to leave grace 200 ms',
        '2,206 ms SIGKILL made to leave reaping 7 ms',
        '2,213 ms joined its end is reaped wait 124 ms',
        '2,337 ms tried again line 17 again, in a fresh one the next attempt 109 ms',
        '2,446 ms joined done, exit code 0 the rest of the run 1,000 ms',
        '3,446 ms run ended exit 0',
      ])
      expect(await detail.locator('pre').innerText()).toContain('"type":"retry-planned","line":17')
      expect(await cell.getAttribute('aria-expanded')).toBe('true')
      await page.keyboard.press('Tab')
      await page.keyboard.press('Escape')
      expect(await detail.count()).toBe(0)
      expect(await cell.evaluate((element) => element === document.activeElement)).toBe(true)
      await page.close()
    })

    test('on paper tells every kill', async () => {
      const { page } = await open(paths.compare)
      expect(await page.locator('#kills').isVisible()).toBe(false)
      await page.emulateMedia({ media: 'print' })
      expect(await page.locator('#kills li:visible').count()).toBe(15 * 5)
      await page.close()
    })

    test('leaves out what was not measured', async () => {
      const bare = { ...comparison, faults: null, demonstrations: null, not_solved: [] }
      const { page, complaints } = await open(writeCompare('bare.html', bare))
      expect(await page.locator('h2:visible').allInnerTexts()).toEqual([
        'What isolation costs',
        'Who worked when',
        'How it was measured',
      ])
      expect(complaints).toEqual([])
      await page.close()
    })
  })

  describe('a run', () => {
    let ended: Ended
    let path: string
    beforeAll(async () => {
      const server = await startFaultServer()
      path = home.at('real.html')
      ended = await run({
        list: [server.url('/ok/a.pdf?size=5000'), server.url('/status/404'), server.url('/ok/b.pdf?size=70')].join(
          '\n',
        ),
        args: [...ONCE, '--report', path],
      })
      await server.stop()
    })

    test('shows the figures of its JSON report', async () => {
      const { page, complaints } = await open(path)
      expect(await page.locator('h1').innerText()).toBe('3 = 2 downloaded + 1 failed')
      const rows = await page
        .locator('.jobs tbody tr:not(.space)')
        .evaluateAll((lines) =>
          lines.map((line) => [...line.querySelectorAll('td')].map(({ textContent }) => textContent)),
        )
      expect(rows.map(([line, outcome, name]) => [line, outcome?.slice(2), name])).toEqual(
        ended.report.jobs
          .toSorted((a, b) => a.line - b.line)
          .map(({ line, outcome, out }) => [String(line), outcome, out]),
      )
      expect(rows[1]?.at(-1)).toBe(ended.row(2).reason)
      expect(await page.locator('#kicker').innerText()).toContain(ended.report.run.id)
      expect(complaints).toEqual([])
      await page.close()
    })

    test('is rendered again from its log', async () => {
      const operands = ['report', '--format', 'html', '--log-dir', ended.home.logs]
      const again = await run({ home: ended.home, isBare: true, operands })
      // Not toBe: nobody wants to read the difference of two pages.
      expect(again.stdout === readFileSync(path, 'utf8')).toBe(true)
    })

    test('shows a job and closes it by keyboard', async () => {
      const { page } = await open(path)
      await page.getByRole('button', { name: '404' }).focus()
      await page.keyboard.press('Enter')
      expect(await page.getByRole('dialog').innerText()).toContain('HTTP 404')
      await page.keyboard.press('Escape')
      expect(await page.getByRole('dialog').count()).toBe(0)
      await page.close()
    })
  })

  test('a bar of the time line leads to its job, and a drag over several looks closer', async () => {
    const { page } = await open(paths.run)
    const { x = 0, y = 0, width = 0 } = (await page.locator('#lanes .chart svg').boundingBox()) ?? {}
    await page.mouse.click(x + 20, y + 10)
    expect(await page.getByRole('dialog').innerText()).toContain('report-00001.pdf')
    await page.keyboard.press('Escape')
    const label = page.getByRole('group', { name: 'Part of the run' }).getByRole('status')
    expect(await label.innerText()).toMatch(/^0ms to /)
    await page.mouse.move(x + width / 4, y + 10)
    await page.mouse.down()
    await page.mouse.move(x + width / 2, y + 30)
    await page.mouse.up()
    expect(await label.innerText()).not.toMatch(/^0ms to /)
    expect(await page.getByRole('dialog').count()).toBe(0)
    await page.close()
  })

  test('a run without attempts has no time line', async () => {
    const nothing = runEvents(1, () => ({ outcome: 'skipped', attempts: [] }))
    const page = await browser.newPage()
    await page.goto(pathToFileURL(await writeRun('nothing.html', nothing)).href)
    expect(await page.locator('h1').innerText()).toBe('1 = 1 skipped')
    expect(await page.locator('h2:visible').allInnerTexts()).toEqual(['Jobs', 'This run'])
    await page.close()
  })

  describe('ten thousand jobs', () => {
    let page: Page
    beforeAll(async () => {
      page = (await open(await writeRun('many.html', runEvents(10_000)))).page
    })
    const lines = () => page.locator('.jobs tbody tr:not(.space) td.line').allInnerTexts()

    test('keep no more in the document than can be seen', async () => {
      expect(await page.locator('.jobs table').getAttribute('aria-rowcount')).toBe('10001')
      expect(await page.locator('.jobs tbody tr').count()).toBeLessThan(100)
      expect(await page.locator('#lanes rect').count()).toBeLessThan(5000)
    })

    test('scroll to the last', async () => {
      await page.locator('.jobs').evaluate((element) => element.scrollTo(0, element.scrollHeight))
      await page.getByText('report-10000.pdf').waitFor()
    })

    test('sort both ways', async () => {
      await page.getByRole('button', { name: 'Line' }).click()
      expect((await lines())[0]).toBe('10,000')
      expect(await page.locator('th.line').getAttribute('aria-sort')).toBe('descending')
      await page.getByRole('button', { name: 'Line' }).click()
      expect((await lines())[0]).toBe('1')
    })

    test('are filtered by outcome and by words', async () => {
      await page.getByRole('button', { name: 'killed' }).click()
      expect(await page.locator('#count').innerText()).toBe('33 of 10,000 jobs')
      await page.getByRole('searchbox').fill('HUNG 0015')
      expect(await lines()).toEqual(['150'])
      await page.getByRole('searchbox').fill('')
      await page.getByRole('button', { name: 'All' }).click()
      expect(await page.locator('#count').innerText()).toBe('10,000 of 10,000 jobs')
    })

    test('are looked at closer, and as a whole again', async () => {
      const label = page.getByRole('group', { name: 'Part of the run' }).getByRole('status')
      const whole = await label.innerText()
      await page.getByRole('button', { name: 'Closer' }).click()
      expect(await label.innerText()).not.toBe(whole)
      await page.getByRole('button', { name: 'The whole run' }).click()
      expect(await label.innerText()).toBe(whole)
    })

    test('on paper are those that went wrong', async () => {
      await page.emulateMedia({ media: 'print' })
      await page.getByText('9,900 more rows not printed').waitFor()
      expect((await lines()).length).toBe(100)
    })
  })

  test('[threat:injection] names from lists and servers are text on both pages', async () => {
    const evilRun = runEvents(3, () => ({ out: EVIL, url: EVIL, reason: EVIL, warnings: [EVIL] }))
    const evilCompare = {
      ...comparison,
      sentence: EVIL,
      list: { ...comparison.list, name: EVIL },
      argv: [EVIL],
      not_solved: [EVIL],
    }
    for (const path of [await writeRun('evil-run.html', evilRun), writeCompare('evil-compare.html', evilCompare)]) {
      const { page, complaints } = await open(path)
      await page.locator('.cell, .jobs td button').first().click()
      expect(await page.evaluate(() => 'pwned' in window)).toBe(false)
      expect(await page.locator('body img, body b:text-is("bold")').count()).toBe(0)
      const text = await page.locator('body').innerText()
      expect(text).toContain('</script><img src=x onerror="window.pwned=1"><b>bold</b>\\u202e')
      expect(text).not.toContain('\u202e')
      expect(complaints).toEqual([])
      await page.close()
    }
  })
})

/** Texts that stand out less from what is behind them than WCAG's AA asks for (1.4.3: 4.5, large ones 3). */
async function faintTexts(page: Page): Promise<string[]> {
  return await page.evaluate(() => {
    const channels = (color: string) => (color.match(/[\d.]+/g) ?? []).map(Number)
    const luminance = (color: string) => {
      const [r = 0, g = 0, b = 0] = channels(color)
        .slice(0, 3)
        .map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4))
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const behind = (element: Element | null): string => {
      if (element === null) return 'rgb(255, 255, 255)'
      const color = getComputedStyle(element).backgroundColor
      return (channels(color)[3] ?? 1) === 0 ? behind(element.parentElement) : color
    }
    const faint: string[] = []
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement
      const text = walker.currentNode.textContent?.trim() ?? ''
      if (element === null || text === '' || element.getClientRects().length === 0) continue
      if (element.closest('button:disabled, svg, script, style') !== null) continue
      const { color, fontSize } = getComputedStyle(element)
      const [light = 0, dark = 0] = [luminance(color), luminance(behind(element))].sort((a, b) => b - a)
      const needed = Number.parseFloat(fontSize) >= 24 ? 3 : 4.5
      if ((light + 0.05) / (dark + 0.05) < needed) faint.push(`${text.slice(0, 40)} ${color}`)
    }
    return faint
  })
}
