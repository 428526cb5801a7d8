package web_test

import (
	"fmt"
	"time"
)

func ago(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339Nano) }

func aFunction(name string, revision int, state string) object {
	live, invocable := any(revision), "starts on first call"
	if state != "ready" {
		live, invocable = nil, "not invocable: revision 1 is being built"
	}
	return object{
		"name": name, "revision": revision, "state": state, "live_revision": live, "invocable": invocable, "slots": object{},
		"spec": object{"mode": "job", "timeout": "5m"}, "created_at": ago(48 * time.Hour), "updated_at": ago(time.Hour),
	}
}

func aTrigger(name, function, path string) object {
	return object{
		"name": name, "function": function, "path": path, "methods": []string{"POST"}, "url": "http://127.0.0.1:8081" + path,
		"command": []string{"sh", "run.sh"}, "argument_style": "counted", "results": []string{"out.txt"}, "response": "zip",
		"fields": []object{}, "access": "public", "created_at": ago(time.Hour), "updated_at": ago(time.Hour),
	}
}

// anID returns the nth id. A greater n gives a later id.
func anID(n int) string { return fmt.Sprintf("01931d4e-%04x-7a00-8000-0000000000%02x", n, n%256) }

func anInvocation(n int, function, trigger, state string, before time.Duration) object {
	id := anID(n)
	inv := object{
		"id": id, "function": function, "revision": 3, "trigger": trigger, "mode": "job", "start": "job", "state": state, "reason": nil,
		"exit_code": nil, "signal": nil, "attempt": 1, "created_at": ago(before), "started_at": ago(before - 40*time.Millisecond), "ended_at": nil,
		"phases": object{"queue": "1.2ms", "start": "38ms", "input": "3ms"},
		"input":  object{"size": 482113, "content_type": "multipart/form-data; boundary=x", "stored": true, "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
		"result": nil, "links": object{"self": "/v1/invocations/" + id, "result": "/v1/invocations/" + id + "/result", "log": "/v1/invocations/" + id + "/log"},
	}
	took := time.Duration(120+n*37) * time.Millisecond
	switch state {
	case "succeeded":
		inv["exit_code"], inv["ended_at"] = 0, ago(before-took)
		inv["phases"] = object{"queue": "1.2ms", "start": "38ms", "input": "3ms", "run": (took - 45*time.Millisecond).String(), "zip": "2.1ms", "store": "8ms"}
		inv["result"] = object{
			"size": 90412, "stored": true, "file_count": 2, "expires_at": time.Now().Add(23 * time.Hour).UTC().Format(time.RFC3339), "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
			"files": []object{{"path": "thumb.png", "size": 88120}, {"path": "meta/size & name.json", "size": 212}},
		}
	case "failed":
		inv["exit_code"], inv["ended_at"], inv["reason"], inv["detail"] = 2, ago(before-took), "exit_code", "the command ended with exit code 2"
	case "queued":
		inv["started_at"], inv["start"] = nil, nil
		delete(inv, "start")
	}
	return inv
}

// populated fills the fake like an installation in use.
func (f *fake) populated() *fake {
	thumbnail := aFunction("thumbnail", 3, "ready")
	thumbnail["slots"] = object{"warm": object{"runners": 2, "free": 1, "busy": 1}}
	thumbnail["invocable"] = "ready, 1 of 2 warm"
	thumbnail["spec"] = object{"mode": "warm", "timeout": "30s", "warm": object{"min": 1, "max": 2}}
	report := aFunction("report-pdf", 2, "failed")
	report["live_revision"], report["detail"], report["invocable"] = 1, "the archive holds a link that leads out: bin/pandoc", "starts on first call"
	f.functions = []object{report, thumbnail, aFunction("word-count", 1, "ready")}
	pictures := aTrigger("make-thumbnail", "thumbnail", "/thumbnail/:size")
	pictures["command"], pictures["argument_style"], pictures["methods"] = []string{"convert", "{file:image}", "-resize", "{field:size}", "thumb.png"}, "placeholders", []string{"POST", "PUT"}
	pictures["response"] = "file"
	token := aTrigger("report", "report-pdf", "/report/*")
	token["access"], token["methods"] = "token", []string{"GET", "POST"}
	f.triggers = []object{pictures, token, aTrigger("count", "word-count", "/count")}
	for i, name := range []string{"thumbnail", "report-pdf", "word-count"} {
		for n := 3 - i; n > 0; n-- {
			f.revisions[name] = append(f.revisions[name], object{"function": name, "revision": n, "state": "ready", "spec": object{}, "created_at": ago(time.Duration(4-n) * time.Hour)})
		}
	}
	f.revisions["report-pdf"][0]["state"], f.revisions["report-pdf"][0]["detail"] = "failed", report["detail"]
	states := []string{"succeeded", "succeeded", "failed", "succeeded", "cancelled", "succeeded", "succeeded", "succeeded", "running", "queued"}
	for i, state := range states {
		before := time.Duration(len(states)-i) * 47 * time.Second
		function, trigger := "thumbnail", "make-thumbnail"
		if i%3 == 2 {
			function, trigger = "word-count", "count"
		}
		f.invocations = append(f.invocations, anInvocation(i, function, trigger, state, before))
		if state == "cancelled" {
			f.invocations[i]["reason"], f.invocations[i]["ended_at"], f.invocations[i]["detail"] = "cancelled", ago(before-4*time.Second), "somebody cancelled the invocation"
		}
		if state != "running" && state != "queued" {
			f.logOf("/v1/invocations/"+anID(i)+"/log").write("reading photo.jpg (4032x3024)\nresizing to 200x200\nwrote thumb.png\n", true)
		}
	}
	return f
}
