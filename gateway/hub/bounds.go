package hub

import "time"

const (
	forgetAfter  = 2 * time.Minute // a runner that left, and what it held
	controlGrace = 10 * time.Second
)

const maxRunners = 4096 // of one revision
