package hub

import "time"

const (
	forgetAfter  = 2 * time.Minute // for a runner that left, and the invocations that it owned
	controlGrace = 10 * time.Second
)

const maxRunners = 4096 // of one revision
