package faas

// Exit reports that a runner's process or pod has ended, and why.
type Exit struct {
	Runner     RunnerID
	Ref        RevisionRef
	Start      Start
	Invocation InvocationID // that the runner was launched for, if any, unless it was stopped since
	Reason     Reason       // "": the runner ended in order
	Detail     string       // what the launcher knows, human-readable
	LogTail    string       // the last lines of a start process that failed
}

// Words returns all that is known of why the runner ended, human-readable.
func (e *Exit) Words() string {
	if e.LogTail == "" {
		return e.Detail
	}
	return e.Detail + "; its last words: " + e.LogTail
}
