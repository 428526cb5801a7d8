package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"davit/e2e/rig"
	"davit/internal/testenv"
)

// TestRegistrationIsServedByAll: a registration that one gateway has answered is served by the other at once.
func TestRegistrationIsServedByAll(t *testing.T) {
	a, b, _ := twoGateways(t)
	gateways := []*rig.Gateway{a, b}
	for i := range 20 {
		one, other := gateways[i%2], gateways[(i+1)%2]
		text := fmt.Sprintf("round %d", i)
		function(t, one, "f", "{}", tool("echo "+text+" > out.txt"))
		path := "/round/" + strconv.Itoa(i)
		trigger(t, one, "t"+strconv.Itoa(i), `{"function": "f", "methods": ["POST"], "path": "`+path+`", "command": ["sh", "tool.sh"], "results": ["out.txt"]}`)
		answer := post(t, other, path, nil)
		status(t, answer, http.StatusOK)
		if got := unzip(t, answer.Body)["out.txt"]; got != text+"\n" {
			t.Fatalf("the other gateway served %q in round %d", got, i)
		}
	}
	for i := range 20 {
		one, other := gateways[i%2], gateways[(i+1)%2]
		status(t, admin(t, one, http.MethodDelete, "/v1/triggers/t"+strconv.Itoa(i), ""), http.StatusNoContent)
		status(t, post(t, other, "/round/"+strconv.Itoa(i), nil), http.StatusNotFound)
	}
	status(t, admin(t, a, http.MethodDelete, "/v1/functions/f", ""), http.StatusNoContent)
	status(t, admin(t, b, http.MethodGet, "/v1/functions/f", ""), http.StatusNotFound)
}

// TestRunnerServesAllGateways: a warm runner that one gateway started takes calls of both.
func TestRunnerServesAllGateways(t *testing.T) {
	a, b, _ := twoGateways(t)
	function(t, a, "f", `{"mode": "warm", "warm": {"min": 0, "max": 1}}`, tool("echo $PPID > pid.txt"))
	trigger(t, a, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["sh", "tool.sh"], "results": ["pid.txt"]}`)
	runners := map[string]bool{}
	for i := range 10 {
		answer := post(t, []*rig.Gateway{a, b}[i%2], "/t", nil)
		status(t, answer, http.StatusOK)
		if start := answer.Header.Get("Davit-Start"); start != "warm" {
			t.Errorf("call %d started %q", i, start)
		}
		runners[unzip(t, answer.Body)["pid.txt"]] = true
	}
	if len(runners) != 1 {
		t.Errorf("the calls ran under %d runners, want the same one: %v", len(runners), runners)
	}
}

// TestControlFromElsewhere: wait, log, result and cancel work on the gateway that does not lead the invocation.
func TestControlFromElsewhere(t *testing.T) {
	a, b, _ := twoGateways(t)
	function(t, a, "f", "{}", tool(`echo started; sleep "$1"; cp "$2" out.txt`))
	trigger(t, a, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["sh", "tool.sh", "{field:s}", "{file:in}"], "results": ["out.txt"]}`)
	parts := func(seconds string) []rig.Part {
		return []rig.Part{{Name: "s", Data: []byte(seconds)}, {Name: "in", Filename: "in.txt", Data: []byte("input")}}
	}
	t.Run("wait, log and result", func(t *testing.T) {
		r := async(t, a, "/t", parts("2")...)
		var waited *rig.Answer
		testenv.Returns(t, 20*time.Second, "the wait of up to 60 s for a call of 2 s", func() {
			waited = admin(t, b, http.MethodGet, "/v1/invocations/"+r.ID+"?wait=60s", "")
		})
		status(t, waited, http.StatusOK)
		if got := decode[record](t, waited.Body); got.State != "succeeded" {
			t.Errorf("the record from the other gateway after a wait: %+v", got)
		}
		log := get(t, b, "/-/invocations/"+r.ID+"/log", nil)
		status(t, log, http.StatusOK)
		if string(log.Body) != "started\n" {
			t.Errorf("the log on the other gateway is %q", log.Body)
		}
		result := get(t, b, "/-/invocations/"+r.ID+"/result", nil)
		status(t, result, http.StatusOK)
		if got := unzip(t, result.Body)["out.txt"]; got != "input" {
			t.Errorf("the result on the other gateway is %q", got)
		}
	})
	t.Run("followed log", func(t *testing.T) {
		r := async(t, a, "/t", parts("2")...)
		log := admin(t, b, http.MethodGet, "/v1/invocations/"+r.ID+"/log?follow=true", "")
		status(t, log, http.StatusOK)
		if string(log.Body) != "started\n" {
			t.Errorf("the log followed on the other gateway is %q", log.Body)
		}
		if got := await(t, b, r.ID); got.State != "succeeded" {
			t.Errorf("the record after the log ended: %+v", got)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		r := async(t, a, "/t", parts("62")...)
		testenv.EventuallyWithin(t, wait, "the other gateway shows the invocation as running", func() bool { return find(t, b, r.ID).State == "running" })
		testenv.Returns(t, 15*time.Second, "the cancel", func() {
			status(t, admin(t, b, http.MethodPost, "/v1/invocations/"+r.ID+"/cancel", ""), http.StatusAccepted)
			for _, g := range []*rig.Gateway{a, b} {
				if got := await(t, g, r.ID); got.State != "cancelled" || got.reason() != "cancelled" {
					t.Errorf("cancelled on the other gateway: %+v", got)
				}
			}
		})
		testenv.EventuallyWithin(t, wait, "the command has ended", func() bool { return len(processes("sleep", "62")) == 0 })
	})
}

// TestSignedDownload: the link of a result leads through the download listener to the object in MinIO.
func TestSignedDownload(t *testing.T) {
	a, b, store := twoGateways(t)
	function(t, a, "f", "{}", tool(`head -c 100000 /dev/urandom > out.bin`))
	trigger(t, a, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["sh", "tool.sh"], "results": ["out.bin"]}`)
	answer := post(t, a, "/t", nil)
	status(t, answer, http.StatusOK)
	id := answer.Header.Get("Davit-Invocation")
	await(t, b, id)

	redirect := get(t, b, "/-/invocations/"+id+"/result?redirect=true", nil)
	status(t, redirect, http.StatusSeeOther)
	link := redirect.Header.Get("Location")
	if strings.Contains(link, store.Endpoint) || !strings.HasPrefix(link, "http://127.0.0.1:") {
		t.Errorf("the link leads to %q, not to the download listener", link)
	}
	code, body := fetch(t, http.MethodGet, link, nil)
	if code != http.StatusOK || !bytes.Equal(body, answer.Body) {
		t.Errorf("the link gave %d and %d bytes, want what the caller got: %d bytes", code, len(body), len(answer.Body))
	}
	if code, _ := fetch(t, http.MethodGet, strings.Split(link, "?")[0], nil); code/100 != 4 {
		t.Errorf("without its signature the link gave %d", code)
	}
	if code, _ := fetch(t, http.MethodPut, link, strings.NewReader("overwritten")); code/100 != 4 {
		t.Errorf("PUT to the link gave %d", code)
	}
	if raw := object(t, store, "invocations/"+id+"/1/result.zip"); !bytes.Equal(raw, answer.Body) {
		t.Errorf("the object in the store has %d bytes, want what the caller got: %d bytes", len(raw), len(answer.Body))
	}
}

// TestResultElsewhereAtOnce: every gateway waits for a result that the runner is still uploading.
func TestResultElsewhereAtOnce(t *testing.T) {
	a, b, _ := twoGateways(t)
	function(t, a, "f", "{}", tool(`head -c 3000000 /dev/urandom > out.bin`))
	trigger(t, a, "t", `{"function": "f", "methods": ["POST"], "path": "/t", "command": ["sh", "tool.sh"], "results": ["out.bin"]}`)
	for i := range 4 {
		one, other := a, b
		if i%2 == 1 {
			one, other = b, a
		}
		answer := post(t, one, "/t", nil)
		status(t, answer, http.StatusOK)
		result := get(t, other, "/-/invocations/"+answer.Header.Get("Davit-Invocation")+"/result", nil)
		if result.Status != http.StatusOK || !bytes.Equal(result.Body, answer.Body) {
			t.Errorf("the other gateway gave %d, %.300q", result.Status, result.Body)
		}
	}
}

// fetch sends a request without credentials to a URL.
func fetch(t *testing.T, method, url string, body io.Reader) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, b
}

// object reads an object directly from the store.
func object(t *testing.T, store *testenv.S3Server, key string) []byte {
	t.Helper()
	c, err := minio.New(store.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(store.AccessKey, store.SecretKey, ""), Region: store.Region})
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.GetObject(t.Context(), "davit", key, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.Close() }()
	b, err := io.ReadAll(o)
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	return b
}
