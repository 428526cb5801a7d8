package hub

import "io"

// Body is a call's input: Stream if it is set, else Small.
type Body struct {
	Small  []byte    // at most MaxSmall; the caller may offer it again to another runner
	Stream io.Reader // read only after the runner took the call
	Size   int64     // of Stream; -1: unknown. A stream of another length ends with a *BodyError
}

// MaxSmall is the size up to which a body should be sent before the runner takes the call.
const MaxSmall = 64 << 10

// size returns how many bytes the input has, or -1.
func (b *Body) size() int64 {
	if b.Stream != nil {
		return b.Size
	}
	return int64(len(b.Small))
}
