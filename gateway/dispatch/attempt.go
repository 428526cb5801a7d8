package dispatch

import (
	"time"

	"davit/internal/task"
)

// attempt is one try to run an invocation. call.mu guards it; a retry would replace it as a whole.
type attempt struct {
	askedAt  time.Time     // when a runner was launched for the call; zero: none was
	missedAt time.Time     // since when its runner is out of touch; zero: it is not
	outcome  *task.Outcome // once the command has ended
}
