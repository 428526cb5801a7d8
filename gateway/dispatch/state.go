package dispatch

// state is how far a call has come:
//
//	opened     made in memory; nobody else knows of it
//	queued     waits for a slot: counted in max_queue.calls, or accepted
//	claimed    has a slot; the task is offered and the body is sent
//	committed  the runner has the whole input: the command runs, or may run, once
//	ended      the outcome is decided
//	stored     the runner has nothing more to upload; the final record is still to be written
//	recorded   the final record is in Redis; uploads may go on
//	closed     this gateway keeps nothing of the call any more
type state uint8

const (
	opened state = iota
	queued
	claimed
	committed
	ended
	stored
	recorded
	closed
)

// states is how many there are.
const states = int(closed) + 1

func (s state) String() string {
	return [states]string{"opened", "queued", "claimed", "committed", "ended", "stored", "recorded", "closed"}[s]
}

// set is a set of states.
type set uint16

func of(all ...state) (s set) {
	for _, one := range all {
		s |= 1 << one
	}
	return s
}

func (s set) has(one state) bool { return s&(1<<one) != 0 }

// steps lists the allowed steps, and what takes them. A step that is not listed is refused, a step to the same state
// too: an end that is reported twice, by event, hello and outcome.json, changes nothing the second time. A retried
// attempt will lead from ended back to queued.
func (s state) steps() set {
	switch s {
	case opened:
		return of(
			queued,    // no parked slot was free and the queue took the call, or 202 was asked for
			claimed,   // a parked slot was free
			committed, // adopted with a runner
			ended,     // given up before it was queued
			closed,    // nothing ran, and nobody else knew of it
		)
	case queued:
		return of(
			claimed,   // won a slot
			committed, // adopted, and the events of a runner that was not known came first
			ended,     // expired, cancelled, the caller gone, no runner could be started
			closed,    // another gateway leads it
		)
	case claimed:
		return of(
			queued,    // the runner refused the task, or the connection broke before the commit
			committed, // all but the end of the body is sent
			ended,     // cancelled, or the body broke
			closed,    // nothing ran, and nobody else knew of it
		)
	case committed:
		return of(
			queued, // the end of the body never reached the runner
			ended,  // the runner's report, outcome.json, or the loss of the runner
			closed, // another gateway leads it
		)
	case ended:
		return of(
			stored,   // the runner's report, or nothing is uploaded
			recorded, // the record was written while uploads go on
			closed,   // another gateway leads it
		)
	case stored:
		return of(
			recorded, // the record was written
			closed,   // another gateway leads it
		)
	case recorded:
		return of(
			stored, // uploads ended after the record: it is completed
			closed, // nothing more can come
		)
	case closed:
	}
	return 0
}

// lifecycle is the present state of a call and the states that it has been in.
type lifecycle struct {
	now  state
	past set // without claimed and committed, once the call was queued again
}

// step moves on to next if the table allows it.
func (l *lifecycle) step(next state) bool {
	if !l.now.steps().has(next) {
		return false
	}
	if next == queued {
		l.past &^= of(claimed, committed)
	}
	l.now, l.past = next, l.past|of(next)
	return true
}

// was reports whether the call is, or has been, in the state.
func (l *lifecycle) was(s state) bool { return l.past.has(s) }

// isKnown reports whether others may know of the call.
func (l *lifecycle) isKnown() bool { return l.past&of(queued, committed, ended) != 0 }
