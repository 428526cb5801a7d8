package route

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"davit/internal/faas"
)

// route makes a trigger of "METHOD[,METHOD] /path", named like its path unless a name follows.
func route(line string) *faas.Trigger {
	words := strings.Fields(line)
	name := faas.TriggerName(line)
	if len(words) > 2 {
		name = faas.TriggerName(words[2])
	}
	return &faas.Trigger{Name: name, TriggerSpec: faas.TriggerSpec{Methods: strings.Split(words[0], ","), Path: words[1]}}
}

func routes(lines ...string) []*faas.Trigger {
	triggers := make([]*faas.Trigger, len(lines))
	for i, line := range lines {
		triggers[i] = route(line)
	}
	return triggers
}

func mustTable(t *testing.T, lines ...string) *Table {
	t.Helper()
	table, err := NewTable(routes(lines...))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// answer is what Match says, in one line.
func answer(table *Table, method, path string) string {
	m, err := table.Match(method, path)
	if err != nil {
		allow := ""
		if e, ok := errors.AsType[*faas.Error](err); ok && e.Allow != nil {
			allow = " " + strings.Join(e.Allow, ",")
		}
		return string(faas.KindOf(err)) + allow
	}
	return strings.TrimSpace(fmt.Sprintf("%s %v", m.Trigger.Name, m.Fields))
}

func TestMatch(t *testing.T) {
	table := mustTable(t,
		"GET / root", "GET /a a", "GET /a/ a-slash", "POST /a post-a", "GET,POST,PUT /all all",
		"GET /users/:id user", "GET /users/me me", "POST /users/:who new-user", "GET /users/:id/files/* files", "GET /users/:id/files/list list",
		"GET /a/b/:x abx", "GET /:x/b/c xbc", "PUT /a/:y/c ayc", "GET /deep/* deep", "GET /deep/:x/y deep-y",
		"GET /caf%C3%A9 cafe", "GET /x%2Fy slash", "GET /%2A star", "POST /only only", "GET //b empty-b", "PUT /* rest",
	)
	cases := []struct{ method, path, want string }{
		{"GET", "/", "root []"},
		{"HEAD", "/", "root []"},
		{"GET", "/a", "a []"},
		{"GET", "/a/", "a-slash []"},
		{"POST", "/a", "post-a []"},
		{"GET", "/%61", "a []"},
		{"GET", "/A", "method_not_allowed OPTIONS,PUT"},
		{"POST", "/all", "all []"},
		{"PUT", "/all", "all []"},
		{"DELETE", "/all", "method_not_allowed GET,HEAD,OPTIONS,POST,PUT"},
		{"OPTIONS", "/all", "method_not_allowed GET,HEAD,OPTIONS,POST,PUT"},
		{"get", "/all", "method_not_allowed GET,HEAD,OPTIONS,POST,PUT"},
		{"", "/only", "method_not_allowed OPTIONS,POST,PUT"},
		// Literal beats name, and what the literal does not take goes to the name.
		{"GET", "/users/me", "me []"},
		{"POST", "/users/me", "new-user [[who me]]"},
		{"GET", "/users/4711", "user [[id 4711]]"},
		{"POST", "/users/4711", "new-user [[who 4711]]"},
		{"PUT", "/users/4711", "rest [[* users/4711]]"},
		{"GET", "/users/", "method_not_allowed OPTIONS,PUT"}, // a name is never empty
		{"GET", "/users", "method_not_allowed OPTIONS,PUT"},
		// Wildcards take the rest, which may be empty, but not nothing.
		{"GET", "/users/7/files/", "files [[id 7] [* ]]"},
		{"GET", "/users/7/files", "method_not_allowed OPTIONS,PUT"},
		{"GET", "/users/7/files/a/b%20c", "files [[id 7] [* a/b c]]"},
		{"GET", "/users/7/files/list", "list [[id 7]]"},
		{"GET", "/users/7/files/list/x", "files [[id 7] [* list/x]]"},
		{"GET", "/deep/x/y", "deep-y [[x x]]"},
		{"GET", "/deep/x/z", "deep [[* x/z]]"},
		{"GET", "/deep//y", "deep [[* /y]]"},
		// Backtracking.
		{"GET", "/a/b/c", "abx [[x c]]"},
		{"PUT", "/a/b/c", "ayc [[y b]]"},
		{"GET", "/z/b/c", "xbc [[x z]]"},
		{"PUT", "/a/z/c", "ayc [[y z]]"},
		{"GET", "/a/z/c", "method_not_allowed OPTIONS,PUT"},
		{"POST", "/a/b/c", "method_not_allowed GET,HEAD,OPTIONS,PUT"},
		// Decoding is by segment.
		{"GET", "/caf%c3%a9", "cafe []"},
		{"GET", "/café", "cafe []"},
		{"GET", "/x%2Fy", "slash []"},
		{"GET", "/x/y", "method_not_allowed OPTIONS,PUT"},
		{"GET", "/users/a%2Fb", "user [[id a/b]]"},
		{"GET", "/users/a%252Fb", "user [[id a%2Fb]]"},
		{"GET", "/users/a+b", "user [[id a+b]]"},
		{"GET", "/users/%0A%27%22", "user [[id \n'\"]]"},
		{"GET", "/*", "star []"},
		{"GET", "//b", "empty-b []"},
		// What no path may be.
		{"GET", "", "invalid"},
		{"GET", "a", "invalid"},
		{"OPTIONS", "*", "invalid"},
		{"GET", "/a/..", "invalid"},
		{"GET", "/a/.", "invalid"},
		{"GET", "/deep/%2E%2e/x", "invalid"},
		{"GET", "/deep/.%2e", "invalid"},
		{"GET", "/deep/%2e", "invalid"},
		{"GET", "/deep/%00", "invalid"},
		{"GET", "/deep/\x00", "invalid"},
		{"GET", "/deep/%", "invalid"},
		{"GET", "/deep/%f", "invalid"},
		{"GET", "/deep/%gg", "invalid"},
		{"GET", "/deep/%ff", "invalid"},
		{"GET", "/deep/\xff", "invalid"},
		{"GET", "/deep/...", "deep [[* ...]]"},
		// Davit's own paths are nobody's, not even a wildcard's.
		{"PUT", "/-/invocations/x", "not_found"},
		{"PUT", "/-", "not_found"},
		{"PUT", "/%2d/", "not_found"},
		{"PUT", "/-x", "rest [[* -x]]"},
	}
	for _, c := range cases {
		if got := answer(table, c.method, c.path); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.path, got, c.want)
		}
	}
}

func TestMatchWithoutAnyTrigger(t *testing.T) {
	table := mustTable(t)
	if got := answer(table, "GET", "/a"); got != "not_found" {
		t.Errorf("an empty table says %s", got)
	}
}

func TestMatchOfLongPaths(t *testing.T) {
	table := mustTable(t, "GET /a/* a")
	long := strings.Repeat("/b", 50_000)
	if got, want := answer(table, "GET", "/a"+long), fmt.Sprintf("a [[* %s]]", long[1:]); got != want {
		t.Errorf("a path of 50,000 segments gives %s", faas.Clip(got))
	}
	if got := answer(table, "GET", long); got != "not_found" {
		t.Errorf("another path of 50,000 segments gives %s", faas.Clip(got))
	}
}

func TestConflicts(t *testing.T) {
	cases := []struct {
		lines []string
		want  string // the trigger that is in the way
	}{
		{[]string{"GET /a one", "GET /a two"}, `"one"`},
		{[]string{"GET,POST /a one", "PUT,POST /a two"}, `"one"`},
		{[]string{"GET /a/:x one", "GET /a/:y two"}, `"one"`},
		{[]string{"GET /a/* one", "GET /a/* two"}, `"one"`},
		{[]string{"GET /a one", "GET /%61 two"}, `"one"`},
		{[]string{"GET /a one", "POST /a two"}, ""},
		{[]string{"GET /a/:x one", "POST /a/:y two"}, ""},
		{[]string{"GET /a/:x one", "GET /a/b two", "GET /a/* three", "GET /:x/b four"}, ""},
		{[]string{"GET /a one", "GET /a one"}, ""}, // the later of one name
		{[]string{"GET,GET,GET /a one"}, ""},
	}
	for _, c := range cases {
		_, err := NewTable(routes(c.lines...))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.lines, err)
		case c.want != "" && (faas.KindOf(err) != faas.Conflict || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: %v; want a conflict with %s", c.lines, err, c.want)
		}
	}
}

func TestTableRefusesWhatIsNoPattern(t *testing.T) {
	_, err := NewTable(routes("GET /a/../b bad"))
	e, ok := errors.AsType[*faas.Error](err)
	if !ok || e.Kind != faas.NotAllowed || !strings.Contains(e.Detail, `"bad"`) || len(e.Fields) != 1 || e.Fields[0].Pointer != "/path" {
		t.Errorf("NewTable = %#v", err)
	}
}

func TestTableServesKnownMethodsOnly(t *testing.T) {
	table := mustTable(t, "DELETE,HEAD,GET /a a", "PATCH /a b", "PATCH,DELETE /c c")
	for path, want := range map[string]string{"/a": "a []", "/c": "not_found"} {
		if got := answer(table, "GET", path); got != want {
			t.Errorf("GET %s: %s, want %s", path, got, want)
		}
	}
	if got, want := answer(table, "PATCH", "/a"), "method_not_allowed GET,HEAD,OPTIONS"; got != want {
		t.Errorf("PATCH /a: %s, want %s", got, want)
	}
}

func TestWithLeavesTheOldTableAlone(t *testing.T) {
	old := mustTable(t, "GET /a/b one", "GET /a/:x two", "GET /c three")
	changed, err := old.With(routes("GET /c one", "GET /a/b three", "POST /d four"), []faas.TriggerName{"two", "never"})
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct{ method, path, before, after string }{
		{"GET", "/a/b", "one []", "three []"},
		{"GET", "/a/z", "two [[x z]]", "not_found"},
		{"GET", "/c", "three []", "one []"},
		{"POST", "/d", "not_found", "four []"},
	}
	for _, c := range cases {
		if before, after := answer(old, c.method, c.path), answer(changed, c.method, c.path); before != c.before || after != c.after {
			t.Errorf("%s %s: %s, then %s; want %s, then %s", c.method, c.path, before, after, c.before, c.after)
		}
	}
	if refused, err := changed.With(routes("GET /a/b five"), nil); err == nil || refused != nil {
		t.Errorf("a clash gives %v, %v", refused, err)
	}
	if got := answer(changed, "GET", "/a/b"); got != "three []" {
		t.Errorf("after a refused change: %s", got)
	}
}

func TestWithOfAPathThatMoves(t *testing.T) {
	table := mustTable(t, "GET /a/b/c/:x/* one")
	for _, line := range []string{"GET /a/b one", "POST /a/b one", "GET /:x one", "GET /* one", "GET /a/:y/c one"} {
		var err error
		if table, err = table.With(routes(line), nil); err != nil {
			t.Fatal(err)
		}
		want, _ := NewTable(nil)
		want.seed = table.seed
		if want, err = want.With(routes(line), nil); err != nil || !reflect.DeepEqual(table, want) {
			t.Errorf("after moving to %s the table holds more than that: %v", line, err)
		}
	}
	empty, err := table.With(nil, []faas.TriggerName{"one"})
	if err != nil || !empty.root.empty() || empty.names.root != nil {
		t.Errorf("something is left of the last trigger: %+v, %v", empty, err)
	}
}

func TestMatchDoesNotAllocateForLiterals(t *testing.T) {
	table := mustTable(t, "GET /team/task one")
	if n := testing.AllocsPerRun(100, func() {
		if _, err := table.Match("GET", "/team/task"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a match allocates %v times", n)
	}
}

func TestMatchErrorsSayWhat(t *testing.T) {
	table := mustTable(t, "POST /a one")
	cases := map[string]string{
		"GET /b":   `no trigger has a path that matches "/b"`,
		"GET /a":   `"/a" takes no GET; its methods are OPTIONS, POST`,
		"GET /%zz": `the path segment "%zz" holds a broken percent escape`,
	}
	for request, want := range cases {
		method, path, _ := strings.Cut(request, " ")
		if _, err := table.Match(method, path); err == nil || err.Error() != want {
			t.Errorf("%s: %v; want %s", request, err, want)
		}
	}
}

func TestBenchTablesAreWhole(t *testing.T) {
	table, probes := benchTable(t, 1000)
	for i, p := range probes {
		m, err := table.Match("POST", p)
		if err != nil || m.Trigger.Name != faas.TriggerName(fmt.Sprintf("task-%d", i)) {
			t.Fatalf("POST %s = %v, %v", p, m, err)
		}
	}
	if !slices.Contains(probes, "/team-3/task-3/4711") {
		t.Error("no probe of a named segment")
	}
}
