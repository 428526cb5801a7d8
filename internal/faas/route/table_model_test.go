package route

import (
	"fmt"
	"hash/maphash"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"davit/internal/faas"
)

// naive is the reference that Table is held against: it looks at each trigger in turn.
type naive map[faas.TriggerName]*faas.Trigger

// rank orders what a segment matches by: literal, name, wildcard.
func rank(pattern string) string {
	var ranks strings.Builder
	for part := range strings.SplitSeq(pattern[1:], "/") {
		switch {
		case strings.HasPrefix(part, ":"):
			ranks.WriteByte('1')
		case part == "*":
			ranks.WriteByte('2')
		default:
			ranks.WriteByte('0')
		}
	}
	return ranks.String()
}

// fits returns the fields that the pattern takes from a decoded path.
func fits(pattern string, path []string) (fields string, ok bool) {
	parts := strings.Split(pattern[1:], "/")
	var pairs [][2]string
	for i, part := range parts {
		if part == "*" {
			return fmt.Sprint(append(pairs, [2]string{"*", strings.Join(path[min(i, len(path)):], "/")})), i < len(path)
		}
		if i >= len(path) {
			return "", false
		}
		if strings.HasPrefix(part, ":") {
			if path[i] == "" {
				return "", false
			}
			pairs = append(pairs, [2]string{part[1:], path[i]})
			continue
		}
		if literal, err := url.PathUnescape(part); err != nil || literal != path[i] {
			return "", false
		}
	}
	return fmt.Sprint(pairs), len(parts) == len(path)
}

// naivePath decodes a path, or says what Match answers instead.
func naivePath(raw string) (path []string, instead string) {
	if !strings.HasPrefix(raw, "/") {
		return nil, "invalid"
	}
	for part := range strings.SplitSeq(raw[1:], "/") {
		text, err := url.PathUnescape(part)
		if err != nil || text == "." || text == ".." || !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			return nil, "invalid"
		}
		path = append(path, text)
	}
	if path[0] == "-" {
		return nil, "not_found"
	}
	return path, ""
}

// answer is what Match should say, as the function answer writes it.
func (n naive) answer(method, raw string) string {
	path, instead := naivePath(raw)
	if instead != "" {
		return instead
	}
	best, bestRank := "", ""
	allow := map[string]bool{}
	for _, t := range n {
		fields, ok := fits(t.Path, path)
		if !ok {
			continue
		}
		for _, m := range t.Methods {
			allow[m] = true
			if m == method && (best == "" || rank(t.Path) < bestRank) {
				best, bestRank = fmt.Sprintf("%s %s", t.Name, fields), rank(t.Path)
			}
		}
	}
	switch {
	case best != "":
		return best
	case len(allow) == 0:
		return "not_found"
	}
	allow["OPTIONS"] = true
	if allow["GET"] {
		allow["HEAD"] = true
	}
	return "method_not_allowed " + strings.Join(slices.Sorted(maps.Keys(allow)), ",")
}

// clashes reports whether t overlaps with another trigger than the one of its name.
func (n naive) clashes(t *faas.Trigger) bool {
	p, err := NewPattern(t.Path)
	if err != nil {
		return true
	}
	for _, o := range n {
		q, err := NewPattern(o.Path)
		shared := slices.ContainsFunc(o.Methods, func(m string) bool { return slices.Contains(t.Methods, m) })
		if err == nil && o.Name != t.Name && shared && p.Overlaps(q) {
			return true
		}
	}
	return false
}

// pathWords are few, so that patterns and paths meet.
func pathWords() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"a", "b", "%61", "", "é"})
}

func drawPattern(t *rapid.T) string {
	var path strings.Builder
	for i := range rapid.IntRange(1, 5).Draw(t, "segments") {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0, 1:
			path.WriteString("/:n" + strconv.Itoa(i) + rapid.SampledFrom([]string{"", "x"}).Draw(t, "name"))
		case 2:
			path.WriteString("/*")
			return path.String()
		default:
			path.WriteString("/" + pathWords().Draw(t, "literal"))
		}
	}
	return path.String()
}

func drawMethods(t *rapid.T) []string {
	return rapid.SampledFrom([][]string{{"GET"}, {"POST"}, {"PUT"}, {"GET", "POST"}, {"PUT", "GET"}}).Draw(t, "methods")
}

func drawTrigger(t *rapid.T) *faas.Trigger {
	name := faas.TriggerName("t" + strconv.Itoa(rapid.IntRange(0, 9).Draw(t, "name")))
	return &faas.Trigger{Name: name, TriggerSpec: faas.TriggerSpec{Methods: drawMethods(t), Path: drawPattern(t)}}
}

func compareTables(t *rapid.T, table *Table, model naive) {
	for range 8 {
		path := "/" + strings.Join(rapid.SliceOfN(pathWords(), 1, 6).Draw(t, "path"), "/")
		for _, method := range []string{"GET", "POST", "PUT"} {
			if got, want := answer(table, method, path), model.answer(method, path); got != want {
				t.Fatalf("%s %s: %s, the reference says %s; triggers %v", method, path, got, want, model)
			}
		}
	}
}

func TestTableIsLikeTheReferenceThroughChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, err := NewTable(nil)
		if err != nil {
			t.Fatal(err)
		}
		model := naive{}
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			was, wasModel := table, maps.Clone(model)
			if rapid.Bool().Draw(t, "remove") {
				name := faas.TriggerName("t" + strconv.Itoa(rapid.IntRange(0, 9).Draw(t, "name")))
				if table, err = table.With(nil, []faas.TriggerName{name}); err != nil {
					t.Fatal(err)
				}
				delete(model, name)
			} else {
				trigger := drawTrigger(t)
				changed, err := table.With([]*faas.Trigger{trigger}, nil)
				if clash := model.clashes(trigger); (err != nil) != clash {
					t.Fatalf("adding %v to %v: %v, the reference says %v", trigger, model, err, clash)
				}
				if err == nil {
					table = changed
					model[trigger.Name] = trigger
				}
			}
			compareTables(t, table, model)
			compareTables(t, was, wasModel)
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add("GET /a/:x\nPOST /a/*\nGET,PUT /a/b", "GET", "/a/b")
	f.Add("GET /:a/b/c\nGET /a/:b/d", "GET", "/a/b/d")
	f.Add("GET /%61//*\nPUT /", "PUT", "/%2e%2E/\x00")
	f.Fuzz(func(t *testing.T, lines, method, path string) {
		model := naive{}
		table, err := NewTable(nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(lines, "\n") {
			methods, pattern, _ := strings.Cut(line, " ")
			trigger := &faas.Trigger{
				Name:        faas.TriggerName(strconv.Itoa(i % 20)),
				TriggerSpec: faas.TriggerSpec{Methods: knownMethods(methods), Path: pattern},
			}
			changed, err := table.With([]*faas.Trigger{trigger}, nil)
			if clash := model.clashes(trigger); (err != nil) != clash {
				t.Fatalf("adding %q: %v, the reference says %v", line, err, clash)
			}
			if err == nil {
				table = changed
				model[trigger.Name] = trigger
			}
		}
		if method == "HEAD" {
			method = "GET"
		}
		if got, want := answer(table, method, path), model.answer(method, path); got != want {
			t.Fatalf("%s %q: %s, the reference says %s", method, path, got, want)
		}
	})
}

func knownMethods(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ","), func(m string) bool { return m == "HEAD" || methodIndex(m) < 0 })
}

func TestHashTrieIsAMap(t *testing.T) {
	seed := maphash.MakeSeed()
	// A poor hash, so that keys meet on all levels and collide as a whole, too.
	hash := func(key string, poor int) uint64 {
		switch poor {
		case 0:
			return maphash.String(seed, key)
		case 1:
			return uint64(len(key)) << 58 // differ in bits that no level looks at
		case 2:
			return maphash.String(seed, key) << 52
		}
		return 7
	}
	rapid.Check(t, func(t *rapid.T) {
		poor := rapid.IntRange(0, 3).Draw(t, "poor")
		var trie hashTrie[int]
		model := map[string]int{}
		for i := range rapid.IntRange(1, 200).Draw(t, "changes") {
			key := "k" + strconv.Itoa(rapid.IntRange(0, 120).Draw(t, "key"))
			if rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
				trie = trie.without(hash(key, poor), key)
				delete(model, key)
			} else {
				trie = trie.with(hash(key, poor), key, i)
				model[key] = i
			}
		}
		for i := range 121 {
			key := "k" + strconv.Itoa(i)
			want, ok := model[key]
			got := trie.find(hash(key, poor), key)
			if ok != (got != nil) || ok && *got != want {
				t.Fatalf("find(%s) = %v, want %v, %v", key, got, want, ok)
			}
		}
		for key := range model {
			trie = trie.without(hash(key, poor), key)
		}
		if trie.root != nil {
			t.Fatal("something is left when all keys are gone")
		}
	})
}
