package park

import "strings"

// linked returns the gateways whose control connections stand.
func (l *lot) linked() string {
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
