// Package version tells which build of Davit a program is.
package version

import (
	"runtime/debug"
)

// String returns the module's version, or the commit it was built from with
// "+dirty" when that was changed, or "dev" where the build does not know.
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if revision == "" {
		return "dev"
	}
	return revision + dirty
}
