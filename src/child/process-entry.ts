// The child as a process of its own: argv is the supervisor's pid, standard input the file, descriptor 3 the wire.
// No SIGTERM handler: positional writes need no farewell, and a handler would turn a quick death into a full grace.

import { FILE_DESCRIPTOR } from '../protocol/message.ts'
import { serve } from './serve.ts'
import { openSocketPort } from './socket-port.ts'

serve(openSocketPort(Number(process.argv[2])), { descriptor: FILE_DESCRIPTOR })
