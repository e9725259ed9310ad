// The child as a process that many downloads share: argv is the supervisor's pid.

import { servePool } from './pool.ts'
import { serve } from './serve.ts'

servePool(serve, Number(process.argv[2]))
