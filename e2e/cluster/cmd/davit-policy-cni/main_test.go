package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

const previous = `{"cniVersion":"1.0.0","ips":[{"address":"10.244.0.7/24","gateway":"10.244.0.1"}]}`

// enforcer answers at a socket and keeps the last request.
func enforcer(t *testing.T, status int) (socket string, told *string) {
	t.Helper()
	told = new(string)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*told = string(body)
		http.Error(w, "because", status)
	}))
	socket = filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return socket, told
}

func add(t *testing.T, socket string) (string, error) {
	t.Helper()
	environment := map[string]string{"CNI_COMMAND": "ADD", "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=home;K8S_POD_NAME=web"}
	input, err := json.Marshal(map[string]any{"cniVersion": "1.0.0", "socket": socket, "prevResult": json.RawMessage(previous)})
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	err = run(t.Context(), func(name string) string { return environment[name] }, bytes.NewReader(input), &output)
	return output.String(), err
}

func TestThePluginTellsOfThePodAndPassesTheResultOn(t *testing.T) {
	socket, told := enforcer(t, http.StatusNoContent)
	output, err := add(t, socket)
	if err != nil {
		t.Fatal(err)
	}
	if output != previous {
		t.Errorf("the plugin prints %s, want its input", output)
	}
	if want := `{"address":"10.244.0.7","name":"web","namespace":"home"}`; *told != want {
		t.Errorf("the plugin sends %s, want %s", *told, want)
	}
}

func TestAPodDoesNotStartWithoutItsPolicies(t *testing.T) {
	socket, _ := enforcer(t, http.StatusServiceUnavailable)
	if _, err := add(t, socket); err == nil || !strings.Contains(err.Error(), "because") {
		t.Errorf("an enforcer that refuses: %v", err)
	}
	if _, err := add(t, filepath.Join(t.TempDir(), "nobody")); err == nil {
		t.Error("a pod was let through with no enforcer")
	}
}
