package dispatch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
	"davit/internal/task"
	"davit/internal/testenv"
)

// openS3 makes a bucket on a real MinIO.
func openS3(t *testing.T) *blob.S3 {
	t.Helper()
	server := testenv.MinIO(t)
	s3, err := blob.NewS3(blob.S3Options{
		Endpoint: server.Endpoint, Region: server.Region, AccessKey: server.AccessKey, SecretKey: server.SecretKey, Bucket: "davit",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s3.Close() })
	if err := s3.EnsureBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s3
}

// TestLargeResultInParts: a result, an input and a log that are too large for one PUT
// are in the store, whole.
func TestLargeResultInParts(t *testing.T) {
	s3 := openS3(t)
	r := newRigOn(t, s3, warm(), sh("head -c 17000000 /dev/urandom > out; head -c 1000 /dev/urandom >&2"))
	r.trigger.Results = []string{"out"}
	reply, err := r.Call(t.Context(), r.request(strings.Repeat("input", 2<<20)))
	if err != nil {
		t.Fatal(err)
	}
	sent := read(t, reply)
	id := reply.Invocation.ID
	until(t, "the result is stored", func() bool { inv := r.final(id); return inv.Result != nil && inv.Result.Stored })
	inv := r.final(id)
	o, err := r.Result(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	from, err := o.Open(t.Context(), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, from)
	if err != nil || n != inv.Result.Size || hex.EncodeToString(sum.Sum(nil)) != inv.Result.SHA256 || n != int64(len(sent)) {
		t.Errorf("stored %d bytes, %v; the record says %+v", n, err, inv.Result)
	}
	if !strings.HasSuffix(o.Info.ETag, "-4") { // how S3 marks an object of four parts
		t.Errorf("the result's ETag is %q: it did not come in four parts", o.Info.ETag)
	}
	in, err := r.Input(t.Context(), id)
	if err != nil || in.Info.Size != 10<<20 || !strings.HasSuffix(in.Info.ETag, "-2") {
		t.Errorf("input %+v, %v", in, err)
	}
}

// TestPartsFromAnyGateway: the gateway that is asked need not lead the call, and can be asked again.
func TestPartsFromAnyGateway(t *testing.T) {
	s3 := openS3(t)
	r := newRigOn(t, s3, warm(), sh("true"))
	reply, err := r.Call(t.Context(), r.request(""))
	if err != nil {
		t.Fatal(err)
	}
	read(t, reply)
	id := reply.Invocation.ID
	until(t, "the record is written", func() bool {
		inv, err := r.Records.FindInvocation(t.Context(), id)
		return err == nil && inv.Result != nil && inv.Result.Stored
	})
	options := r.Options
	options.Gateway = "gw-other"
	other := New(options)

	content := strings.Repeat("1", 5<<20) + strings.Repeat("2", 5<<20) + strings.Repeat("3", 2<<20)
	wanted := task.PartsWanted{Object: task.PartResult, Attempt: 1, Size: int64(len(content)), For: faas.Duration(time.Minute)}
	p, err := other.BeginParts(t.Context(), id, wanted)
	if err != nil || len(p.URLs) != 3 || p.PartBytes != 5<<20 {
		t.Fatalf("%+v, %v", p, err)
	}
	done := task.PartsDone{Object: task.PartResult, Attempt: 1, Size: wanted.Size, Upload: p.Upload}
	for i, url := range p.URLs {
		from := int64(i) * p.PartBytes
		done.ETags = append(done.ETags, putPart(t, url, content[from:min(from+p.PartBytes, wanted.Size)]))
	}
	for name, change := range map[string]func(*task.PartsDone){
		"an older attempt": func(d *task.PartsDone) { d.Attempt = 7 },
		"another ETag":     func(d *task.PartsDone) { d.ETags = []string{d.ETags[1], d.ETags[1], d.ETags[2]} },
	} {
		bad := done
		change(&bad)
		if err := r.CompleteParts(t.Context(), id, bad); faas.KindOf(err) != faas.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 2 { // the second time as if the first answer was lost
		if err := r.CompleteParts(t.Context(), id, done); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := s3.Stat(t.Context(), resultKey(id, 1)); err != nil || info.Size != wanted.Size {
		t.Errorf("%+v, %v", info, err)
	}
	done.Size++ // what is there is not what was announced: it must not stay
	if err := other.CompleteParts(t.Context(), id, done); faas.KindOf(err) != faas.Conflict {
		t.Errorf("another size: %v", err)
	}
	if _, err := s3.Stat(t.Context(), resultKey(id, 1)); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("a part of an object stayed: %v", err)
	}
}

func TestPartsRefused(t *testing.T) {
	s3 := openS3(t)
	r := newRigOn(t, s3, warm(), sh("true"))
	reply, err := r.Call(t.Context(), r.request(""))
	if err != nil {
		t.Fatal(err)
	}
	read(t, reply)
	id := reply.Invocation.ID
	r.final(id)
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
		if _, err := r.BeginParts(t.Context(), c.id, w); faas.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := r.BeginParts(t.Context(), id, task.PartsWanted{Object: task.PartLog, Attempt: 1, Size: 5 << 40, For: good.For})
	if err != nil || len(p.URLs) > usualParts || p.PartBytes*int64(len(p.URLs)) < 5<<40 {
		t.Errorf("the largest object: %d URLs of %d bytes, %v", len(p.URLs), p.PartBytes, err)
	}
	folder := newRig(t, warm(), sh("true")) // which takes any size in one PUT
	if p, err := folder.BeginParts(t.Context(), unknown, good); err != nil || len(p.URLs) != 0 {
		t.Errorf("a folder: %+v, %v", p, err)
	}
}

// TestAbandonedUploadsAreSwept: those that got nothing for long, whoever began them, and no others.
func TestAbandonedUploadsAreSwept(t *testing.T) {
	s3 := openS3(t)
	r := newRigOn(t, s3, warm(), sh("true"))
	id, err := s3.StartMultipart(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	url, err := s3.SignPart(t.Context(), "k", id, 1, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	after := func(d time.Duration) *Dispatcher {
		options := r.Options
		options.Now = func() time.Time { return time.Now().Add(d) }
		return New(options)
	}
	after(30 * time.Minute).sweepUploads(t.Context())
	etag := putPart(t, url, "x")
	after(time.Hour).sweepUploads(t.Context())
	if err := s3.Complete(t.Context(), "k", id, []string{etag}); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
}

// putPart uploads a part as a runner does and returns its ETag.
func putPart(t *testing.T, url, content string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(fmt.Errorf("part: %s", resp.Status))
	}
	return resp.Header.Get("ETag")
}
