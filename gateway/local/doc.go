// Package local is the launcher and the builder of the embedded default: it starts runners as processes of this machine
// and unpacks uploaded sources into content-addressed folders.
//
// A gateway that is root starts runners as uid 65532 without capabilities. Every runner gets a directory of its own and
// confines itself with Landlock where the kernel has it. Caveats lists the settings that a machine without containers
// cannot enforce. The package does not decide when a runner is needed, and has no connection to runners: they dial in
// at the hub.
//
// Start at Launcher.
package local
