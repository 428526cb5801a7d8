package faas

import (
	"hash/maphash"
	"math/bits"
)

// hashTrie is an immutable map from strings: a hash array mapped trie (Bagwell,
// "Ideal Hash Trees", 2001), 64 ways wide. with and without return a changed map
// that shares all but the few nodes on the key's way, so that a change of a large
// map costs no more than one of a small map. The zero value is empty.
type hashTrie[V any] struct {
	root *hashNode[V]
}

// hashNode holds the slots whose bit is set in used, in the order of their bits.
// Beyond the last bits of the hash, it is a plain list of the keys that collide.
type hashNode[V any] struct {
	used  uint64
	slots []hashSlot[V]
}

// hashSlot holds one key and its value, or, when next is set, a node.
type hashSlot[V any] struct {
	key   string
	value V
	next  *hashNode[V]
}

const (
	hashBits  = 6  // that one level consumes
	hashDepth = 10 // levels; 4 of 64 bits stay unused
)

// position returns the bit and the index of the slot for the hash at that depth.
func (n *hashNode[V]) position(hash uint64, depth int) (bit uint64, index int) {
	bit = 1 << (hash >> (depth * hashBits) & (1<<hashBits - 1))
	return bit, bits.OnesCount64(n.used & (bit - 1))
}

// collision returns the index of key in a list of colliding keys, or -1.
func (n *hashNode[V]) collision(key string) int {
	for i := range n.slots {
		if n.slots[i].key == key {
			return i
		}
	}
	return -1
}

// hashString is how keys are hashed; the seed lives as long as the maps that are made with it.
func hashString(seed maphash.Seed, key string) uint64 { return maphash.String(seed, key) }

// find returns the value of key, whose hash is given, or the zero value.
func (t hashTrie[V]) find(hash uint64, key string) (v V, ok bool) {
	n := t.root
	for depth := 0; n != nil; depth++ {
		if depth == hashDepth {
			if i := n.collision(key); i >= 0 {
				return n.slots[i].value, true
			}
			return v, false
		}
		bit, i := n.position(hash, depth)
		if n.used&bit == 0 {
			return v, false
		}
		s := &n.slots[i]
		if s.next == nil {
			if s.key == key {
				return s.value, true
			}
			return v, false
		}
		n = s.next
	}
	return v, false
}

// with returns the map in which key has that value. rehash gives the hash of
// another key that is in the way.
func (t hashTrie[V]) with(hash uint64, key string, v V, rehash func(string) uint64) hashTrie[V] {
	return hashTrie[V]{root: t.root.with(0, hash, hashSlot[V]{key: key, value: v}, rehash)}
}

func (n *hashNode[V]) with(depth int, hash uint64, s hashSlot[V], rehash func(string) uint64) *hashNode[V] {
	if n == nil {
		n = &hashNode[V]{}
	}
	if depth == hashDepth {
		if i := n.collision(s.key); i >= 0 {
			return n.replaced(i, s)
		}
		return n.inserted(0, len(n.slots), s)
	}
	bit, i := n.position(hash, depth)
	if n.used&bit == 0 {
		return n.inserted(bit, i, s)
	}
	there := n.slots[i]
	switch {
	case there.next != nil:
		return n.replaced(i, hashSlot[V]{next: there.next.with(depth+1, hash, s, rehash)})
	case there.key == s.key:
		return n.replaced(i, s)
	}
	var below *hashNode[V]
	below = below.with(depth+1, rehash(there.key), there, rehash)
	return n.replaced(i, hashSlot[V]{next: below.with(depth+1, hash, s, rehash)})
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
		if i := n.collision(key); i >= 0 {
			return n.removed(0, i)
		}
		return n
	}
	bit, i := n.position(hash, depth)
	if n.used&bit == 0 {
		return n
	}
	s := n.slots[i]
	if s.next == nil {
		if s.key != key {
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
	case len(below.slots) == 1 && below.slots[0].next == nil:
		return n.replaced(i, below.slots[0])
	}
	return n.replaced(i, hashSlot[V]{next: below})
}

func (n *hashNode[V]) replaced(i int, s hashSlot[V]) *hashNode[V] {
	slots := append([]hashSlot[V](nil), n.slots...)
	slots[i] = s
	return &hashNode[V]{used: n.used, slots: slots}
}

func (n *hashNode[V]) inserted(bit uint64, i int, s hashSlot[V]) *hashNode[V] {
	slots := make([]hashSlot[V], 0, len(n.slots)+1)
	slots = append(append(append(slots, n.slots[:i]...), s), n.slots[i:]...)
	return &hashNode[V]{used: n.used | bit, slots: slots}
}

// removed returns nil when the last slot goes.
func (n *hashNode[V]) removed(bit uint64, i int) *hashNode[V] {
	if len(n.slots) == 1 {
		return nil
	}
	slots := make([]hashSlot[V], 0, len(n.slots)-1)
	slots = append(append(slots, n.slots[:i]...), n.slots[i+1:]...)
	return &hashNode[V]{used: n.used &^ bit, slots: slots}
}
