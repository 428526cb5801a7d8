// Package command runs commands and kills all processes that they leave. A Host reads a command's output, ends the
// command at its timeout, and then kills the command's background processes. The package does not know tasks, inputs
// and results.
//
// # How orphans are killed
//
// Each command leads a session of its own, and this process is a subreaper (Harden), so that every process that a
// command detaches becomes a child of this process when its parent ends: an orphan. When the main process has ended,
// the Host kills its process group before it reaps the main process, because the pid is not used again until then. Then
// the Host reads the list of this process's children: most calls leave none, which costs one read.
//
// An orphan belongs to the command whose DAVIT_INVOCATION_ID is in its environment, or in whose session or directory it
// is; to the service (the start process) if it has the service's environment; otherwise to the only command that runs.
// If several commands run, an orphan without these traces makes the Host dirty: the orphan is killed when no command
// runs any more.
//
// The Host reaps children one by one, by pid, and never one in this process's own session, so that it does not reap the
// children of other users of os/exec.
//
// Start at Host.
package command
