package records

import (
	"context"

	"davit/internal/faas"
)

// List returns records, newest first, and the cursor of the next page. While Redis is well, every call that this
// gateway has answered is among them.
func (r *Reader) List(ctx context.Context, f faas.InvocationFilter) ([]*faas.Invocation, string, error) {
	r.o.Calls.CatchUp(ctx, f.State != "")
	items, next, err := r.o.Archive.ListInvocations(ctx, f)
	kept := items[:0]
	for _, inv := range items {
		if view, leads := r.o.Calls.View(inv.ID); leads {
			inv = view.Latest
		}
		if f.State == "" || f.State == inv.State {
			kept = append(kept, inv)
		}
	}
	return kept, next, err
}
