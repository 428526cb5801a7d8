package register

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"davit/internal/blob"
	"davit/internal/faas"
)

// Keys of the copies in the store.
const (
	functionsPrefix = "functions/"
	triggersPrefix  = "triggers/"

	sourceObject   = "source.tgz"    // of a revision
	revisionObject = "revision.json" // of a revision: there, the revision is registered
	logObject      = "build.log"     // of a revision
	builderObject  = "builder-"      // of a revision, with the attempt: who builds it
	liveObject     = "live.json"     // of a function
	deletedObject  = "deleted.json"  // of a function: revisions up to its last are gone

	jsonSuffix    = ".json"
	deletedSuffix = ".deleted.json" // of a trigger: it is gone, whatever else is there
)

// maxCopy is the most bytes that a JSON copy may have.
const maxCopy = 4 << 20

func functionKey(name faas.FunctionName, object string) blob.Key {
	return blob.Key(functionsPrefix + string(name) + "/" + object)
}

func revisionKey(ref faas.RevisionRef, object string) blob.Key {
	return functionKey(ref.Function, strconv.Itoa(int(ref.Number))+"/"+object)
}

func builderKey(ref faas.RevisionRef, attempt int) blob.Key {
	return revisionKey(ref, builderObject+strconv.Itoa(attempt)+jsonSuffix)
}

func triggerKey(name faas.TriggerName) blob.Key {
	return blob.Key(triggersPrefix + string(name) + jsonSuffix)
}

func triggerTombstone(name faas.TriggerName) blob.Key {
	return blob.Key(triggersPrefix + string(name) + deletedSuffix)
}

// live is the copy of which revision is live.
type live struct {
	Revision faas.RevisionNumber `json:"revision"`
	At       time.Time           `json:"at"`
}

// tombstone says that something is deleted.
type tombstone struct {
	DeletedAt    time.Time           `json:"deleted_at"`
	LastRevision faas.RevisionNumber `json:"last_revision,omitempty"` // of a function
	Triggers     []faas.TriggerName  `json:"triggers,omitempty"`      // that go with a function and are not yet gone
}

// builder says who builds a revision.
type builder struct {
	Gateway faas.GatewayID `json:"gateway"`
	At      time.Time      `json:"at"`
}

// copies are the truth about registrations, in the store.
type copies struct {
	objects Objects
	forget  func(ctx context.Context, ref faas.RevisionRef) error // nil: nothing else is kept of a revision
}

// put writes one copy.
func (c copies) put(ctx context.Context, key blob.Key, thing any, o blob.PutOptions) error {
	b, err := json.Marshal(thing)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	o.ContentType = "application/json"
	if _, err := c.objects.Put(ctx, key, bytes.NewReader(b), int64(len(b)), o); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// get reads one copy; found is false when it is not there.
func (c copies) get(ctx context.Context, key blob.Key, into any) (found bool, err error) {
	r, _, err := c.objects.Get(ctx, key, 0, -1)
	if errors.Is(err, blob.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	defer r.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(r, maxCopy))
	if err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return false, fmt.Errorf("decode %s: %w", key, err)
	}
	return true, nil
}

func (c copies) delete(ctx context.Context, keys ...blob.Key) error {
	for _, key := range keys {
		if err := c.objects.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
	}
	return nil
}

// putRevision writes a revision; with it there, the revision is registered.
func (c copies) putRevision(ctx context.Context, rev *faas.Revision) error {
	return c.put(ctx, revisionKey(rev.Ref(), revisionObject), rev, blob.PutOptions{})
}

func (c copies) getRevision(ctx context.Context, ref faas.RevisionRef) (*faas.Revision, bool, error) {
	rev := &faas.Revision{}
	found, err := c.get(ctx, revisionKey(ref, revisionObject), rev)
	return rev, found, err
}

// deletedUpTo returns the last revision that a deletion took, 0 without one.
func (c copies) deletedUpTo(ctx context.Context, name faas.FunctionName) (faas.RevisionNumber, error) {
	var t tombstone
	_, err := c.get(ctx, functionKey(name, deletedObject), &t)
	return t.LastRevision, err
}

// deleteRevisions removes all objects of revisions up to last.
func (c copies) deleteRevisions(ctx context.Context, name faas.FunctionName, last faas.RevisionNumber) error {
	prefix := functionsPrefix + string(name) + "/"
	for info, err := range c.objects.List(ctx, prefix, "") {
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		n, object, is := revisionObjectOf(strings.TrimPrefix(string(info.Key), prefix))
		if !is || n > last {
			continue
		}
		if object == revisionObject && c.forget != nil {
			if err := c.forget(ctx, faas.RevisionRef{Function: name, Number: n}); err != nil {
				return fmt.Errorf("forget revision %d of %s: %w", n, name, err)
			}
		}
		if err := c.delete(ctx, info.Key); err != nil {
			return err
		}
	}
	return nil
}

// revisionObjectOf reads "3/source.tgz".
func revisionObjectOf(rest string) (faas.RevisionNumber, string, bool) {
	number, object, ok := strings.Cut(rest, "/")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 {
		return 0, "", false
	}
	return faas.RevisionNumber(n), object, true
}

// claimBuild makes this gateway the one that builds a revision, unless a
// gateway that lives is it: then attempt is 0. Attempts count from 1.
func (c copies) claimBuild(ctx context.Context, ref faas.RevisionRef, me builder, lives func(faas.GatewayID) bool) (attempt int, err error) {
	for attempt = 1; ; attempt++ {
		key := builderKey(ref, attempt)
		err := c.put(ctx, key, me, blob.PutOptions{IfAbsent: true})
		if err == nil {
			return attempt, nil
		}
		if !errors.Is(err, blob.ErrExists) {
			return 0, err
		}
		var other builder
		found, err := c.get(ctx, key, &other)
		if err != nil {
			return 0, err
		}
		if found && other.Gateway != me.Gateway && lives(other.Gateway) {
			return 0, nil
		}
	}
}

// disownBuild removes the claims of a build that is over.
func (c copies) disownBuild(ctx context.Context, ref faas.RevisionRef, attempts int) error {
	for n := attempts; n > 0; n-- {
		if err := c.delete(ctx, builderKey(ref, n)); err != nil {
			return err
		}
	}
	return nil
}
