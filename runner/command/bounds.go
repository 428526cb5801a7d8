package command

// bufferBytes is how much is read at a time.
const bufferBytes = 32 << 10
