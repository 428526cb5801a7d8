// Command davit-policy-cni is a network plugin, the last of a chain. It sends the address of a new pod to the enforcer
// of network policies, and lets the pod start when its policies are in force. It changes nothing itself.
//
// It implements version 1.0.0 of the container network interface. It runs once for each pod.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"
)

// request is the standard input of a plugin.
type request struct {
	Version string `json:"cniVersion"`
	// Socket is the path of the enforcer's socket.
	Socket   string          `json:"socket"`
	Previous json.RawMessage `json:"prevResult"`
}

func main() {
	if err := run(context.Background(), os.Getenv, os.Stdin, os.Stdout); err != nil {
		const other = 100 // the first code that a plugin may define
		_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"cniVersion": "1.0.0", "code": other, "msg": err.Error()})
		os.Exit(1)
	}
}

func run(ctx context.Context, getenv func(string) string, stdin io.Reader, stdout io.Writer) error {
	switch getenv("CNI_COMMAND") {
	case "VERSION":
		return json.NewEncoder(stdout).Encode(map[string]any{"cniVersion": "1.0.0", "supportedVersions": []string{"1.0.0"}})
	case "ADD":
	default: // there is nothing to check or to undo
		return nil
	}
	var asked request
	if err := json.NewDecoder(stdin).Decode(&asked); err != nil {
		return fmt.Errorf("davit-policy-cni: read the request: %w", err)
	}
	if err := admit(ctx, asked, getenv("CNI_ARGS")); err != nil {
		return fmt.Errorf("davit-policy-cni: %w", err)
	}
	_, err := stdout.Write(asked.Previous)
	return err
}

func admit(ctx context.Context, asked request, args string) error {
	address, err := addressIn(asked.Previous)
	if err != nil {
		return err
	}
	pod := map[string]string{"address": address.String()}
	for pair := range strings.SplitSeq(args, ";") {
		switch name, value, _ := strings.Cut(pair, "="); name {
		case "K8S_POD_NAMESPACE":
			pod["namespace"] = value
		case "K8S_POD_NAME":
			pod["name"] = value
		}
	}
	body, err := json.Marshal(pod)
	if err != nil {
		return err
	}
	const patience = 30 * time.Second
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", asked.Socket)
		},
	}}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://enforcer/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := client.Do(post)
	if err != nil {
		return fmt.Errorf("ask the enforcer of network policies: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		why, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("the enforcer of network policies: %s", bytes.TrimSpace(why))
	}
	return nil
}

// addressIn returns the pod's IPv4 address from the result of the previous plugins.
func addressIn(previous json.RawMessage) (netip.Addr, error) {
	var result struct {
		IPs []struct {
			Address netip.Prefix `json:"address"`
		} `json:"ips"`
	}
	if err := json.Unmarshal(previous, &result); err != nil {
		return netip.Addr{}, fmt.Errorf("read the result before: %w", err)
	}
	for _, ip := range result.IPs {
		if ip.Address.Addr().Is4() {
			return ip.Address.Addr(), nil
		}
	}
	return netip.Addr{}, errors.New("the pod has no IPv4 address")
}
