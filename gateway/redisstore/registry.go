package redisstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"davit/internal/faas"
)

// requestLife is how long the reply to a change is kept. No client repeats a request later than that.
const requestLife = time.Minute

// restoring is the third argument of a change that Restore makes.
const restoring = "restore"

// Registry stores functions, their revisions and triggers, with a version that counts changes.
type Registry struct {
	*conn

	endpointsOf func(*faas.Trigger) ([]string, error)
}

// registryLua is the beginning of every script that changes registrations.
//
//	KEYS[1] request   the answer to this request, if it was processed before
//	KEYS[2] version   the registry's version
//	KEYS[3] changes   what each version changed
//	ARGV[1]           channel of the messages
//	ARGV[2]           ms when the answer may be deleted
//	ARGV[3]           "restore": part of a Restore, else ""
//
// A script returns one line of words: "empty" if the registry was not opened, "ok …" if it changed something, else the
// reason why it did not.
const registryLua = `
local answered = redis.call('GET', KEYS[1])
if answered then return answered end
local restoring = ARGV[3] == 'restore'
if not restoring and redis.call('EXISTS', KEYS[2]) == 0 then return 'empty' end

-- changed counts and publishes one change of names, and returns the new version.
local function changed(names)
  if redis.call('EXISTS', KEYS[2]) == 0 then return '0' end
  local version = string.format('%.0f', redis.call('INCR', KEYS[2]))
  redis.call('RPUSH', KEYS[3], names)
  redis.call('LTRIM', KEYS[3], -10000, -1)
  redis.call('PUBLISH', ARGV[1], 'registry ' .. version)
  return version
end

-- done stores the answer and returns it.
local function done(answer)
  if not restoring then
    redis.call('SET', KEYS[1], answer)
    redis.call('PEXPIREAT', KEYS[1], ARGV[2])
  end
  return answer
end
`

// answer is the line that a registry script returns: a code and words.
type answer struct {
	code  string
	words []string
}

// version parses word i as a registry version.
func (a answer) version(i int) (int64, error) {
	if i >= len(a.words) {
		return 0, errReply(a)
	}
	v, err := strconv.ParseInt(a.words[i], 10, 64)
	if err != nil {
		return 0, errReply(a)
	}
	return v, nil
}

func readAnswer(line string) answer {
	words := strings.Split(line, " ")
	return answer{code: words[0], words: words[1:]}
}

// change runs a script that begins with registryLua. keys and args are appended to the common ones.
func (s Registry) change(ctx context.Context, source string, keys []string, args ...any) (answer, error) {
	c := s.changeCall(rand.Text(), "", keys, args)
	line, err := s.eval(ctx, source, c.keys, c.args...).Text()
	if err != nil {
		return answer{}, s.translate(err)
	}
	a := readAnswer(line)
	if a.code == "empty" {
		return answer{}, errEmpty()
	}
	return a, nil
}

func (s Registry) changeCall(request, mode string, keys []string, args []any) call {
	return call{
		keys: append([]string{s.keys.request(request), s.keys.version(), s.keys.changes()}, keys...),
		args: append([]any{s.keys.messages(), s.stamp(s.now().Add(requestLife)), mode}, args...),
	}
}

// notFound returns nil if the registry is open, so that a registration that was not found does not exist. If the
// registration may be lost instead, it returns faas.ErrEmpty.
func (s Registry) notFound(ctx context.Context) error {
	n, err := s.client.Exists(ctx, s.keys.version()).Result()
	if err != nil {
		return s.translate(err)
	}
	if n == 0 {
		return errEmpty()
	}
	return nil
}

// instant is the format of times in columns. All times have the same length, so that they sort as text.
const instant = "2006-01-02T15:04:05.000000000Z"

func formatTime(t time.Time) string { return t.UTC().Format(instant) }

func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(instant, text)
	if err != nil {
		return time.Time{}, errReply(fmt.Sprintf("the time %q", text))
	}
	return t, nil
}

// Pages of a list.
const (
	defaultLimit = 50
	mostLimit    = 1000
)

func pageSize(limit int) int {
	if limit <= 0 {
		return defaultLimit
	}
	return min(limit, mostLimit)
}
