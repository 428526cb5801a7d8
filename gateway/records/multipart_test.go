package records_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"davit/gateway/dispatch"
	"davit/gateway/dispatch/dispatchtest"
	"davit/gateway/objects"
	"davit/gateway/records"
	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

// TestLargeResultInParts: a result, an input and a log that are too large for one PUT are in the store, whole.
func TestLargeResultInParts(t *testing.T) {
	s3 := dispatchtest.OpenS3(t)
	r := dispatchtest.NewOf(t, dispatchtest.Options{S3: s3}, dispatchtest.Warm(), dispatchtest.Sh("head -c 17000000 /dev/urandom > out; head -c 1000 /dev/urandom >&2"))
	r.Trigger.Results = []string{"out"}
	reply, err := r.Call(t.Context(), r.Request(strings.Repeat("input", 2<<20)))
	if err != nil {
		t.Fatal(err)
	}
	sent := dispatchtest.Read(t, reply)
	id := reply.Invocation.ID
	testenv.Eventually(t, "the result is stored", func() bool { inv := r.Final(id); return inv.Result != nil && inv.Result.Stored })
	inv := r.Final(id)
	info, open, _, err := r.Records.Result(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	from, err := open(0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, from)
	if err != nil || n != inv.Result.Size || hex.EncodeToString(sum.Sum(nil)) != inv.Result.SHA256 || n != int64(len(sent)) {
		t.Errorf("stored %d bytes, %v; the record says %+v", n, err, inv.Result)
	}
	if !strings.HasSuffix(info.ETag, "-4") { // how S3 marks an object of four parts
		t.Errorf("the result's ETag is %q: it did not come in four parts", info.ETag)
	}
	in, body, err := r.Records.Input(t.Context(), id)
	if err != nil || in.Size != 10<<20 || !strings.HasSuffix(in.ETag, "-2") {
		t.Fatalf("input %+v, %v", in, err)
	}
	_ = body.Close()
}

// TestPartsFromAnyGateway: the gateway that is asked need not lead the call, and can be asked again.
func TestPartsFromAnyGateway(t *testing.T) {
	s3 := dispatchtest.OpenS3(t)
	r := dispatchtest.NewOf(t, dispatchtest.Options{S3: s3}, dispatchtest.Warm(), dispatchtest.Sh("true"))
	reply, err := r.Call(t.Context(), r.Request(""))
	if err != nil {
		t.Fatal(err)
	}
	dispatchtest.Read(t, reply)
	id := reply.Invocation.ID
	testenv.Eventually(t, "the record is written", func() bool {
		inv, err := r.Store.FindInvocation(t.Context(), id)
		return err == nil && inv.Result != nil && inv.Result.Stored
	})
	calls := r.CallOptions
	calls.Gateway = "gw-other"
	options := r.RecordsOptions
	options.Calls = dispatch.New(calls)
	other := records.New(options)

	content := strings.Repeat("1", 5<<20) + strings.Repeat("2", 5<<20) + strings.Repeat("3", 2<<20)
	wanted := task.PartsWanted{Object: task.PartResult, Attempt: 1, Size: int64(len(content)), For: faas.Duration(time.Minute)}
	p, err := other.BeginParts(t.Context(), id, wanted)
	if err != nil || len(p.URLs) != 3 || p.PartBytes != 5<<20 {
		t.Fatalf("%+v, %v", p, err)
	}
	done := task.PartsDone{Object: task.PartResult, Attempt: 1, Size: wanted.Size, Upload: p.Upload}
	for i, url := range p.URLs {
		from := int64(i) * p.PartBytes
		done.ETags = append(done.ETags, dispatchtest.PutPart(t, url, content[from:min(from+p.PartBytes, wanted.Size)]))
	}
	for name, change := range map[string]func(*task.PartsDone){
		"an older attempt": func(d *task.PartsDone) { d.Attempt = 7 },
		"another ETag":     func(d *task.PartsDone) { d.ETags = []string{d.ETags[1], d.ETags[1], d.ETags[2]} },
	} {
		bad := done
		change(&bad)
		if err := r.Records.CompleteParts(t.Context(), id, bad); faas.KindOf(err) != faas.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 2 { // the second time as if the first answer was lost
		if err := r.Records.CompleteParts(t.Context(), id, done); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := s3.Stat(t.Context(), objects.Result(id, 1)); err != nil || info.Size != wanted.Size {
		t.Errorf("%+v, %v", info, err)
	}
	done.Size++ // what is there is not what was announced: it must not stay
	if err := other.CompleteParts(t.Context(), id, done); faas.KindOf(err) != faas.Conflict {
		t.Errorf("another size: %v", err)
	}
	if _, err := s3.Stat(t.Context(), objects.Result(id, 1)); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("a part of an object stayed: %v", err)
	}
}

func TestPartsRefused(t *testing.T) {
	s3 := dispatchtest.OpenS3(t)
	r := dispatchtest.NewOf(t, dispatchtest.Options{S3: s3}, dispatchtest.Warm(), dispatchtest.Sh("true"))
	reply, err := r.Call(t.Context(), r.Request(""))
	if err != nil {
		t.Fatal(err)
	}
	dispatchtest.Read(t, reply)
	id := reply.Invocation.ID
	r.Final(id)
	unknown, err := faas.NewInvocationID()
	if err != nil {
		t.Fatal(err)
	}
	good := task.PartsWanted{Object: task.PartResult, Attempt: 1, Size: 1 << 30, For: faas.Duration(time.Hour)}
	for name, c := range map[string]struct {
		id     faas.InvocationID
		change func(*task.PartsWanted)
		want   faas.Kind
	}{
		"unknown invocation": {unknown, func(*task.PartsWanted) {}, faas.NotFound},
		"another attempt":    {id, func(w *task.PartsWanted) { w.Attempt = 2 }, faas.Conflict},
		"another object":     {id, func(w *task.PartsWanted) { w.Object = "../x" }, faas.Invalid},
		"no size":            {id, func(w *task.PartsWanted) { w.Size = 0 }, faas.Invalid},
	} {
		w := good
		c.change(&w)
		if _, err := r.Records.BeginParts(t.Context(), c.id, w); faas.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := r.Records.BeginParts(t.Context(), id, task.PartsWanted{Object: task.PartLog, Attempt: 1, Size: 5 << 40, For: good.For})
	if err != nil || len(p.URLs) > records.UsualParts || p.PartBytes*int64(len(p.URLs)) < 5<<40 {
		t.Errorf("the largest object: %d URLs of %d bytes, %v", len(p.URLs), p.PartBytes, err)
	}
	folder := dispatchtest.New(t, dispatchtest.Warm(), dispatchtest.Sh("true")) // which takes any size in one PUT
	if p, err := folder.Records.BeginParts(t.Context(), unknown, good); err != nil || len(p.URLs) != 0 {
		t.Errorf("a folder: %+v, %v", p, err)
	}
}
