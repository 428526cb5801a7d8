package embedded

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"davit/internal/testenv"
)

// dial is a plain connection that ends with the test, with a deadline.
func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// say sends text and returns the lines of the answer.
func say(t *testing.T, conn net.Conn, text string, lines int) []string {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	var got []string
	for range lines {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		got = append(got, strings.TrimSuffix(line, "\r\n"))
	}
	return got
}

func request(words ...string) string { return string(appendRequest(nil, words)) }

func TestEveryClientShowsThePassword(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir(), Password: "sesame & more"})
	for _, c := range []struct {
		name  string
		words []string
		want  string
	}{
		{"nothing", []string{"GET", "k"}, "-NOAUTH Authentication required."},
		{"ping", []string{"PING"}, "-NOAUTH Authentication required."},
		{"wrong", []string{"AUTH", "open"}, "-WRONGPASS invalid username-password pair or user is disabled."},
		{"empty", []string{"AUTH", ""}, "-WRONGPASS invalid username-password pair or user is disabled."},
		{"other user", []string{"AUTH", "root", "sesame & more"}, "-WRONGPASS invalid username-password pair or user is disabled."},
		{"hello without", []string{"HELLO", "3"}, "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"},
		{"hello wrong", []string{"HELLO", "3", "AUTH", "default", "x"}, "-WRONGPASS invalid username-password pair or user is disabled."},
		{"hello 4", []string{"HELLO", "4"}, "-NOPROTO unsupported protocol version"},
		{"right", []string{"AUTH", "sesame & more"}, "+OK"},
		{"right user", []string{"AUTH", "default", "sesame & more"}, "+OK"},
		{"hello right", []string{"HELLO", "3", "AUTH", "default", "sesame & more", "SETNAME", "x"}, "%7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := say(t, dial(t, s), request(c.words...), 1)[0]; got != c.want {
				t.Errorf("%q is answered %q, want %q", c.words, got, c.want)
			}
		})
	}
	if err := connect(t, s.URL()).Ping(t.Context()).Err(); err != nil {
		t.Errorf("with the URL: %v", err)
	}
}

func TestPasswordIsRandomByDefault(t *testing.T) {
	a, b := start(t, Options{Dir: t.TempDir()}), start(t, Options{Dir: t.TempDir()})
	if a.options.Password == b.options.Password || len(a.options.Password) < 20 {
		t.Errorf("passwords %q and %q", a.options.Password, b.options.Password)
	}
}

func TestNonsenseIsRefusedAndHarmsNobody(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir(), Password: "pw"})
	auth := request("AUTH", "pw")
	for _, c := range []struct{ name, text, want string }{
		{"not RESP", "GET k\r\n", "-ERR Protocol error: expected '*' and a length"},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", "-ERR Protocol error: expected '*' and a length"},
		{"negative count", "*-1\r\n", "-ERR Protocol error: an invalid length"},
		{"signed count", "*+1\r\n", "-ERR Protocol error: an invalid length"},
		{"giant count", "*1000000000\r\n", "-ERR Protocol error: a length beyond 16"},
		{"count that overflows", "*99999999999999999999\r\n", "-ERR Protocol error: an invalid length"},
		{"giant argument", "*1\r\n$1000000000\r\n", "-ERR Protocol error: a length beyond 16384"},
		{"not a bulk", "*1\r\n:1\r\n", "-ERR Protocol error: expected '$' and a length"},
		{"longer than it says", "*1\r\n$1\r\nPING\r\n", "-ERR Protocol error: an argument is longer than it says"},
		{"bare LF", "*1\n$4\nPING\n", "-ERR Protocol error: expected '*' and a length"},
		{"endless line", "*" + strings.Repeat("1", 40<<10) + "\r\n", "-ERR Protocol error: a length without an end"},
		{"giant argument, signed in", auth + "*1\r\n$100000000\r\n", "-ERR Protocol error: a length beyond 67108864"},
		{"giant count, signed in", auth + "*2000000\r\n", "-ERR Protocol error: a length beyond 1048576"},
		{"panics in miniredis", auth + request("KEYS", "[z-a]"), "-ERR internal error in KEYS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, s)
			lines := 1
			if strings.HasPrefix(c.text, auth) {
				lines = 2
			}
			if got := say(t, conn, c.text, lines)[lines-1]; got != c.want {
				t.Errorf("answered %q, want %q", got, c.want)
			}
			// A reset is as good an end as any: what was sent in vain may still be unread.
			if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Errorf("the connection stays open")
			}
		})
	}
	client := connect(t, s.URL())
	if got, err := client.Set(t.Context(), "k", "v", 0).Result(); got != "OK" || err != nil {
		t.Errorf("afterwards SET answers %q, %v", got, err)
	}
}

func TestEmptyCommandsAreSkipped(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir(), Password: "pw"})
	got := say(t, dial(t, s), "*0\r\n"+request("AUTH", "pw")+"*0\r\n"+request("PING"), 2)
	if got[0] != "+OK" || got[1] != "+PONG" {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsNotServedIsRefusedLoudly(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	client := connect(t, s.URL())
	for _, c := range []struct{ command, want string }{
		{"EXEC", "ERR EXEC is not served by the embedded Redis: use a Lua script"},
		{"WATCH k", "ERR WATCH is not served by the embedded Redis: use a Lua script"},
		{"BLPOP l 1", "ERR BLPOP is not served by the embedded Redis, for it may block: subscribe to a channel"},
		{"SPOP s", "ERR SPOP is not served by the embedded Redis, for it would not replay: it is random"},
		{"SELECT 1", "ERR DB index is out of range: the embedded Redis has one database, 0"},
		{"XADD x * a b", "ERR unknown command 'XADD': the embedded Redis does not serve it"},
		{"HEXPIRE h 1 FIELDS 1 f", "ERR unknown command 'HEXPIRE': the embedded Redis does not serve it"},
		{"CONFIG GET *", "ERR unknown command 'CONFIG': the embedded Redis does not serve it"},
		{"EVAL 'return math.random()' 0", "ERR user_script:1: attempt to call a non-function object"},
		{"EVAL 'return os.time()' 0", "ERR user_script:1: Script attempted to access nonexistent global variable 'os'"},
		{"EVAL 'return redis.call(\"SPOP\", \"s\")' 0", "ERR This Redis command is not allowed from script: ERR SPOP is not served by the embedded Redis, for it would not replay: it is random"},
		{"EVAL 'local t = {} t[1] = t return t' 0", "ERR a script returned tables nested too deeply"},
	} {
		err := client.Do(t.Context(), splitCommand(c.command)...).Err()
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.command, err, c.want)
		}
	}
}

func TestARefusedTransactionRunsInNoPart(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir(), Password: "pw"})
	got := say(t, dial(t, s), request("AUTH", "pw")+request("MULTI")+request("SET", "k", "v")+request("EXEC")+request("EXISTS", "k"), 5)
	want := []string{
		"+OK", "-ERR MULTI is not served by the embedded Redis: use a Lua script",
		"-EXECABORT SET was not executed, for its MULTI was refused", "-EXECABORT EXEC was not executed, for its MULTI was refused", ":0",
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("answer %d is %q, want %q", i, got[i], want[i])
		}
	}
}

func TestPublishAndSubscribe(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	for _, protocol := range []int{2, 3} {
		client := connect(t, s.URL(), func(o *redis.Options) { o.Protocol = protocol })
		subscription := client.Subscribe(t.Context(), "a", "b")
		for range 2 {
			if _, err := subscription.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := subscription.Ping(t.Context(), "still there"); err != nil {
			t.Error(err)
		}
		if pong, err := subscription.Receive(t.Context()); err != nil || pong.(*redis.Pong).Payload != "still there" {
			t.Errorf("RESP%d: PING while subscribed is answered %v, %v", protocol, pong, err)
		}
		if n, err := client.Publish(t.Context(), "a", "one").Result(); n != 1 || err != nil {
			t.Errorf("RESP%d: PUBLISH reaches %d, %v", protocol, n, err)
		}
		if err := client.Eval(t.Context(), `redis.call("PUBLISH", KEYS[1], ARGV[1]) return 1`, []string{"b"}, "two").Err(); err != nil {
			t.Error(err)
		}
		for _, want := range []redis.Message{{Channel: "a", Payload: "one"}, {Channel: "b", Payload: "two"}} {
			got, err := subscription.ReceiveMessage(t.Context())
			if err != nil || got.Channel != want.Channel || got.Payload != want.Payload {
				t.Errorf("RESP%d: received %v, %v, want %v", protocol, got, err, want)
			}
		}
		if err := subscription.Unsubscribe(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		if _, err := subscription.Receive(t.Context()); err != nil {
			t.Error(err)
		}
		if n, err := client.Publish(t.Context(), "a", "three").Result(); n != 0 || err != nil {
			t.Errorf("RESP%d: PUBLISH after the end reaches %d, %v", protocol, n, err)
		}
		if err := subscription.Close(); err != nil {
			t.Error(err)
		}
		testenv.Eventually(t, "the end of the subscription", func() bool {
			return client.Publish(t.Context(), "b", "four").Val() == 0
		})
	}
}

func TestASubscriberThatDoesNotReadHoldsUpNobody(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir(), Password: "pw"})
	conn := dial(t, s)
	if got := say(t, conn, request("AUTH", "pw")+request("SUBSCRIBE", "c"), 7); got[1] != "*3" {
		t.Fatalf("got %q", got)
	}
	client := connect(t, s.URL())
	message := strings.Repeat("x", 1<<20)
	// Its socket's buffers and what the server keeps for it are full after a while; then it is let go.
	testenv.Eventually(t, "the slow subscriber to be let go", func() bool {
		return client.Publish(t.Context(), "c", message).Val() == 0
	})
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Error(err)
	}
}

func TestSubscribedConnectionsTakeOnlyTheirCommands(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir(), Password: "pw"})
	conn := dial(t, s)
	got := say(t, conn, request("AUTH", "pw")+request("SET", "k", "v")+request("SUBSCRIBE", "c")+request("GET", "k")+request("UNSUBSCRIBE")+request("GET", "k"), 17)
	want := "+OK +OK *3 $9 subscribe $1 c :1" +
		" -ERR Can't execute 'get': only SUBSCRIBE / UNSUBSCRIBE / PING / QUIT are allowed in this context" +
		" *3 $11 unsubscribe $1 c :0 $1 v"
	if joined := strings.Join(got, " "); joined != want {
		t.Errorf("got  %s\nwant %s", joined, want)
	}
}

func TestManyRepliesToAClientThatReadsLate(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir()})
	client := connect(t, s.URL())
	value := strings.Repeat("v", 1<<20)
	if err := client.Set(t.Context(), "k", value, 0).Err(); err != nil {
		t.Fatal(err)
	}
	late := dial(t, s)
	// More than the sockets hold: the server cannot write it all, and must not wait with its lock held.
	if _, err := io.WriteString(late, request("AUTH", s.options.Password)+strings.Repeat(request("GET", "k"), 64)); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(t.Context(), "k").Result(); got != value || err != nil {
		t.Errorf("another client reads %d bytes, %v", len(got), err)
	}
	if n, err := io.CopyN(io.Discard, late, 64*(1<<20)); err != nil {
		t.Errorf("the late one reads %d bytes: %v", n, err)
	}
}

func TestTooManyClients(t *testing.T) {
	s := start(t, Options{Dir: t.TempDir(), Password: "pw"})
	conns := make([]net.Conn, maxSessions)
	for i := range conns {
		conns[i] = dial(t, s)
	}
	if got := say(t, conns[maxSessions-1], request("AUTH", "pw"), 1)[0]; got != "+OK" {
		t.Errorf("the last one allowed gets %q", got)
	}
	if got := say(t, dial(t, s), "", 1)[0]; got != "-ERR max number of clients reached" {
		t.Errorf("one more gets %q", got)
	}
	for _, conn := range conns[:10] {
		_ = conn.Close()
	}
	testenv.Eventually(t, "room for another", func() bool {
		return say(t, dial(t, s), request("AUTH", "pw"), 1)[0] == "+OK"
	})
}
