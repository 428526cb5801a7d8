package faas

// Reason tells why an invocation did not succeed. The list is closed.
type Reason string

// The reasons, as callers read them.
const (
	ReasonExitCode         Reason = "exit_code"
	ReasonSignal           Reason = "signal"
	ReasonOutOfMemory      Reason = "out_of_memory"
	ReasonResultMissing    Reason = "result_missing"
	ReasonResultTooLarge   Reason = "result_too_large"
	ReasonStartFailed      Reason = "start_failed"
	ReasonTimedOut         Reason = "timed_out"
	ReasonInputInvalid     Reason = "input_invalid"
	ReasonImagePull        Reason = "image_pull"
	ReasonUnschedulable    Reason = "unschedulable"
	ReasonEvicted          Reason = "evicted"
	ReasonNodeLost         Reason = "node_lost"
	ReasonRunnerLost       Reason = "runner_lost"
	ReasonStoreUnavailable Reason = "store_unavailable"
	ReasonExpired          Reason = "expired"
	ReasonCancelled        Reason = "cancelled"
)

// Kind returns the kind of error that the reason is to a caller.
func (r Reason) Kind() Kind {
	switch r {
	case ReasonExitCode, ReasonSignal, ReasonOutOfMemory, ReasonResultMissing, ReasonResultTooLarge, ReasonStartFailed:
		return FunctionFailed
	case ReasonTimedOut:
		return TimedOut
	case ReasonInputInvalid:
		return Invalid
	case ReasonCancelled:
		return Cancelled
	case ReasonImagePull, ReasonUnschedulable, ReasonEvicted, ReasonNodeLost, ReasonRunnerLost,
		ReasonStoreUnavailable, ReasonExpired:
		return Unavailable
	}
	return Internal
}

// Advice is one sentence on what to do about the reason.
func (r Reason) Advice() string {
	switch r {
	case ReasonExitCode:
		return "The command reports an error of its own: read the log."
	case ReasonSignal:
		return "The command was killed by a signal: read the log, and look for crashes."
	case ReasonOutOfMemory:
		return "The command needed more memory than resources.memory allows: raise it, or use less."
	case ReasonResultMissing:
		return "The command ended well but did not write what the trigger's results name: check the patterns and the log."
	case ReasonResultTooLarge:
		return "The result is larger than allowed: name fewer files in results."
	case ReasonStartFailed:
		return "The function's start command ended or was not ready in time: read the log."
	case ReasonTimedOut:
		return "The command ran into its timeout: raise timeout on the trigger or the function."
	case ReasonInputInvalid:
		return "The request does not fit the trigger: see the detail."
	case ReasonImagePull:
		return "The function's image cannot be pulled: check its name, the registry and its login."
	case ReasonUnschedulable:
		return "No node has room for what resources asks for: ask for less, or add nodes."
	case ReasonEvicted:
		return "The node ran short and evicted the pod: try again, or raise resources."
	case ReasonNodeLost:
		return "The node that ran the command is gone: try again."
	case ReasonRunnerLost:
		return "The process that ran the command is gone: try again if the command may run twice."
	case ReasonStoreUnavailable:
		return "The object store does not answer: try again later."
	case ReasonExpired:
		return "The call waited longer for a slot than max_queue.wait: try again later, or raise max_concurrency."
	case ReasonCancelled:
		return "Somebody cancelled the invocation."
	}
	return ""
}
