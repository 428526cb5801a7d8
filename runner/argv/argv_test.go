package argv

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/form"
)

func TestArguments(t *testing.T) {
	in := &form.Input{
		Fields: []form.Field{{Name: "size", Value: "1 0"}, {Name: "tag", Value: "a"}, {Name: "size", Value: ""}, {Name: "tag", Value: "{field:size}"}},
		Files: []form.File{
			{Field: "image", Name: "a.png"},
			{Field: "image", Name: "-rf"},
			{Field: form.BodyName, Name: form.BodyName},
		},
	}
	tests := []struct {
		command []string
		style   faas.ArgumentStyle
		want    []string
		fault   string
	}{
		{command: []string{"run", "-x", "{", "{}", "{a,b}", "{field}"}, want: []string{"run", "-x", "{", "{}", "{a,b}", "{field}"}},
		{command: []string{"run", "{field:size}", "--"}, want: []string{"run", "1 0", "", "--"}},
		{command: []string{"run", "{field:tag}"}, want: []string{"run", "a", "{field:size}"}},
		{command: []string{"run", "{file:image}", "{body}"}, want: []string{"run", "a.png", "./-rf", "body"}},
		{command: []string{"run", "{fields}", "{files}"}, want: []string{"run", "1 0", "a", "", "{field:size}", "a.png", "./-rf", "body"}},
		{command: []string{"run", "{field:gone}"}, fault: `"gone"`},
		{command: []string{"run", "{file:gone}"}, fault: `"gone"`},
		{command: []string{"run", "{file:size}"}, fault: `"size"`},
		{command: []string{"run", "--x={field:size}"}, fault: "longer argument"},
		{command: []string{"run", "own"}, style: faas.Counted, want: []string{"run", "own", "4", "1 0", "a", "", "{field:size}", "3", "a.png", "./-rf", "body"}},
		{command: []string{"run", "{field:gone}"}, style: faas.Counted, want: []string{"run", "{field:gone}", "4", "1 0", "a", "", "{field:size}", "3", "a.png", "./-rf", "body"}},
	}
	for _, test := range tests {
		got, err := Arguments(test.command, test.style, in)
		fault, is := errors.AsType[*form.Fault](err)
		if is != (test.fault != "") || is && !strings.Contains(fault.Detail, test.fault) || !slices.Equal(got, test.want) {
			t.Errorf("%q: got %q, %v", test.command, got, err)
		}
	}
	empty := &form.Input{}
	if got, err := Arguments([]string{"run", "{fields}", "{files}", "end"}, faas.Placeholders, empty); err != nil || !slices.Equal(got, []string{"run", "end"}) {
		t.Errorf("empty lists: %q, %v", got, err)
	}
	if _, err := Arguments([]string{"run", "{body}"}, faas.Placeholders, empty); err == nil {
		t.Error("no body: no fault")
	}
	if got, _ := Arguments([]string{"run"}, faas.Counted, empty); !slices.Equal(got, []string{"run", "0", "0"}) {
		t.Errorf("counted, empty: %q", got)
	}
}

func TestEnviron(t *testing.T) {
	in := &form.Input{Fields: []form.Field{
		{Name: "a-b", Value: "first"},
		{Name: "a_b", Value: "second"},
		{Name: "größe", Value: "x"},
		{Name: "long", Value: strings.Repeat("x", maxFieldValue+1)},
		{Name: "LONG", Value: "short"},
		{Name: "e", Value: ""},
	}}
	tk := &task.Task{}
	tk.Record = faas.Invocation{ID: "id", Function: "f", Revision: 3, Trigger: "t", Attempt: 1}
	tk.Request.Traceparent = "00-1-2-01"
	paths := Paths{Home: "/h", Temp: "/t", Shared: "/s", Request: "/r"}
	got := Environ(Base(map[string]string{"B": "2", "A": "1"}, ""), paths.Variables(), tk, in, time.Unix(1, 0))
	want := []string{
		"PATH=" + defaultPath, "A=1", "B=2", "HOME=/h", "TMPDIR=/t", "DAVIT_SHARED=/s", "DAVIT_REQUEST=/r",
		"DAVIT_INVOCATION_ID=id", "DAVIT_FUNCTION=f", "DAVIT_REVISION=3", "DAVIT_TRIGGER=t", "DAVIT_ATTEMPT=1",
		"DAVIT_DEADLINE=1970-01-01T00:00:01Z", "TRACEPARENT=00-1-2-01",
		"DAVIT_FIELD_A_B=first", "DAVIT_FIELD_GR__E=x", "DAVIT_FIELD_E=",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func TestRequest(t *testing.T) {
	tk := &task.Task{Request: task.Request{
		Method: "POST", Path: "/p", Query: "a=1",
		Headers: [][2]string{{"X-One", "1"}, {"x-one", "2"}, {"Accept", "*/*"}},
	}}
	in := &form.Input{
		Fields: []form.Field{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}},
		Files:  []form.File{{Field: "f", Name: "x y.png", Size: 7, ContentType: "image/png"}},
	}
	b, err := Request(tk, in)
	if err != nil {
		t.Fatal(err)
	}
	var got request
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := request{
		Method: "POST", Path: "/p", Query: "a=1", Headers: map[string][]string{"x-one": {"1", "2"}, "accept": {"*/*"}},
		Fields: map[string][]string{"a": {"1", "2"}}, Files: []file{{"f", "x y.png", 7, "image/png"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v", got)
	}
}

// TestSizesAsTheKernelHasThem compares CheckSize with the limits of the running kernel.
func TestSizesAsTheKernelHasThem(t *testing.T) {
	limit := Limit()
	for _, size := range []int{1000, 100_000, maxString - 1, maxString, 2 * maxString} {
		for count := 1; int64(count*size) < 2*limit; count *= 2 {
			argv := []string{"/bin/true"}
			for range count {
				argv = append(argv, strings.Repeat("x", size))
			}
			env := os.Environ()
			ours := CheckSize(argv, env, limit)
			cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
			theirs := cmd.Run()
			if ours == nil && theirs != nil {
				t.Errorf("%d of %d bytes: CheckSize allows it, but the kernel refuses it: %v", count, size, theirs)
			}
			if ours != nil && theirs == nil && int64(count*size) < limit*9/10 {
				t.Errorf("%d of %d bytes: %v, but the kernel allows it", count, size, ours)
			}
		}
	}
}

func FuzzArguments(f *testing.F) {
	f.Add("{field:a} {fields} --x {body}", "a", "value", "-file", false)
	f.Add("{file:a} {files} {", "b", "{field:a}", "x y", true)
	f.Fuzz(func(t *testing.T, command, name, value, fileName string, count bool) {
		in := &form.Input{Fields: []form.Field{{Name: name, Value: value}}, Files: []form.File{{Field: name, Name: fileName}}}
		style := faas.Placeholders
		if count {
			style = faas.Counted
		}
		words := strings.Split(command, " ")
		got, err := Arguments(words, style, in)
		if err != nil {
			if _, is := errors.AsType[*form.Fault](err); !is || count {
				t.Fatalf("%q: %v", words, err)
			}
			return
		}
		whole := map[string]bool{value: true, path(fileName): true, "1": true}
		for _, word := range words {
			whole[word] = true
		}
		for _, arg := range got {
			if !whole[arg] {
				t.Fatalf("%q: the argument %q is neither the command's nor a value", words, arg)
			}
		}
	})
}
