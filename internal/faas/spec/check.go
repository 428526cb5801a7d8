package spec

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"davit/internal/faas"
	"davit/internal/faas/route"
)

// Bounds of what a spec may ask for. They keep absurd values out; what there is room for is the installation's to say.
const (
	maxTimeout     = faas.Duration(24 * time.Hour)
	maxAge         = faas.Duration(365 * 24 * time.Hour)
	maxRunners     = 1000
	maxConcurrency = 10_000
	maxWarmSlots   = 1000
	maxQueuedCalls = 100_000
	maxWarmCalls   = 1_000_000_000
	maxMilliCPU    = 1_000_000
	minMemory      = 16 * faas.MiB
	maxMemory      = 64 * 1024 * faas.GiB
	minDisk        = faas.MiB
	maxDisk        = 64 * 1024 * faas.GiB
	maxGPU         = 64
	maxObject      = 5 * 1024 * faas.GiB // no S3 holds a larger one
	maxListed      = 1000                // entries of a list in a spec
	maxName        = faas.MaxEnvName
	maxText        = 64 * 1024

	// maxArgument is the most bytes of one argument or NAME=value with its NUL (Linux: MAX_ARG_STRLEN), maxArguments of
	// all of them, well below ARG_MAX.
	maxArgument  = 128 * 1024
	maxArguments = 1024 * 1024
)

// checker collects what is wrong with a spec.
type checker struct{ faults []faas.FieldError }

func (c *checker) add(pointer, format string, args ...any) {
	if len(c.faults) < maxFieldErrors {
		c.faults = append(c.faults, faas.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
}

// name adds what a name's Check says.
func (c *checker) name(pointer, fault string) {
	if fault != "" {
		c.add(pointer, "%s", fault)
	}
}

// between checks a bound that has a printable type.
func between[T ~int | ~int64](c *checker, pointer string, v, least, most T) {
	if v < least || v > most {
		c.add(pointer, "must be between %v and %v, not %v", least, most, v)
	}
}

// above0 checks a duration that must be longer than nothing.
func (c *checker) above0(pointer string, d, most faas.Duration) {
	switch {
	case d <= 0:
		c.add(pointer, "must be more than 0, not %s", faas.ShortDuration(d.Std()))
	case d > most:
		c.add(pointer, "must be at most %s, not %s", faas.ShortDuration(most.Std()), faas.ShortDuration(d.Std()))
	}
}

// oneOf checks a value of a closed list.
func oneOf[T ~string](c *checker, pointer string, v T, choices ...T) {
	quoted := make([]string, len(choices))
	for i, choice := range choices {
		if v == choice {
			return
		}
		quoted[i] = strconv.Quote(string(choice))
	}
	c.add(pointer, "must be %s, not %q", strings.Join(quoted, " or "), faas.Clip(string(v)))
}

// text checks a string that is passed on as it is; NUL ends strings in the kernel's interfaces.
func (c *checker) text(pointer, s string) {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		c.add(pointer, "holds a NUL character")
	case len(s) > maxText:
		c.add(pointer, "has %d bytes; at most %d are allowed", len(s), maxText)
	}
}

// command checks a program and its arguments, if there are any.
func (c *checker) command(pointer string, command faas.Command) {
	if len(command) > 0 && command[0] == "" {
		c.add(pointer+"/0", "is empty; name the program to run")
	}
	c.arguments(pointer, command)
}

func (c *checker) arguments(pointer string, arguments []string) {
	total := 0
	for i, arg := range arguments {
		at := pointer + "/" + strconv.Itoa(i)
		total += len(arg) + 1
		switch {
		case strings.IndexByte(arg, 0) >= 0:
			c.add(at, "holds a NUL character")
		case len(arg) >= maxArgument:
			c.add(at, "has %d bytes; Linux takes less than %d in one argument", len(arg), maxArgument)
		}
	}
	if total > maxArguments {
		c.add(pointer, "has %d bytes in all; at most %d are allowed", total, maxArguments)
	}
}

// env checks the environment that a function asks for.
func (c *checker) env(pointer string, env map[string]string) {
	total := 0
	for _, name := range sortedKeys(env) {
		at := memberPointer(pointer, name)
		c.name(at, faas.CheckEnvName(name))
		size := len(name) + len(env[name]) + len("=\x00")
		total += size
		switch {
		case strings.IndexByte(env[name], 0) >= 0:
			c.add(at, "holds a NUL character")
		case size > maxArgument:
			c.add(at, "has %d bytes; Linux takes at most %d in one variable", size, maxArgument)
		}
	}
	if total > maxArguments {
		c.add(pointer, "has %d bytes in all; at most %d are allowed", total, maxArguments)
	}
}

// ParseCPU reads a number of cores such as "500m", "0.5" or "2", to the thousandth, and returns thousandths. Signs,
// exponents and blanks are refused.
func ParseCPU(s string) (milli int64, err error) {
	whole, fraction, isDecimal := strings.Cut(s, ".")
	digits, scale := s, int64(1000)
	switch {
	case strings.HasSuffix(s, "m") && !isDecimal:
		digits, scale = strings.TrimSuffix(s, "m"), 1
	case isDecimal:
		digits = whole + fraction
		for range fraction {
			scale /= 10
		}
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || isDecimal && (whole == "" || fraction == "") || scale == 0 {
		return 0, fmt.Errorf("%q is no number of cores; write a string such as \"500m\", \"0.5\" or \"2\"", faas.Clip(s))
	}
	return int64(n) * scale, nil
}

// checkInnerPath returns "" for a relative path that stays where it begins, else what is wrong with it.
func checkInnerPath(path string) string {
	switch {
	case path == "":
		return "is empty"
	case len(path) > route.MaxPathBytes:
		return fmt.Sprintf("has %d bytes; at most %d are allowed", len(path), route.MaxPathBytes)
	case strings.IndexFunc(path, route.IsControl) >= 0:
		return "holds a control character"
	case path[0] == '/':
		return "is absolute; leave out the leading slash"
	}
	for part := range strings.SplitSeq(path, "/") {
		switch part {
		case "":
			return "holds an empty part; write single slashes, and none at the end"
		case ".", "..":
			return fmt.Sprintf("holds a %q part; write a plain relative path", part)
		}
	}
	return ""
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
