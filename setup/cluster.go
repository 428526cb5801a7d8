package setup

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// secret is a Secret as the API server reads and writes it.
type secret struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metadata          `json:"metadata"`
	Type       string            `json:"type,omitempty"`
	Data       map[string][]byte `json:"data"`
}

type metadata struct {
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels,omitempty"`
}

// cluster is a client of the API server of the cluster that this pod runs in. It has the two requests that are needed,
// because a client library would be most of the program.
type cluster struct {
	base  string
	token string
	http  *http.Client
}

// inCluster returns a client with the credentials of this pod: its service account, mounted at dir.
func inCluster(getenv func(string) string, dir string) (*cluster, error) {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("this process does not run in a cluster: the manifests run it as a Job")
	}
	token, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		return nil, fmt.Errorf("read the service account's token: %w", err)
	}
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("read the cluster's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("read the cluster's certificate: ca.crt has no certificate")
	}
	const perRequest = 10 * time.Second
	return &cluster{
		base: "https://" + net.JoinHostPort(host, port), token: strings.TrimSpace(string(token)),
		http: &http.Client{Timeout: perRequest, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}},
	}, nil
}

// refusal is an answer that another try would not change.
type refusal struct {
	status int
	detail string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the API server answers %d: %s", r.status, r.detail)
}

func isFinal(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status < http.StatusInternalServerError && r.status != http.StatusTooManyRequests
}

func (c *cluster) create(ctx context.Context, s *secret) (existed bool, err error) {
	body, err := json.Marshal(s)
	if err != nil {
		return false, err
	}
	_, err = c.do(ctx, http.MethodPost, secretsPath(s.Metadata.Namespace), body)
	var r *refusal
	if errors.As(err, &r) && r.status == http.StatusConflict {
		return true, nil
	}
	return false, err
}

func (c *cluster) read(ctx context.Context, namespace, name string) (*secret, error) {
	body, err := c.do(ctx, http.MethodGet, secretsPath(namespace)+"/"+url.PathEscape(name), nil)
	if err != nil {
		return nil, fmt.Errorf("read the secret %s/%s: %w", namespace, name, err)
	}
	var s secret
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, fmt.Errorf("read the secret %s/%s: %w", namespace, name, err)
	}
	return &s, nil
}

func secretsPath(namespace string) string {
	return "/api/v1/namespaces/" + url.PathEscape(namespace) + "/secrets"
}

func (c *cluster) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	const most = 1 << 20
	answer, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		var status struct{ Message string }
		_ = json.Unmarshal(answer, &status) // without a message the status code is enough
		return nil, &refusal{response.StatusCode, status.Message}
	}
	return answer, nil
}
