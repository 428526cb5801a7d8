package command

// bufferBytes is the size of a read.
const bufferBytes = 32 << 10
