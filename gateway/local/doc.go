// Package local is the launcher and the builder of the embedded default: it
// runs runners as processes of this machine and unpacks uploaded sources into
// content-addressed folders.
//
// A gateway that is root runs them as uid 65532 without capabilities; every
// runner gets a directory of its own and, where the kernel has it, confines
// itself with Landlock. What a machine without containers cannot enforce,
// Caveats says. The package does not decide when a runner is wanted, and it
// does not speak with runners: they dial in at the hub.
//
// Start at Launcher.
package local
