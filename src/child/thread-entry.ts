// The child as a thread.

import { serve } from './serve.ts'
import { serveThread } from './thread.ts'

serveThread(serve)
