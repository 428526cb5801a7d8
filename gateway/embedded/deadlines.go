package embedded

import "container/heap"

// deadlines is a queue of keys, earliest deadline first. It may contain deleted keys and deadlines that have been moved
// since: the caller of due compares each key with the state.
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

// set adds key, or replaces its deadline.
func (d *deadlines) set(key string, at int64) {
	if known, ok := d.byKey[key]; ok {
		known.at = at
		heap.Fix((*byInstant)(d), known.index)
		return
	}
	heap.Push((*byInstant)(d), &deadline{key: key, at: at})
}

// due removes and returns one key whose deadline is not after now.
func (d *deadlines) due(now int64) (key string, ok bool) {
	if len(d.heap) == 0 || d.heap[0].at > now {
		return "", false
	}
	return heap.Pop((*byInstant)(d)).(*deadline).key, true
}

// byInstant implements heap.Interface on deadlines.
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
