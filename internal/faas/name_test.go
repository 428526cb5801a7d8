package faas

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "0", "a-b", "resize-image", strings.Repeat("a", 40)} {
		if fault := FunctionName(name).Check(); fault != "" {
			t.Errorf("%q %s", name, fault)
		}
		if fault := TriggerName(name).Check(); fault != "" {
			t.Errorf("trigger %q %s", name, fault)
		}
	}
	for _, name := range []string{"", "-", "-a", "a-", "A", "a.b", "a_b", "a b", "é", "😀", "a\x00", "a/b", "../x", strings.Repeat("a", 64), "ａ"} {
		if FunctionName(name).Check() == "" || TriggerName(name).Check() == "" {
			t.Errorf("%q is taken as a name", name)
		}
	}
	long := strings.Repeat("a", 41)
	if fault := FunctionName(long).Check(); !strings.Contains(fault, "has 41 characters; at most 40") {
		t.Errorf("%q %s", long, fault)
	}
	if fault := TriggerName(long).Check(); fault != "" {
		t.Errorf("trigger %q %s", long, fault)
	}
	if fault := TriggerName(strings.Repeat("é", 63)).Check(); !strings.Contains(fault, "126") {
		t.Errorf("a long name of other letters %s", fault)
	}
}

func TestInvocationIDs(t *testing.T) {
	before, err := NewInvocationID()
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		id, err := NewInvocationID()
		if err != nil {
			t.Fatal(err)
		}
		if id <= before {
			t.Fatalf("%s came after %s", id, before)
		}
		if again, err := ParseInvocationID(string(id)); err != nil || again != id || id[14] != '7' {
			t.Fatalf("%s is read as %s, %v", id, again, err)
		}
		before = id
	}
	good := string(before)
	for _, s := range []string{"", "x", strings.ToUpper(good), "{" + good + "}", "urn:uuid:" + good, strings.ReplaceAll(good, "-", ""), good + "\n", good[:35] + "/"} {
		if id, err := ParseInvocationID(s); KindOf(err) != NotFound {
			t.Errorf("%q is read as %s, %v", s, id, err)
		}
	}
}

func TestClip(t *testing.T) {
	for _, s := range []string{"", "a", strings.Repeat("a", 80)} {
		if Clip(s) != s {
			t.Errorf("%q becomes %q", s, Clip(s))
		}
	}
	if got, want := Clip(strings.Repeat("a", 81)), strings.Repeat("a", 80)+"…"; got != want {
		t.Errorf("got %q", got)
	}
	if got := Clip(strings.Repeat("日", 50)); !utf8.ValidString(got) || len(got) > 84 {
		t.Errorf("got %q", got)
	}
}
