package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// options are the options of the command line.
type options struct {
	bin, kubeconfig, namespace, functions, host, audit string

	each    time.Duration
	verbose bool
	only    map[string]bool // nil: all
	peers   []peer
}

// peer is another HTTP server to measure.
type peer struct{ name, url string }

// choose sets only from a comma-separated list of known names.
func (o *options) choose(text string, known []string) error {
	o.only = map[string]bool{}
	for name := range strings.SplitSeq(text, ",") {
		if !slices.Contains(known, name) {
			return fmt.Errorf("there is no part %q", name)
		}
		o.only[name] = true
	}
	return nil
}

func (o *options) addPeer(text string) error {
	name, url, ok := strings.Cut(text, "=")
	if !ok || !strings.Contains(url, "://") {
		return errors.New("want NAME=URL")
	}
	o.peers = append(o.peers, peer{name, url})
	return nil
}
