// The child as a module that the supervisor loads late.

import { inlineWith } from './inline.ts'
import { serve } from './serve.ts'

export const serveInline = inlineWith(serve)
