import { test } from 'vitest'
import { startFaultServer, startBlackhole, startRefused } from '../fixtures/fault-server.ts'
import { ONCE, run } from './run-mpdl.ts'
test('probe', async () => {
  const s = await startFaultServer(); const r = await startRefused(); const b = await startBlackhole()
  const routes = ['ok/ok','slow/slow?size=3000&rate=10000','chunked/chunked','close-delimited/cd','truncated/trunc','truncate-once/tonce','reset/reset','reset-headers/rh','reset-close-delimited/rcd','overlong/overlong','stall/stall','stall-headers/sh','endless/endless','endless-headers/eh','empty-reply/er','chunked-truncated/ct','badchunk/bc','garbage/garb','http09/h09','bare-lf/blf','duplicate-length/dl','conflicting-length/cl','cl-and-te/clte','huge-headers/hh','huge-headers/hh80?kb=80','hostile-headers/hoh','hostile-headers/hoh2?escape','hostile-headers/hoh3?cr','disposition/disp','encoding-gzip-forced/gz','html-for-pdf.pdf','echo-headers/eh1','auth-echo/ae','status/404','status/500','status/503?retry-after=1000','status/401','204/x204','206-unasked/x206','304-unasked/x304','101/x101','103/x103','redirect/5','redirect-loop/0a','redirect-hostile/h1?kind=file','redirect-hostile/h2?kind=data','redirect-hostile/h3?kind=javascript','redirect-hostile/h4?kind=slashes','redirect-hostile/h5?kind=empty','redirect-hostile/h6?kind=port','redirect-hostile/h7?kind=credentials','redirect-hostile/h8?kind=escape','redirect-hostile/h9?kind=missing']
  const urls = [...routes.map((x) => s.url('/' + x)), `http://127.0.0.1:${r.port}/refused`, `http://127.0.0.1:${b.port}/blackhole`, 'http://nowhere.invalid/nodns', s.url('/slow/sl?size=100000&rate=3000')]
  const e = await run({ list: urls.join('\n'), args: [...ONCE, '--max-filesize', '3M', '--connect-timeout', '1s', '--min-speed','5K/1s'] })
  console.log(e.code, e.ms)
  for (const [i, u] of urls.entries()) {
    const row = e.report.jobs.find((j) => j.line === i + 1)
    console.log(u.replace(/http:..127.0.0.1/, ''), '|', row?.outcome, row?.failure?.kind, '|', row?.proof, row?.size, row?.kept, row?.time_total, '|', row?.reason, row?.warnings.join(';'), e.seen.has(row?.out ?? ''))
  }
  console.log(e.report.bulk, [...e.partModes].map((m) => m.toString(8)), e.report.totals)
  console.log(e.stderr)
  await s.stop(); await r.stop(); await b.stop()
}, 120000)
