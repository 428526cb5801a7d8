package hub

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"davit/internal/faas"
	"davit/internal/task"
)

const (
	maxSlots       = 1024
	maxRunnerID    = 128
	maxDescription = 256
)

// The statuses of refusals: a runner with statusFinal ends, with statusLinked it is connected already, with statusLater
// it tries again.
const (
	statusFinal  = http.StatusForbidden
	statusLinked = http.StatusConflict
	statusLater  = http.StatusServiceUnavailable
)

// refusal is why a runner is refused. The runner logs the detail.
type refusal struct {
	status int
	detail string
}

// Error returns the detail.
func (r *refusal) Error() string { return r.detail }

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, detail: fmt.Sprintf(format, args...)}
}

// parseRef reads what RevisionRef.String wrote.
func parseRef(s string) (faas.RevisionRef, error) {
	name, number, _ := strings.Cut(s, "@")
	n, err := strconv.Atoi(number)
	ref := faas.RevisionRef{Function: faas.FunctionName(name), Number: faas.RevisionNumber(n)}
	if err != nil || n < 1 || ref.Function.Check() != "" || ref.String() != s {
		return ref, refuse(http.StatusBadRequest, "%s names no revision", task.HeaderRevision)
	}
	return ref, nil
}

// parseHello reads a hello and checks every field of it that the hub uses.
func parseHello(body []byte, ref faas.RevisionRef, kind task.LinkKind) (*task.Hello, error) {
	var hello task.Hello
	if err := json.Unmarshal(body, &hello); err != nil {
		return nil, refuse(http.StatusBadRequest, "hello is no JSON of the right kind")
	}
	if fault := helloFault(&hello, kind); fault != "" {
		return nil, refuse(http.StatusBadRequest, "hello: %s", fault)
	}
	if hello.Ref() != ref {
		return nil, refuse(http.StatusForbidden, "hello is of another revision than the token")
	}
	for i := range hello.Owned {
		rec := &hello.Owned[i].Record
		if _, err := faas.ParseInvocationID(string(rec.ID)); err != nil || rec.Ref() != ref {
			return nil, refuse(http.StatusForbidden, "hello: held[%d] is no invocation of %s", i, ref)
		}
	}
	return &hello, nil
}

func helloFault(hello *task.Hello, kind task.LinkKind) string {
	_, badID := faas.ParseInvocationID(string(hello.Invocation))
	switch {
	case hello.Runner == "" || len(hello.Runner) > maxRunnerID || !printable(string(hello.Runner)):
		return "runner is no id"
	case hello.Slots < 1 || hello.Slots > maxSlots || hello.Free < 0 || hello.Free > hello.Slots:
		return "slots or free are out of bounds"
	case len(hello.Version) > maxDescription || len(hello.Sandbox) > maxDescription:
		return "version or sandbox are too long"
	case kind == task.LinkSlot && len(hello.Owned) > 0:
		return "held goes with the control connection"
	case hello.Start == faas.StartJob && badID != nil:
		return "a job's runner says for which invocation it is"
	case hello.Start != faas.StartJob && hello.Invocation != "":
		return "only a job's runner is for one invocation"
	case hello.Start != faas.StartWarm && hello.Slots != 1:
		return "only a warm runner has several slots"
	}
	if !slices.Contains([]faas.Start{faas.StartJob, faas.StartStandby, faas.StartWarm}, hello.Start) {
		return "start is not known"
	}
	return ""
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || !unicode.IsPrint(c) })
}
