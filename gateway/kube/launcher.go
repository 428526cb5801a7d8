package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"davit/internal/faas"
)

// podSandbox is what confines the commands, for people.
const podSandbox = "a pod of its own: seccomp, no capabilities, sized volumes"

// Options are what a Launcher needs.
type Options struct {
	Clients       *Clients
	Namespace     string                        // of functions
	Gateway       faas.GatewayID                // this one, as holder of the lease for sweeping
	Gateways      []string                      // host:port each, where runners in pods dial in
	Token         func(faas.RevisionRef) string // a revision's runner token
	PullPolicy    string                        // of function images; "": IfNotPresent
	PullSecret    string                        // with which nodes pull them; "": none
	TTL           time.Duration                 // of Jobs that have ended; 0: 5 min
	Unschedulable time.Duration                 // how long a pod waits for others to make room; 0: 45 s
	Log           *slog.Logger
	Now           func() time.Time
}

// Launcher has the runners of one namespace. Any number of them, in as many
// processes, may work on it at once: all see all runners, and creating what
// another one has created changes nothing. Its methods may be called from many goroutines.
type Launcher struct {
	o    Options
	log  *slog.Logger
	pods podOptions

	exited func(faas.Exit) // given to Run, as wanted is
	wanted Wanted

	jobs, podView, events cache.SharedIndexInformer

	scaling sync.Mutex // one Scale at a time: it counts, and then creates

	mu       sync.Mutex
	seen     map[types.UID]*sighting         // pods that have not gone yet
	launched map[faas.InvocationID]types.UID // its Job, until it ends
	created  map[types.UID]fresh             // and not yet in the view
	stopped  map[types.UID]time.Time         // Jobs that are not wanted any more, and since when
	ended    map[types.UID]time.Time         // Jobs whose pod has ended, and when
	bare     map[types.UID]bareJob           // Jobs that are gone, of which no pod was seen
	undone   map[string]types.UID            // Jobs that are still to be deleted, by name; "": whichever has it
	tokens   map[faas.RevisionRef]bool       // whose Secret was written by this process
	joined   map[faas.RunnerID]bool          // that have dialled in
	known    map[faas.RunnerID]remembered    // fates of the last minutes
	room     time.Time                       // when a runner last got a place, or gave one back
}

// fresh is a Job that was just created.
type fresh struct {
	*batchv1.Job

	at time.Time
}

// bareJob is a Job that was deleted before it had a pod, unless its pod is only late in view.
type bareJob struct {
	identity

	name string
	at   time.Time
}

// sighting is a pod as this Launcher follows it.
type sighting struct {
	told   bool      // its end
	placed bool      // it has a node
	kind   string    // of what holds it up; "": nothing
	since  time.Time // when that began, as seen here
}

// remembered is a fate and when it was told.
type remembered struct {
	fate
	at time.Time
}

// New returns a Launcher; Run must run beside it. It does not talk to the cluster yet.
func New(o Options) (*Launcher, error) {
	if o.Namespace == "" || len(o.Gateways) == 0 || o.Token == nil {
		return nil, errors.New("make the Kubernetes launcher: namespace, gateways or tokens are missing")
	}
	l := &Launcher{
		o: o, log: o.Log,
		seen: map[types.UID]*sighting{}, launched: map[faas.InvocationID]types.UID{}, created: map[types.UID]fresh{},
		stopped: map[types.UID]time.Time{}, ended: map[types.UID]time.Time{}, bare: map[types.UID]bareJob{}, undone: map[string]types.UID{}, tokens: map[faas.RevisionRef]bool{},
		joined: map[faas.RunnerID]bool{}, known: map[faas.RunnerID]remembered{},
	}
	l.complete()
	return l, l.watchAll()
}

func (l *Launcher) complete() {
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.o.Now == nil {
		l.o.Now = time.Now
	}
	if l.o.TTL <= 0 {
		l.o.TTL = 5 * time.Minute
	}
	if l.o.Unschedulable <= 0 {
		l.o.Unschedulable = 45 * time.Second
	}
	l.pods = podOptions{gateways: l.o.Gateways, pullPolicy: corev1.PullPolicy(l.o.PullPolicy), pullSecret: l.o.PullSecret}
	if l.pods.pullPolicy == "" {
		l.pods.pullPolicy = corev1.PullIfNotPresent
	}
}

// Prepare checks that a revision can be launched, and writes what its pods refer to. It is
// to be called before the revision goes live; a Launcher that was not asked does it at the first launch.
func (l *Launcher) Prepare(ctx context.Context, rev *faas.Revision) error {
	if _, err := podOf(rev, faas.StartWarm, "", &l.pods); err != nil {
		return fmt.Errorf("describe the pod of %s: %w", rev.Ref(), err)
	}
	return refusal(fmt.Sprintf("%s cannot be made ready to be launched", rev.Ref()), l.ensureToken(ctx, rev.Ref()))
}

// Launch creates the Job of an invocation. While its pod is not over, and Stop was not
// called, launching the same invocation again, on whichever gateway, creates nothing. The
// Job ends the command, should the runner not, some time after timeout.
func (l *Launcher) Launch(ctx context.Context, rev *faas.Revision, id faas.InvocationID, timeout time.Duration) error {
	err := l.launch(ctx, rev, id, timeout)
	return refusal(fmt.Sprintf("no runner of %s could be started", rev.Ref()), err)
}

func (l *Launcher) launch(ctx context.Context, rev *faas.Revision, id faas.InvocationID, timeout time.Duration) error {
	if err := l.ensureToken(ctx, rev.Ref()); err != nil {
		return err
	}
	job, err := l.jobOf(callJob(id), rev, faas.StartJob, id, timeout)
	if err != nil {
		return err
	}
	l.forgetUndone(job.Name)
	for {
		made, err := l.create(ctx, job)
		if err == nil {
			l.noteLaunched(id, made.UID)
			return nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		there, err := l.o.Clients.Batch.Jobs(l.o.Namespace).Get(ctx, job.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return err
		case !l.isDone(there):
			l.noteLaunched(id, there.UID)
			return nil
		}
		if err := l.delete(ctx, there.Name, there.UID); err != nil {
			return err
		}
		if err := pause(ctx, againAfter); err != nil {
			return err
		}
	}
}

func (l *Launcher) noteLaunched(id faas.InvocationID, job types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ended := l.ended[job]; !ended { // pods can be quick
		l.launched[id] = job
	}
}

// againAfter is how long a Job that was deleted may take to be gone before that is looked at again.
const againAfter = 20 * time.Millisecond

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// create creates a Job, which counts from now on though the watch has not told of it.
func (l *Launcher) create(ctx context.Context, job *batchv1.Job) (*batchv1.Job, error) {
	made, err := l.o.Clients.Batch.Jobs(l.o.Namespace).Create(ctx, job, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, told := l.viewedJob(made.Name, made.UID); !told {
		l.created[made.UID] = fresh{made, l.o.Now()}
	}
	return made, nil
}

// delete removes a Job and its pod, if it is still that one; "" means whichever has the name.
func (l *Launcher) delete(ctx context.Context, name string, uid types.UID) error {
	o := metav1.DeleteOptions{PropagationPolicy: pointer(metav1.DeletePropagationBackground)}
	if uid != "" {
		o.Preconditions = metav1.NewUIDPreconditions(string(uid))
	}
	err := l.o.Clients.Batch.Jobs(l.o.Namespace).Delete(ctx, name, o)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// Stop deletes the Job of an invocation, whose exit is not the invocation's any
// more. While the API server is away that is tried again until it is done.
func (l *Launcher) Stop(ctx context.Context, id faas.InvocationID) error {
	name := callJob(id)
	l.mu.Lock()
	uid := l.launched[id]
	delete(l.launched, id)
	if job, there := l.viewedJob(name, ""); there && uid == "" {
		uid = job.UID
	}
	if uid != "" {
		l.stopped[uid] = l.o.Now()
	}
	l.undone[name] = uid
	l.mu.Unlock()
	if err := l.delete(ctx, name, uid); err != nil {
		return refusal(fmt.Sprintf("the runner of invocation %s is ended later", id), err)
	}
	l.forgetUndone(name)
	return nil
}

func (l *Launcher) forgetUndone(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.undone, name)
}

// runUndone deletes what could not be deleted when it was asked for.
func (l *Launcher) runUndone(ctx context.Context) {
	l.mu.Lock()
	undone := make(map[string]types.UID, len(l.undone))
	for name, uid := range l.undone {
		undone[name] = uid
	}
	l.mu.Unlock()
	for name, uid := range undone {
		if err := l.delete(ctx, name, uid); err != nil {
			if ctx.Err() == nil {
				l.log.Debug("delete a Job; trying again", "job", name, "error", err)
			}
			return
		}
		l.mu.Lock()
		if now, still := l.undone[name]; still && now == uid {
			delete(l.undone, name)
		}
		l.mu.Unlock()
	}
}

// Joined notes that a runner has dialled in.
func (l *Launcher) Joined(runner faas.RunnerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.joined[runner] = true
}

// Sandbox says in a few words what confines the commands of this launcher's runners.
func (l *Launcher) Sandbox() string { return podSandbox }

// Caveats says in sentences what functions ask for and this launcher does not enforce itself.
func (l *Launcher) Caveats() []string {
	return []string{
		"egress is enforced by the cluster's network: where nothing enforces NetworkPolicies, commands reach what their node reaches",
	}
}
