package embedded

import (
	"strconv"
	"strings"

	"github.com/alicebob/miniredis/v2/server"
	lua "github.com/yuin/gopher-lua"
)

const maxReplyDepth = 100 // nesting of the tables that a script returns, because a table may contain itself

// luaArguments returns the arguments of redis.call as text.
func luaArguments(l *lua.LState) (args []string, fault string) {
	n := l.GetTop()
	if n == 0 {
		return nil, "ERR Please specify at least one argument for this redis lib call"
	}
	args = make([]string, n)
	for i := range args {
		switch v := l.Get(i + 1).(type) {
		case lua.LString:
			args[i] = string(v)
		case lua.LNumber:
			args[i] = luaNumber(float64(v))
		default:
			return nil, "ERR Lua redis lib command arguments must be strings or integers"
		}
	}
	return args, ""
}

// luaNumber formats a number as Redis does: whole numbers without a fraction, others as C's %.17g.
func luaNumber(v float64) string {
	if v == float64(int64(v)) {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', 17, 64)
}

// luaValue converts a reply to a Lua value.
func luaValue(l *lua.LState, reply any) lua.LValue {
	switch r := reply.(type) {
	case int:
		return lua.LNumber(r)
	case string:
		return lua.LString(r)
	case server.Simple:
		return statusTable(l, string(r))
	case []any:
		table := l.CreateTable(len(r), 0)
		for i, item := range r {
			table.RawSetInt(i+1, luaValue(l, item))
		}
		return table
	default:
		return lua.LFalse // a null
	}
}

// appendLua appends the return value of a script as a reply.
func appendLua(b []byte, value lua.LValue, resp3 bool, depth int) ([]byte, error) {
	if depth > maxReplyDepth {
		return nil, replyError("ERR a script returned tables nested too deeply")
	}
	switch v := value.(type) {
	case lua.LString:
		return appendBulk(b, string(v)), nil
	case lua.LNumber:
		return appendInteger(b, int64(v)), nil
	case lua.LBool:
		if v {
			return appendInteger(b, 1), nil
		}
	case *lua.LTable:
		return appendTable(b, v, resp3, depth)
	}
	return appendNull(b, resp3), nil
}

func appendTable(b []byte, table *lua.LTable, resp3 bool, depth int) ([]byte, error) {
	if text, ok := table.RawGetString("err").(lua.LString); ok {
		return appendLine(b, '-', string(text)), nil
	}
	if text, ok := table.RawGetString("ok").(lua.LString); ok {
		return appendLine(b, '+', string(text)), nil
	}
	n := 0
	for table.RawGetInt(n+1) != lua.LNil {
		n++
	}
	b = append(b, '*')
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, '\r', '\n')
	for i := range n {
		var err error
		if b, err = appendLua(b, table.RawGetInt(i+1), resp3, depth+1); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func stringTable(l *lua.LState, items []string) *lua.LTable {
	table := l.CreateTable(len(items), 0)
	for i, item := range items {
		table.RawSetInt(i+1, lua.LString(item))
	}
	return table
}

func errorTable(l *lua.LState, text string) *lua.LTable {
	table := l.CreateTable(0, 1)
	table.RawSetString("err", lua.LString(text))
	return table
}

func statusTable(l *lua.LState, text string) *lua.LTable {
	table := l.CreateTable(0, 1)
	table.RawSetString("ok", lua.LString(text))
	return table
}

// luaErrorReply implements redis.error_reply. It puts ERR before a text without a code.
func luaErrorReply(l *lua.LState) int {
	text := strings.TrimPrefix(l.CheckString(1), "-")
	if !strings.Contains(text, " ") {
		text = "ERR " + text
	}
	l.Push(errorTable(l, text))
	return 1
}

func luaStatusReply(l *lua.LState) int {
	l.Push(statusTable(l, l.CheckString(1)))
	return 1
}

func luaSHA1(l *lua.LState) int {
	l.Push(lua.LString(scriptName(l.CheckString(1))))
	return 1
}
