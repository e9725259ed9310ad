// The version, put in by the build; code run from source has none.

declare const __MPDL_VERSION__: string | undefined

export const VERSION: string = typeof __MPDL_VERSION__ === 'string' ? __MPDL_VERSION__ : '0.0.0-source'
