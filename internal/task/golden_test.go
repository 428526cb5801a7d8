package task

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"davit/internal/faas"
)

var update = flag.Bool("update", false, "write the golden files")

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

func ptr[T any](v T) *T { return &v }

func record() faas.Invocation {
	return faas.Invocation{
		ID: "01912d68-783e-7a0a-9d5c-6d0c5e5f3a11", Function: "thumbnail", Revision: 3, Trigger: "make-thumbnail", Mode: faas.ModeStandby,
		Start: faas.StartStandby, State: faas.Running, Attempt: 1, CreatedAt: at("2026-01-02T03:04:05.006Z"), StartedAt: ptr(at("2026-01-02T03:04:05.018Z")),
		Phases: faas.Phases{Queue: faas.Duration(time.Millisecond)}, RequestID: "caller-7",
		Inner: &faas.Inner{Accepted: true, Keep: faas.KeepAll, Retention: faas.Duration(24 * time.Hour), Timeout: faas.Duration(5 * time.Minute), Gateway: "gw-1", Runner: "r-1"},
	}
}

func outcome() Outcome {
	return Outcome{
		Reason: faas.ReasonExitCode, Detail: "exit code 3", ExitCode: ptr(3), StartedAt: ptr(at("2026-01-02T03:04:05.018Z")), EndedAt: at("2026-01-02T03:04:05.060Z"),
		Phases:  faas.Phases{Input: faas.Duration(3 * time.Millisecond), Run: faas.Duration(42 * time.Millisecond), Zip: faas.Duration(2 * time.Millisecond)},
		Input:   &faas.Input{Size: 1234, SHA256: "ab", ContentType: "multipart/form-data; boundary=x", Stored: true},
		Result:  &faas.Result{Size: 900, SHA256: "cd", Stored: true, Files: []faas.ResultFile{{Path: "out.png", Size: 880}}, FileCount: 1},
		LogTail: "Traceback…\n", LogSize: 11, LogStored: true, Attempt: 1, Runner: "r-1",
	}
}

// contract returns every message between gateway and runner, by the name of its golden file.
func contract() map[string]any {
	rec, out := record(), outcome()
	return map[string]any{
		"task": &Task{
			Record: rec, Command: []string{"sh", "run.sh", "{field:size}", "{files}"}, ArgumentStyle: faas.Placeholders, Results: []string{"**/*.png"},
			Response: faas.ResponseAuto, Fields: []faas.Field{{Name: "size", Kind: faas.FieldNumber, Required: true}},
			Request: Request{Method: "POST", Path: "/thumbnail/7", Query: "a=1", PathFields: [][2]string{{"id", "7"}}, Headers: [][2]string{{"Accept", "*/*"}}, ContentType: "application/json"},
			Timeout: faas.Duration(5 * time.Minute), MaxBody: faas.GiB, MaxLog: 10 * faas.MiB, MaxResult: 16 * faas.GiB, Keep: faas.KeepAll, MustKeep: true,
			InputURL: "http://store/in", Put: Put{Result: "http://store/result", Log: "http://store/log", Outcome: "http://store/outcome"},
		},
		"outcome": &out,
		"hello": &Hello{
			Runner: "r-1", Function: "thumbnail", Revision: 3, Start: faas.StartJob, Invocation: rec.ID, Slots: 1,
			Owned: []Owned{{Record: rec, Ended: true, Uploaded: true, Outcome: &out}}, Version: "v1", Sandbox: "landlock v7",
		},
		"event": &Event{Seq: 4, Kind: EventEnded, Free: 1, Invocation: rec.ID, Record: &rec, Outcome: &out, Input: out.Input, Detail: "why", LogTail: "end"},
		"launch": &Launch{
			Runner: "r-1", Function: "thumbnail", Revision: 3, Start: faas.StartWarm, Token: "t", Gateways: []string{"127.0.0.1:8082"}, Slots: 4, MaxCalls: 100,
			MaxAge: faas.Duration(time.Hour), Env: map[string]string{"A": "b"}, StartProcess: &faas.StartProcess{Command: faas.Command{"server"}, Ready: &faas.Ready{Port: 5000}},
			StartTimeout: faas.Duration(time.Minute), SourceDir: "/function", Dir: "/run/r-1", Common: []string{"/tmp"}, Landlock: true, Hide: []string{"/data"}, Sandbox: "a pod", Memory: 256 * faas.MiB,
		},
	}
}

// TestGolden pins the JSON that releases exchange: a later release must read what this one writes. Run it with -update
// after adding a member; never change one.
func TestGolden(t *testing.T) {
	for name, message := range contract() {
		file := filepath.Join("testdata", name+".json")
		got, err := json.MarshalIndent(message, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		if *update {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from\n%s", file, got)
		}
		back := reflect.New(reflect.TypeOf(message).Elem()).Interface()
		if err := json.Unmarshal(want, back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, message) {
			t.Errorf("%s does not read back as it was written: %+v", file, back)
		}
	}
}

// TestUnknownMembersAreIgnored shows that a newer release may add members.
func TestUnknownMembersAreIgnored(t *testing.T) {
	for name, message := range contract() {
		b, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		b = append([]byte(`{"of_a_later_release": {"x": [1]},`), b[1:]...)
		back := reflect.New(reflect.TypeOf(message).Elem()).Interface()
		if err := json.Unmarshal(b, back); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadTask reads what EncodeTask returned and leaves the input in the reader. A task that is cut or too large is
// refused.
func TestReadTask(t *testing.T) {
	want := contract()["task"].(*Task)
	whole, err := EncodeTask(want)
	if err != nil {
		t.Fatal(err)
	}
	whole = append(whole, "the input"...)
	r := bytes.NewReader(whole)
	got, err := ReadTask(r)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	if rest := whole[len(whole)-r.Len():]; string(rest) != "the input" {
		t.Errorf("the rest is %q", rest)
	}
	for _, n := range []int{0, 3, 4, 100} {
		if _, err := ReadTask(bytes.NewReader(whole[:n])); err == nil {
			t.Errorf("a task cut at %d bytes was read", n)
		}
	}
	if _, err := ReadTask(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff})); err == nil {
		t.Error("a task of 4 GiB was accepted")
	}
}
