package route

import "math/bits"

// hashTrie is an immutable map from strings: a hash array mapped trie (Bagwell, "Ideal Hash Trees", 2001), 64 ways
// wide. with and without return a changed map that shares all but the few nodes on the key's way, so that a change of a
// large map costs little more than one of a small map. The zero value is empty. The caller hashes: one hash function
// for the life of a map.
type hashTrie[V any] struct {
	root *hashNode[V]
}

// hashNode holds the cells whose bit is set in used, in the order of their bits. Beyond the last bits of the hash, it
// is a plain list of the keys that collide.
type hashNode[V any] struct {
	used  uint64
	cells []hashCell[V]
}

// hashCell holds an entry or a node.
type hashCell[V any] struct {
	entry *hashEntry[V]
	next  *hashNode[V]
}

// hashEntry is one key and its value; it never changes.
type hashEntry[V any] struct {
	hash  uint64
	key   string
	value V
}

const (
	hashBits  = 6  // of the hash, that one level consumes
	hashDepth = 10 // levels; 4 of 64 bits stay unused
)

// position returns the bit and the index of the cell for the hash at that depth.
func (n *hashNode[V]) position(hash uint64, depth int) (bit uint64, index int) {
	bit = 1 << (hash >> (depth * hashBits) & (1<<hashBits - 1))
	return bit, bits.OnesCount64(n.used & (bit - 1))
}

// colliding returns the index of key in a list of colliding keys, or -1.
func (n *hashNode[V]) colliding(key string) int {
	for i := range n.cells {
		if n.cells[i].entry.key == key {
			return i
		}
	}
	return -1
}

// find returns where the value of key is, nil if there is none. It must not be changed.
func (t hashTrie[V]) find(hash uint64, key string) *V {
	n := t.root
	for depth := 0; n != nil; depth++ {
		if depth == hashDepth {
			if i := n.colliding(key); i >= 0 {
				return &n.cells[i].entry.value
			}
			return nil
		}
		bit, i := n.position(hash, depth)
		if n.used&bit == 0 {
			return nil
		}
		s := &n.cells[i]
		if s.next == nil {
			if s.entry.key == key {
				return &s.entry.value
			}
			return nil
		}
		n = s.next
	}
	return nil
}

// with returns the map in which key has that value.
func (t hashTrie[V]) with(hash uint64, key string, v V) hashTrie[V] {
	return hashTrie[V]{root: t.root.with(0, &hashEntry[V]{hash: hash, key: key, value: v})}
}

func (n *hashNode[V]) with(depth int, e *hashEntry[V]) *hashNode[V] {
	if n == nil {
		n = &hashNode[V]{}
	}
	s := hashCell[V]{entry: e}
	if depth == hashDepth {
		if i := n.colliding(e.key); i >= 0 {
			return n.replaced(i, s)
		}
		return n.inserted(0, len(n.cells), s)
	}
	bit, i := n.position(e.hash, depth)
	if n.used&bit == 0 {
		return n.inserted(bit, i, s)
	}
	there := n.cells[i]
	switch {
	case there.next != nil:
		return n.replaced(i, hashCell[V]{next: there.next.with(depth+1, e)})
	case there.entry.key == e.key:
		return n.replaced(i, s)
	}
	var below *hashNode[V]
	return n.replaced(i, hashCell[V]{next: below.with(depth+1, there.entry).with(depth+1, e)})
}

// without returns the map in which key is not.
func (t hashTrie[V]) without(hash uint64, key string) hashTrie[V] {
	return hashTrie[V]{root: t.root.without(0, hash, key)}
}

func (n *hashNode[V]) without(depth int, hash uint64, key string) *hashNode[V] {
	if n == nil {
		return nil
	}
	if depth == hashDepth {
		if i := n.colliding(key); i >= 0 {
			return n.removed(0, i)
		}
		return n
	}
	bit, i := n.position(hash, depth)
	if n.used&bit == 0 {
		return n
	}
	s := n.cells[i]
	if s.next == nil {
		if s.entry.key != key {
			return n
		}
		return n.removed(bit, i)
	}
	below := s.next.without(depth+1, hash, key)
	switch {
	case below == s.next:
		return n
	case below == nil:
		return n.removed(bit, i)
	case len(below.cells) == 1 && below.cells[0].next == nil:
		return n.replaced(i, below.cells[0])
	}
	return n.replaced(i, hashCell[V]{next: below})
}

func (n *hashNode[V]) replaced(i int, s hashCell[V]) *hashNode[V] {
	cells := append([]hashCell[V](nil), n.cells...)
	cells[i] = s
	return &hashNode[V]{used: n.used, cells: cells}
}

func (n *hashNode[V]) inserted(bit uint64, i int, s hashCell[V]) *hashNode[V] {
	cells := make([]hashCell[V], 0, len(n.cells)+1)
	cells = append(append(append(cells, n.cells[:i]...), s), n.cells[i:]...)
	return &hashNode[V]{used: n.used | bit, cells: cells}
}

// removed returns nil when the last cell goes.
func (n *hashNode[V]) removed(bit uint64, i int) *hashNode[V] {
	if len(n.cells) == 1 {
		return nil
	}
	cells := make([]hashCell[V], 0, len(n.cells)-1)
	cells = append(append(cells, n.cells[:i]...), n.cells[i+1:]...)
	return &hashNode[V]{used: n.used &^ bit, cells: cells}
}
