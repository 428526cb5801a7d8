package records

import "context"

// UsualParts bounds the URLs of one upload.
const UsualParts = usualParts

// Sweep removes what has outlived its retention.
func (r *Reader) Sweep(ctx context.Context) { r.sweep(ctx) }
