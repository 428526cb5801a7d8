package faas

// Keep says which invocations leave input, result and log in the store.
type Keep string

// The choices of Keep.
const (
	KeepAll    Keep = "all"
	KeepFailed Keep = "failed"
	KeepNone   Keep = "none"
)
