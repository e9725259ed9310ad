// The child as a process of its own: argv is the supervisor's pid.
// No SIGTERM handler: positional writes need no farewell, and a handler would turn a quick death into a full grace.

import { serveProcess } from './process.ts'
import { serve } from './serve.ts'

serveProcess(serve, Number(process.argv[2]))
