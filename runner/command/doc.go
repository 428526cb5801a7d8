// Package command runs commands and leaves nothing of them behind. It follows a
// command's output, ends it at its timeout, and afterwards kills whatever it left
// in the background. It knows nothing of tasks, inputs and results.
//
// # How nothing is left behind
//
// Each command leads a session of its own, and this process is a subreaper (Harden),
// so that whatever a command detaches becomes a child of this process when its parent
// ends. When the main process has ended, its process group is killed while its pid is
// still held, and then the children of this process are looked at: in the common case
// there are none, which costs one read. A stray belongs to the call whose
// DAVIT_INVOCATION_ID is in its environment, in whose session or directory it is; to the service
// (the start process) if it has that one's environment; and else to the only command
// that runs. Where several run, a stray that hides both makes the Host dirty: it is
// killed when no command runs any more.
//
// Children are reaped one by one, by pid, and never one in this process's own session:
// so other users of os/exec are not disturbed.
//
// Start at Host.
package command
