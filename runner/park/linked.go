package park

import (
	"fmt"
	"strings"
	"time"
)

// linked returns the ids of the gateways whose control connections are open, separated by commas.
func (l *connections) linked() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for _, k := range l.links {
		if k.gateway != "" {
			ids = append(ids, string(k.gateway))
		}
	}
	return strings.Join(ids, ",")
}

// allSent reports whether every connected gateway was sent the event with the number last.
func (ls links) allSent(last int64) bool {
	for _, k := range ls {
		if k.gateway != "" && k.sentSeq < last {
			return false
		}
	}
	return true
}

// withoutGateway returns the reason to end an idle runner that has been without a gateway for the time away, or nil.
func (ls links) withoutGateway(away time.Duration, terms Terms) error {
	var refused error
	all := true
	for _, k := range ls {
		if k.gateway != "" {
			return nil
		}
		all = all && k.refused != nil
		refused = k.refused
	}
	switch {
	case all && refused != nil && away > terms.Unfit:
		return fmt.Errorf("%w: %w", ErrUnfit, refused)
	case away > terms.Alone:
		return ErrAlone
	}
	return nil
}
