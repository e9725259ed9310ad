// Hands an open descriptor to execa as a child's standard input.

/** execa's types name the descriptors 3 to 9 only, though it passes on any that is open. */
type ExecaDescriptor = 3

function isDescriptor(descriptor: number): descriptor is ExecaDescriptor {
  return Number.isInteger(descriptor) && descriptor >= 3
}

export function inherited(descriptor: number): ExecaDescriptor {
  if (!isDescriptor(descriptor)) throw new Error(`${descriptor} is no descriptor of a file that was opened`)
  return descriptor
}
