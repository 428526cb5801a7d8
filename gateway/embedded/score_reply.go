package embedded

import (
	"bufio"
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/alicebob/miniredis/v2/server"
)

// runScored executes a command whose answer contains scores, and formats the answer as Redis does. miniredis writes
// 1700000000000 as 1.7e+12, which clients that read an integer refuse, and in RESP3 does not pair members and scores.
func (e *engine) runScored(c *server.Peer, args []string) {
	var answer bytes.Buffer
	w := bufio.NewWriter(&answer)
	typed := server.NewPeer(w)
	typed.Resp3 = true // RESP3 has a type of its own for scores
	e.server.Dispatch(typed, args)
	_ = w.Flush() // a bytes.Buffer returns no error
	pairs := c.Resp3 && slices.ContainsFunc(args[min(4, len(args)):], isWithScores)
	c.WriteRaw(string(rewriteScores(answer.Bytes(), c.Resp3, pairs)))
}

func isWithScores(option string) bool { return strings.EqualFold(option, "WITHSCORES") }

// rewriteScores rewrites an answer in RESP3: one value, or an array of them.
func rewriteScores(answer []byte, resp3, pairs bool) []byte {
	b := make([]byte, 0, len(answer)+16)
	for begin := true; len(answer) > 0; begin = false {
		line, rest, _ := bytes.Cut(answer, []byte("\r\n"))
		kind, text := line[0], string(line[1:])
		switch {
		case kind == '*' && pairs && begin:
			n, _ := strconv.Atoi(text) // miniredis wrote it
			b = append(strconv.AppendInt(append(b, '*'), int64(n/2), 10), "\r\n"...)
		case kind == '$':
			n, _ := strconv.Atoi(text) // miniredis wrote it
			if pairs {
				b = append(b, "*2\r\n"...)
			}
			b = appendBulk(b, string(rest[:n]))
			rest = rest[n+2:]
		case kind == ',' && resp3:
			b = append(append(append(b, ','), writeScore(text)...), "\r\n"...)
		case kind == ',':
			b = appendBulk(b, writeScore(text))
		case kind == '_':
			b = appendNull(b, resp3)
		default:
			b = append(append(b, line...), "\r\n"...)
		}
		answer = rest
	}
	return b
}

// writeScore formats a score as Redis does: whole numbers without an exponent.
func writeScore(text string) string {
	score, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || math.IsInf(score, 0):
		return strings.TrimPrefix(strings.ToLower(text), "+")
	case score == math.Trunc(score) && math.Abs(score) < 1e17:
		return strconv.FormatInt(int64(score), 10)
	default:
		return strconv.FormatFloat(score, 'g', -1, 64)
	}
}
