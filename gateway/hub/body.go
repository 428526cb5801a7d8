package hub

import "io"

// Body is a call's input: Small, or Stream when that is set, or none.
type Body struct {
	Small  []byte    // kept by the caller, to be offered elsewhere; better not above MaxSmall
	Stream io.Reader // read only after the runner took the call
	Size   int64     // of Stream; -1: unknown. A stream of another length is a *BodyError
}

// MaxSmall is how much of a body is well sent along before the runner took the call.
const MaxSmall = 64 << 10

// size returns how many bytes the input has, or -1.
func (b *Body) size() int64 {
	if b.Stream != nil {
		return b.Size
	}
	return int64(len(b.Small))
}
