package embedded

import "container/heap"

// deadlines knows which key runs out first. It may hold keys that are gone or live longer by now; who
// takes one out asks the state what holds.
type deadlines struct {
	heap  []*deadline
	byKey map[string]*deadline
}

type deadline struct {
	key   string
	at    int64 // Unix milliseconds
	index int
}

func newDeadlines() *deadlines { return &deadlines{byKey: map[string]*deadline{}} }

// set replaces what is known about key.
func (d *deadlines) set(key string, at int64) {
	if known, ok := d.byKey[key]; ok {
		known.at = at
		heap.Fix((*byInstant)(d), known.index)
		return
	}
	heap.Push((*byInstant)(d), &deadline{key: key, at: at})
}

// due takes out one key whose deadline is not after now.
func (d *deadlines) due(now int64) (key string, ok bool) {
	if len(d.heap) == 0 || d.heap[0].at > now {
		return "", false
	}
	return heap.Pop((*byInstant)(d)).(*deadline).key, true
}

// byInstant is how package heap sees deadlines.
type byInstant deadlines

func (b *byInstant) Len() int           { return len(b.heap) }
func (b *byInstant) Less(i, j int) bool { return b.heap[i].at < b.heap[j].at }

func (b *byInstant) Swap(i, j int) {
	b.heap[i], b.heap[j] = b.heap[j], b.heap[i]
	b.heap[i].index, b.heap[j].index = i, j
}

func (b *byInstant) Push(x any) {
	d := x.(*deadline)
	d.index = len(b.heap)
	b.heap = append(b.heap, d)
	b.byKey[d.key] = d
}

func (b *byInstant) Pop() any {
	last := len(b.heap) - 1
	d := b.heap[last]
	b.heap[last] = nil
	b.heap = b.heap[:last]
	delete(b.byKey, d.key)
	return d
}
