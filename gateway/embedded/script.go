package embedded

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/alicebob/miniredis/v2/server"
	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// pcallText makes pcall return an error of redis.call as text, as Redis does.
const pcallText = `
local original = pcall
local function plain(ok, e, ...)
  if not ok and type(e) == "table" and type(e.err) == "string" then return ok, e.err end
  return ok, e, ...
end
pcall = function(...) return plain(original(...)) end`

func (s *scripts) close() {
	if s.state != nil {
		s.state.Close()
		s.state = nil
	}
}

// compile parses a script and compiles it.
func (s *scripts) compile(text string) (*lua.FunctionProto, error) {
	chunk, err := parse.Parse(strings.NewReader(text), "user_script")
	if err != nil {
		return nil, replyError("ERR Error compiling script (new function): " + err.Error())
	}
	proto, err := lua.Compile(chunk, "user_script")
	if err != nil {
		return nil, replyError("ERR Error compiling script (new function): " + err.Error())
	}
	return proto, nil
}

func (s *scripts) add(text string, proto *lua.FunctionProto) {
	name := scriptName(text)
	s.texts[name], s.protos[name] = text, proto
}

func (s *scripts) flush() {
	clear(s.texts)
	clear(s.protos)
}

// replay executes SCRIPT LOAD or SCRIPT FLUSH from the journal.
func (s *scripts) replay(args []string) error {
	switch {
	case len(args) == 3 && args[1] == "LOAD":
		proto, err := s.compile(args[2])
		if err != nil {
			return fmt.Errorf("load script %s: %w", scriptName(args[2]), err)
		}
		s.add(args[2], proto)
	case len(args) == 2 && args[1] == "FLUSH":
		s.flush()
	default:
		return errors.New("the journal holds an unknown SCRIPT command")
	}
	return nil
}

// run executes EVALSHA.
func (s *scripts) run(c *server.Peer, args []string) {
	defer s.engine.recoverPanic(c, args[0])
	proto, keys, argv, err := s.parse(args)
	if err != nil {
		c.WriteError(err.Error())
		return
	}
	if s.state == nil {
		s.state = s.newState()
	}
	l := s.state
	globals := l.Get(lua.GlobalsIndex).(*lua.LTable)
	globals.RawSetString("KEYS", stringTable(l, keys))
	globals.RawSetString("ARGV", stringTable(l, argv))
	l.Push(l.NewFunctionFromProto(proto))
	if err := l.PCall(0, 1, nil); err != nil {
		s.close()
		c.WriteError(scriptFault(err))
		return
	}
	reply, err := appendLua(nil, l.Get(-1), c.Resp3, 0)
	l.SetTop(0)
	if err != nil {
		c.WriteError(err.Error())
		return
	}
	c.WriteRaw(string(reply))
}

func (s *scripts) parse(args []string) (proto *lua.FunctionProto, keys, argv []string, err error) {
	if len(args) < 3 {
		return nil, nil, nil, errArguments("evalsha")
	}
	proto, ok := s.protos[strings.ToLower(args[1])]
	if !ok {
		return nil, nil, nil, replyError("NOSCRIPT No matching script. Please use EVAL.")
	}
	n, err := strconv.Atoi(args[2])
	rest := args[3:]
	switch {
	case err != nil:
		return nil, nil, nil, replyError("ERR value is not an integer or out of range")
	case n < 0:
		return nil, nil, nil, replyError("ERR Number of keys can't be negative")
	case n > len(rest):
		return nil, nil, nil, replyError("ERR Number of keys can't be greater than number of args")
	}
	return proto, rest[:n], rest[n:], nil
}

// newState returns a Lua state whose globals a script cannot change.
func (s *scripts) newState() *lua.LState {
	l := lua.NewState(lua.Options{SkipOpenLibs: true, RegistryMaxSize: 1 << 20, RegistryGrowStep: 1 << 12})
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{"", lua.OpenBase}, {lua.TabLibName, lua.OpenTable}, {lua.StringLibName, lua.OpenString}, {lua.MathLibName, lua.OpenMath}} {
		l.Push(l.NewFunction(library.open))
		l.Push(lua.LString(library.name))
		l.Call(1, 0)
	}
	globals := l.Get(lua.GlobalsIndex).(*lua.LTable)
	for _, name := range strings.Fields("collectgarbage dofile loadfile module newproxy print require _printregs _GOPHER_LUA_VERSION") {
		globals.RawSetString(name, lua.LNil)
	}
	math := globals.RawGetString("math").(*lua.LTable)
	math.RawSetString("random", lua.LNil)
	math.RawSetString("randomseed", lua.LNil)

	redis := l.NewTable()
	redis.RawSetString("call", l.NewFunction(s.luaCall(true)))
	redis.RawSetString("pcall", l.NewFunction(s.luaCall(false)))
	redis.RawSetString("error_reply", l.NewFunction(luaErrorReply))
	redis.RawSetString("status_reply", l.NewFunction(luaStatusReply))
	redis.RawSetString("sha1hex", l.NewFunction(luaSHA1))
	globals.RawSetString("redis", redis)

	if err := l.DoString(pcallText); err != nil {
		panic(err) // pcallText is a constant
	}
	guard := l.NewTable()
	guard.RawSetString("__index", l.NewFunction(func(l *lua.LState) int {
		l.RaiseError("Script attempted to access nonexistent global variable '%s'", l.Get(2).String())
		return 0
	}))
	guard.RawSetString("__newindex", l.NewFunction(func(l *lua.LState) int {
		l.RaiseError("Script attempted to create global variable '%s'", l.Get(2).String())
		return 0
	}))
	globals.Metatable = guard
	return l
}

// luaCall returns redis.call, which raises errors, or redis.pcall, which returns them.
func (s *scripts) luaCall(raise bool) lua.LGFunction {
	return func(l *lua.LState) int {
		value, fault := s.call(l)
		if fault == "" {
			l.Push(value)
			return 1
		}
		table := errorTable(l, fault)
		if raise {
			l.Error(table, 1)
			return 0
		}
		l.Push(table)
		return 1
	}
}

// call executes a command of a script. It writes the script to the journal before the script's first write; a script
// that only reads is not written to the journal.
func (s *scripts) call(l *lua.LState) (value lua.LValue, fault string) {
	args, fault := luaArguments(l)
	if fault != "" {
		return nil, fault
	}
	e := s.engine
	name := strings.ToUpper(args[0])
	if name == "PUBLISH" && len(args) == 3 {
		if e.publish != nil {
			e.publish(args[1], args[2])
		}
		return lua.LNumber(0), "" // not the number of receivers, because it differs in a replay
	}
	cmd, ok := e.commands[name]
	if !ok || cmd.class == scripting {
		return nil, "ERR This Redis command is not allowed from script: " + refusal(name)
	}
	if cmd.absolute != nil {
		var err error
		if args, err = cmd.absolute(e.now, args); err != nil {
			return nil, err.Error()
		}
	}
	if cmd.class == writing && e.commit != nil {
		if err := e.commit(); err != nil {
			return nil, err.Error()
		}
		e.commit = nil
	}
	s.replies.Reset()
	s.parser.Reset(&s.replies)
	e.run(s.peer, cmd, args)
	s.peer.Flush()
	reply, err := server.ParseReply(s.parser)
	if err != nil {
		return nil, err.Error()
	}
	return luaValue(l, reply), ""
}

// scriptFault returns the text of the error that ended a script, as Redis does: the error of a command keeps its code.
func scriptFault(err error) string {
	var fault *lua.ApiError
	if !errors.As(err, &fault) {
		return "ERR " + err.Error()
	}
	if table, ok := fault.Object.(*lua.LTable); ok {
		if text, ok := table.RawGetString("err").(lua.LString); ok {
			return string(text)
		}
	}
	return "ERR " + strings.ToValidUTF8(fault.Object.String(), "?")
}

// sorted returns the texts of the scripts, sorted, so that equal states give equal snapshots.
func (s *scripts) sorted() []string {
	texts := make([]string, 0, len(s.texts))
	for _, text := range s.texts {
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return texts
}
