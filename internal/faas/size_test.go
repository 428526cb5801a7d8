package faas

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDurationJSON(t *testing.T) {
	written := map[Duration]string{
		0: `"0s"`, Duration(time.Millisecond): `"1ms"`, Duration(90 * time.Second): `"1m30s"`, Duration(5 * time.Minute): `"5m"`,
		Duration(24 * time.Hour): `"24h"`, Duration(90 * time.Minute): `"1h30m"`, Duration(time.Hour + time.Second): `"1h0m1s"`, Duration(-time.Minute): `"-1m"`,
		Duration(10 * time.Minute): `"10m"`, Duration(10 * time.Hour): `"10h"`, Duration(20 * time.Second): `"20s"`,
	}
	for d, want := range written {
		if b, err := json.Marshal(d); err != nil || string(b) != want {
			t.Errorf("%v is written %s, %v; want %s", d, b, err, want)
		}
	}
	for _, text := range []string{`90`, `"90"`, `""`, `"5 m"`, `true`, `["5m"]`, `"５m"`, `"1d"`, `"9999999999h"`, `"5m\u0000"`} {
		var d Duration
		if err := json.Unmarshal([]byte(text), &d); err == nil {
			t.Errorf("%s is read as %v", text, d)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64().Draw(t, "d"))
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var again Duration
		if err := json.Unmarshal(b, &again); err != nil || again != d {
			t.Fatalf("%v is written %s and read %v, %v", d, b, again, err)
		}
	})
}

func TestBytesJSON(t *testing.T) {
	read := map[string]Bytes{
		`0`: 0, `1048576`: MiB, `"1048576"`: MiB, `"1Mi"`: MiB, `"3Ki"`: 3 * KiB, `"2Gi"`: 2 * GiB, `-5`: -5, `"-1Ki"`: -KiB,
		`9223372036854775807`: math.MaxInt64, `"8589934591Gi"`: 8589934591 * GiB,
	}
	for text, want := range read {
		var n Bytes
		if err := json.Unmarshal([]byte(text), &n); err != nil || n != want {
			t.Errorf("%s is read as %d, %v; want %d", text, n, err, want)
		}
	}
	for _, text := range []string{
		`1.5`, `1e3`, `"1.5Gi"`, `"1G"`, `"1M"`, `"Ki"`, `"+1"`, `"1 Mi"`, `"0x10"`, `"1_000"`, `"５Mi"`, `""`, `true`, `[]`, `{}`, `9223372036854775808`, `"8589934592Gi"`, `"1KiKi"`,
	} {
		var n Bytes
		if err := json.Unmarshal([]byte(text), &n); err == nil {
			t.Errorf("%s is read as %d", text, n)
		}
	}
	for n, want := range map[Bytes]string{0: "0", 1: "1", 1000: "1000", KiB: "1Ki", 64 * MiB: "64Mi", 3 * GiB: "3Gi", MiB + 1: "1048577", -KiB: "-1Ki"} {
		if n.String() != want {
			t.Errorf("%d is %s, want %s", int64(n), n, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := Bytes(rapid.Int64().Draw(t, "n"))
		if again, err := ParseBytes(n.String()); err != nil || again != n {
			t.Fatalf("%d is %s and read %d, %v", int64(n), n, again, err)
		}
	})
}

func TestCommandAndRunAsJSON(t *testing.T) {
	var got struct {
		Command Command `json:"command"`
		RunAs   RunAs   `json:"run_as"`
	}
	for text, want := range map[string]string{
		`{"command":"a 'b c'","run_as":65532}`:  `{"command":["a","b c"],"run_as":65532}`,
		`{"command":["a"],"run_as":"1000"}`:     `{"command":["a"],"run_as":1000}`,
		`{"command":null,"run_as":"root"}`:      `{"command":null,"run_as":"root"}`,
		`{"command":[],"run_as":"007"}`:         `{"command":[],"run_as":"007"}`,
		`{"command":"","run_as":"99999999999"}`: `{"command":[],"run_as":"99999999999"}`,
	} {
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if b, err := json.Marshal(got); err != nil || string(b) != want {
			t.Errorf("%s is written %s, %v; want %s", text, b, err, want)
		}
	}
	for _, text := range []string{`{"command":5}`, `{"command":"a 'b"}`, `{"command":[1]}`, `{"run_as":true}`, `{"run_as":1.5}`, `{"run_as":[]}`} {
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s is read as %+v", text, got)
		}
	}
}

func TestStandbyOfALaterReleaseIsRead(t *testing.T) {
	for text, want := range map[string]Standby{`3`: {3, 3}, `{"min":1,"max":2,"later":true}`: {1, 2}} {
		var got Standby
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s is read as %v, %v; want %v", text, got, err, want)
		}
	}
	if err := json.Unmarshal([]byte(`"3"`), &Standby{}); err == nil {
		t.Error("a string is read as bounds")
	}
}
