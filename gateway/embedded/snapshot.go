package embedded

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

const (
	chunkItems = 512     // items of a collection in one command of a snapshot
	chunkBytes = 1 << 20 // a chunk of this size ends before it has chunkItems
)

// dump calls emit with each command that rebuilds the state.
func (e *engine) dump(emit func(args ...string) error) error {
	for _, text := range e.scripts.sorted() {
		if err := emit("SCRIPT", "LOAD", text); err != nil {
			return err
		}
	}
	for _, key := range e.db.Keys() {
		if err := e.dumpKey(key, emit); err != nil {
			return err
		}
		if at, ok := e.deadline(key); ok {
			if err := emit("PEXPIREAT", key, strconv.FormatInt(at, 10)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *engine) dumpKey(key string, emit func(args ...string) error) error {
	switch kind := e.db.Type(key); kind {
	case "string":
		value, err := e.db.Get(key)
		if err != nil {
			return err
		}
		return emit("SET", key, value)
	case "hash":
		fields, err := e.db.HKeys(key)
		if err != nil {
			return err
		}
		return dumpItems(emit, "HSET", key, fields, func(field string) []string {
			return []string{field, e.db.HGet(key, field)}
		})
	case "set":
		members, err := e.db.Members(key)
		if err != nil {
			return err
		}
		return dumpItems(emit, "SADD", key, members, func(member string) []string { return []string{member} })
	case "zset":
		scores, err := e.db.SortedSet(key)
		if err != nil {
			return err
		}
		return dumpItems(emit, "ZADD", key, slices.Sorted(maps.Keys(scores)), func(member string) []string {
			return []string{exactScore(scores[member]), member}
		})
	case "list":
		items, err := e.db.List(key)
		if err != nil {
			return err
		}
		return dumpItems(emit, "RPUSH", key, items, func(item string) []string { return []string{item} })
	default:
		return fmt.Errorf("the key %q is a %s, which no served command creates", key, kind)
	}
}

// dumpItems emits a collection in chunks.
func dumpItems(emit func(...string) error, name, key string, items []string, words func(string) []string) error {
	args, size := []string{name, key}, 0
	for i, item := range items {
		for _, word := range words(item) {
			args = append(args, word)
			size += len(word)
		}
		if (i+1)%chunkItems == 0 || size >= chunkBytes || i == len(items)-1 {
			if err := emit(args...); err != nil {
				return err
			}
			args, size = []string{name, key}, 0
		}
	}
	return nil
}

// exactScore returns the shortest text that parses to the same score.
func exactScore(score float64) string { return strconv.FormatFloat(score, 'g', -1, 64) }
