package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/testenv"
)

// step is a command and what Redis answers, in RESP2.
type step struct{ command, want string }

func TestSemantics(t *testing.T) {
	genuine := "redis://" + testenv.Redis(t) + "/0"
	ours := start(t, Options{Dir: t.TempDir()}).URL()
	for _, protocol := range []int{2, 3} {
		use := func(o *redis.Options) { o.Protocol = protocol }
		theirs, mine := connect(t, genuine, use), connect(t, ours, use)
		for _, c := range semantics() {
			t.Run(fmt.Sprintf("RESP%d/%s", protocol, c.name), func(t *testing.T) {
				for _, client := range []*redis.Client{theirs, mine} {
					if err := client.FlushAll(t.Context()).Err(); err != nil {
						t.Fatal(err)
					}
				}
				for _, s := range c.steps {
					got, wanted := ask(t, mine, s), ask(t, theirs, s)
					if got != wanted {
						t.Errorf("%s: embedded answers %s, Redis %s", s.command, got, wanted)
					}
					if protocol == 2 && wanted != s.want {
						t.Errorf("%s: Redis answers %s, the table says %s", s.command, wanted, s.want)
					}
				}
			})
		}
	}
}

// ask sends a step; one that begins with "until " is repeated until the answer is the wanted one.
func ask(t *testing.T, client *redis.Client, s step) string {
	t.Helper()
	command, repeat := strings.CutPrefix(s.command, "until ")
	words := splitCommand(command)
	answer := send(t.Context(), client, words)
	if repeat {
		testenv.Eventually(t, s.command, func() bool {
			answer = send(t.Context(), client, words)
			return answer == s.want
		})
	}
	return answer
}

func send(ctx context.Context, client *redis.Client, words []any) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	value, err := client.Do(ctx, words...).Result()
	if errors.Is(err, redis.Nil) {
		return "nil"
	}
	if err != nil {
		code, _, _ := strings.Cut(err.Error(), " ")
		return "!" + code
	}
	return show(value, unordered(words))
}

// unordered says whether the answer's order is Redis' own affair.
func unordered(words []any) bool {
	name := words[0].(string)
	return slices.Contains([]string{"SMEMBERS", "KEYS", "SCAN"}, name)
}

func show(value any, anyOrder bool) string {
	switch v := value.(type) {
	case nil:
		return "nil"
	case error:
		return "!" + v.Error()
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = show(item, anyOrder)
		}
		if anyOrder {
			slices.Sort(items)
		}
		return "[" + strings.Join(items, " ") + "]"
	case map[any]any:
		var items []string
		for k, item := range v {
			items = append(items, show(k, false)+"="+show(item, false))
		}
		slices.Sort(items)
		return "{" + strings.Join(items, " ") + "}"
	case string:
		return fmt.Sprintf("%q", v)
	default:
		return fmt.Sprintf("%v", v)
	}
}

// splitCommand splits at spaces, except in 'quotes'.
func splitCommand(line string) []any {
	var words []any
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		for _, word := range strings.Fields(part) {
			words = append(words, word)
		}
	}
	return words
}
