package local

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// landlockABI returns the version of the kernel's Landlock; 0: none, or unwanted.
func landlockABI(unwanted bool) int {
	if unwanted {
		return 0
	}
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// Sandbox returns a short description of how commands are confined, e.g. "landlock v7, uid 65532". The hello of each
// runner has the confinement that the runner achieved.
func (l *Launcher) Sandbox() string {
	lock, user := "no landlock", "the gateway's own user"
	if l.landlock > 0 {
		lock = fmt.Sprintf("landlock v%d", l.landlock)
	}
	if l.asRoot {
		user = fmt.Sprintf("uid %d", RunnerUID)
	}
	return lock + ", " + user
}

// Caveats returns sentences about settings of functions that this launcher does not enforce.
func (l *Launcher) Caveats() []string {
	out := []string{
		"resources.cpu is not enforced: commands share this machine's cores",
		"resources.memory is watched by the runner, not set by the kernel: a command that grows quickly can go beyond it",
		"resources.disk is not enforced: commands share this machine's disk",
		"egress is not enforced: commands reach what this machine reaches",
	}
	if !l.asRoot {
		out = append(out, "commands run as the gateway's own user")
	}
	switch {
	case l.landlock > 0:
	case l.o.NoLandlock:
		out = append(out, "Landlock is switched off (DAVIT_LANDLOCK): commands may write wherever their user may")
	default:
		out = append(out, "this kernel has no Landlock: commands may write wherever their user may")
	}
	return out
}
