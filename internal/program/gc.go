package program

import "runtime/debug"

// gcPercent makes the garbage collector run a quarter as often as by default: little lives long here, and most garbage
// is of a call that has ended.
const gcPercent = 400

// SetGC sets how often the garbage collector runs, unless GOGC in the environment says so.
func SetGC() {
	if was := debug.SetGCPercent(gcPercent); was != 100 {
		debug.SetGCPercent(was)
	}
}
