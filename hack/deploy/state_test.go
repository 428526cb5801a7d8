package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestReady: a workload is ready when its last applied version is, not an earlier one.
func TestReady(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want bool
	}{
		"a new Deployment":     {`{"kind":"Deployment","metadata":{"generation":1},"spec":{"replicas":2},"status":{}}`, false},
		"one that is not seen": {`{"kind":"Deployment","metadata":{"generation":2},"spec":{"replicas":1},"status":{"observedGeneration":1,"replicas":1,"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1}}`, false},
		"one with an old pod":  {`{"kind":"Deployment","metadata":{"generation":2},"spec":{"replicas":1},"status":{"observedGeneration":2,"replicas":2,"updatedReplicas":1,"readyReplicas":2,"availableReplicas":2}}`, false},
		"one that is":          {`{"kind":"Deployment","metadata":{"generation":2},"spec":{"replicas":2},"status":{"observedGeneration":2,"replicas":2,"updatedReplicas":2,"readyReplicas":2,"availableReplicas":2}}`, true},
		"a StatefulSet":        {`{"kind":"StatefulSet","metadata":{"generation":1},"status":{"observedGeneration":1,"replicas":1,"readyReplicas":1,"currentRevision":"a","updateRevision":"a"}}`, true},
		"one with the old pod": {`{"kind":"StatefulSet","metadata":{"generation":2},"status":{"observedGeneration":2,"replicas":1,"readyReplicas":1,"currentRevision":"a","updateRevision":"b"}}`, false},
		"a Job that runs":      {`{"kind":"Job","status":{"active":1}}`, false},
		"one that ended well":  {`{"kind":"Job","status":{"succeeded":1}}`, true},
	} {
		var w workload
		if err := json.Unmarshal([]byte(test.text), &w); err != nil {
			t.Fatal(err)
		}
		if got := w.isReady(); got != test.want {
			t.Errorf("%s is ready: %v", name, got)
		}
	}
	var w workload
	text := `{"kind":"Job","metadata":{"name":"j"},"status":{"conditions":[{"type":"Failed","status":"True","reason":"BackoffLimitExceeded","message":"too often"}]}}`
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	if got := w.failure(); got != "BackoffLimitExceeded: too often" || w.String() != "job/j" {
		t.Errorf("%s failed: %q", &w, got)
	}
}

// TestTroubles: there is a cause for every container of a pod that is not ready.
func TestTroubles(t *testing.T) {
	for name, test := range map[string]struct {
		text, want string
		explained  bool
	}{
		"well": {`{"status":{"phase":"Running","initContainerStatuses":[{"name":"await","ready":true,"state":{"terminated":{"exitCode":0}}}],
			"containerStatuses":[{"name":"gateway","ready":true,"state":{"running":{}}}]}}`, "", false},
		"over":              {`{"status":{"phase":"Succeeded","containerStatuses":[{"name":"setup","state":{"terminated":{"exitCode":0}}}]}}`, "", true},
		"no room":           {`{"status":{"conditions":[{"type":"PodScheduled","status":"False","message":"0/1 nodes"}]}}`, "no node accepts it: 0/1 nodes", true},
		"no image":          {`{"status":{"containerStatuses":[{"name":"redis","state":{"waiting":{"reason":"ErrImagePull","message":"not found"}}}]}}`, "container redis: ErrImagePull: not found", true},
		"no answer":         {`{"status":{"containerStatuses":[{"name":"redis","state":{"running":{}}}]}}`, "container redis: runs, and is not ready", false},
		"ends again":        {`{"status":{"containerStatuses":[{"name":"gateway","restartCount":3,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":1,"message":"the settings\n have faults"}}}]}}`, "container gateway: waits: CrashLoopBackOff; it ended 3 times, last with exit code 1: the settings have faults", true},
		"no volume":         {`{"status":{"containerStatuses":[{"name":"redis","state":{"waiting":{"reason":"ContainerCreating"}}}]}}`, "container redis: waits: ContainerCreating", false},
		"waits for another": {`{"status":{"initContainerStatuses":[{"name":"await","state":{"running":{}}}],"containerStatuses":[{"name":"gateway","state":{"waiting":{"reason":"PodInitializing"}}}]}}`, "container await: runs, and is not ready", false},
	} {
		var p pod
		if err := json.Unmarshal([]byte(test.text), &p); err != nil {
			t.Fatal(err)
		}
		troubles, explained := p.troubles()
		if got := strings.Join(troubles, "|"); got != test.want || explained != test.explained {
			t.Errorf("%s: %q, explained %v; want %q, %v", name, got, explained, test.want, test.explained)
		}
	}
}

// TestSplit: names of images with ports and paths, and without a tag.
func TestSplit(t *testing.T) {
	for image, want := range map[string][2]string{
		"davit-gateway:1":              {"davit-gateway", "1"},
		"localhost:5000/x/davit:1-a":   {"localhost:5000/x/davit", "1-a"},
		"davit-gateway":                {},
		"localhost:5000/davit-gateway": {},
	} {
		name, tag, err := split(image)
		if [2]string{name, tag} != want || (err != nil) != (want[0] == "") {
			t.Errorf("%s: %q, %q, %v", image, name, tag, err)
		}
	}
}
