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

// Keys in the object store: functions/NAME/OBJECT, functions/NAME/REVISION/OBJECT, triggers/NAME.json.
const (
	functionsPrefix = "functions/"
	triggersPrefix  = "triggers/"

	sourceObject   = "source.tgz"    // of a revision
	revisionObject = "revision.json" // of a revision, which is registered once this object exists
	logObject      = "build.log"     // of a revision
	builderObject  = "builder-"      // of a revision, followed by the attempt: the gateway that builds it
	liveObject     = "live.json"     // of a function: its live revision
	deletedObject  = "deleted.json"  // of a function: its tombstone, with the last revision that was deleted

	jsonSuffix    = ".json"
	deletedSuffix = ".deleted.json" // of a trigger: its tombstone; the trigger is deleted even if its other object exists
)

// maxManifest is the maximum size of a JSON object.
const maxManifest = 4 << 20

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

// live is live.json.
type live struct {
	Revision faas.RevisionNumber `json:"revision"`
	At       time.Time           `json:"at"`
}

// tombstone records a deletion.
type tombstone struct {
	DeletedAt    time.Time           `json:"deleted_at"`
	LastRevision faas.RevisionNumber `json:"last_revision,omitempty"` // of a function
	Triggers     []faas.TriggerName  `json:"triggers,omitempty"`      // the function's triggers that are still to be deleted
}

// builder is the claim of the gateway that builds a revision.
type builder struct {
	Gateway faas.GatewayID `json:"gateway"`
	At      time.Time      `json:"at"`
}

// objects reads and writes the objects of functions and triggers.
type objects struct {
	store  Objects
	forget func(ctx context.Context, ref faas.RevisionRef) error // called before the objects of a deleted revision are deleted; or nil
}

// put writes thing as a JSON object.
func (o objects) put(ctx context.Context, key blob.Key, thing any, options blob.PutOptions) error {
	b, err := json.Marshal(thing)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	options.ContentType = "application/json"
	if _, err := o.store.Put(ctx, key, bytes.NewReader(b), int64(len(b)), options); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// get reads a JSON object; found is false if it does not exist.
func (o objects) get(ctx context.Context, key blob.Key, into any) (found bool, err error) {
	r, _, err := o.store.Get(ctx, key, 0, -1)
	if errors.Is(err, blob.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxManifest))
	if err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return false, fmt.Errorf("decode %s: %w", key, err)
	}
	return true, nil
}

func (o objects) delete(ctx context.Context, keys ...blob.Key) error {
	for _, key := range keys {
		if err := o.store.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
	}
	return nil
}

// putRevision writes revision.json. The revision is registered once that object exists.
func (o objects) putRevision(ctx context.Context, rev *faas.Revision) error {
	return o.put(ctx, revisionKey(rev.Ref(), revisionObject), rev, blob.PutOptions{})
}

func (o objects) getRevision(ctx context.Context, ref faas.RevisionRef) (*faas.Revision, bool, error) {
	rev := &faas.Revision{}
	found, err := o.get(ctx, revisionKey(ref, revisionObject), rev)
	return rev, found, err
}

// putTrigger writes a trigger and then deletes its tombstone. Until both are done the trigger does not exist.
func (o objects) putTrigger(ctx context.Context, t *faas.Trigger) error {
	if err := o.put(ctx, triggerKey(t.Name), t, blob.PutOptions{}); err != nil {
		return err
	}
	return o.delete(ctx, triggerTombstone(t.Name))
}

// deletedUpTo returns the last revision that was deleted with a function of that name, or 0.
func (o objects) deletedUpTo(ctx context.Context, name faas.FunctionName) (faas.RevisionNumber, error) {
	var t tombstone
	_, err := o.get(ctx, functionKey(name, deletedObject), &t)
	return t.LastRevision, err
}

// deleteRevisions deletes all objects of the revisions up to last.
func (o objects) deleteRevisions(ctx context.Context, name faas.FunctionName, last faas.RevisionNumber) error {
	prefix := functionsPrefix + string(name) + "/"
	for info, err := range o.store.List(ctx, prefix, "") {
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		n, object, is := parseRevisionKey(strings.TrimPrefix(string(info.Key), prefix))
		if !is || n > last {
			continue
		}
		if object == revisionObject && o.forget != nil {
			if err := o.forget(ctx, faas.RevisionRef{Function: name, Number: n}); err != nil {
				return fmt.Errorf("forget revision %d of %s: %w", n, name, err)
			}
		}
		if err := o.delete(ctx, info.Key); err != nil {
			return err
		}
	}
	return nil
}

// parseRevisionKey splits the rest of a key, such as "3/source.tgz".
func parseRevisionKey(rest string) (number faas.RevisionNumber, object string, ok bool) {
	text, object, ok := strings.Cut(rest, "/")
	n, err := strconv.Atoi(text)
	if !ok || err != nil || n < 1 {
		return 0, "", false
	}
	return faas.RevisionNumber(n), object, true
}

// claimBuild claims the build of a revision for the gateway me and returns the number of the attempt, which counts from
// 1. attempt is 0 if another gateway that is alive has claimed it.
func (o objects) claimBuild(ctx context.Context, ref faas.RevisionRef, me builder, alive func(faas.GatewayID) bool) (attempt int, err error) {
	for attempt = 1; ; attempt++ {
		key := builderKey(ref, attempt)
		err := o.put(ctx, key, me, blob.PutOptions{IfAbsent: true})
		if err == nil {
			return attempt, nil
		}
		if !errors.Is(err, blob.ErrExists) {
			return 0, err
		}
		var other builder
		found, err := o.get(ctx, key, &other)
		if err != nil {
			return 0, err
		}
		if found && other.Gateway != me.Gateway && alive(other.Gateway) {
			return 0, nil
		}
	}
}

// deleteClaims deletes the claims of all attempts of a build.
func (o objects) deleteClaims(ctx context.Context, ref faas.RevisionRef, attempts int) error {
	for n := attempts; n > 0; n-- {
		if err := o.delete(ctx, builderKey(ref, n)); err != nil {
			return err
		}
	}
	return nil
}
