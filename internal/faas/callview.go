package faas

// CallView is one consistent copy of what a gateway knows of a call that it leads.
type CallView struct {
	Record   *Invocation // as it is now
	Latest   *Invocation // as it will be in Redis in a moment
	Known    bool        // others may know of the call
	Answered bool        // its caller has the outcome
	Ended    bool        // the outcome is decided
	Stored   bool        // the runner has nothing more to upload
}

// SilentCall is a call and its runner, which has the whole input, or seems to, and is out of touch.
type SilentCall struct {
	ID     InvocationID
	Runner RunnerID
}
