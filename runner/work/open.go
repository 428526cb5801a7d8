package work

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"davit/internal/faas"
	"davit/internal/task"
	"davit/runner/argv"
	"davit/runner/command"
	"davit/runner/result"
	"davit/runner/transfer"
	"davit/runner/workspace"
)

// New creates the folders below launch.Dir and starts the start process, if there is one. Take may be called at once:
// its calls wait until the start process is ready.
func New(launch task.Launch, o Options) (*Worker, error) {
	w := &Worker{
		launch: launch, log: o.Log, now: o.Now, zipper: result.NewZipper(), backlog: newBacklog(o.Backlog),
		base: argv.Base(launch.Env, o.Path), limit: argv.Limit(), common: workspace.NewCommon(launch.Common),
		calls: map[faas.InvocationID]*Call{}, done: make(chan struct{}),
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.now == nil {
		w.now = time.Now
	}
	w.uploader = newUploader(&o, w.log, w.now)
	w.life, w.end = context.WithCancel(context.Background())
	if err := w.open(o); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	w.starter.begin()
	w.tasks.Go(w.reapAndReport)
	if age := launch.MaxAge.Std(); age > 0 {
		w.tasks.Go(func() { w.drainAfter(age) })
	}
	return w, nil
}

func newUploader(o *Options, log *slog.Logger, now func() time.Time) *uploader {
	u := &uploader{
		client: &transfer.Client{HTTP: o.HTTP}, parts: o.Parts, onePut: cmp.Or(o.OnePut, onePutBytes),
		log: log, now: now, active: make(chan struct{}, uploadsAtOnce),
	}
	if o.HTTP == nil {
		u.client = transfer.New()
	}
	return u
}

// open creates the folders, the workspaces and the host.
func (w *Worker) open(o Options) (err error) {
	dir, err := filepath.Abs(w.launch.Dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return fmt.Errorf("open worker: %w", err)
	}
	w.launch.Dir = dir
	w.scratch, w.shared = filepath.Join(dir, "scratch"), filepath.Join(dir, "shared")
	for _, made := range []string{w.scratch, w.shared, filepath.Join(dir, "slots")} {
		if err := os.MkdirAll(made, 0o700); err != nil {
			return fmt.Errorf("open worker: %w", err)
		}
	}
	if w.source, err = workspace.OpenSource(w.launch.SourceDir); err != nil {
		return fmt.Errorf("open worker: %w", err)
	}
	if w.host, err = command.NewHost(command.Options{Memory: int64(w.launch.Memory), Grace: o.Grace, Now: w.now}); err != nil {
		return fmt.Errorf("open worker: %w", err)
	}
	for i := range max(w.launch.Slots, 1) {
		s, err := w.newSlot(filepath.Join(dir, "slots", fmt.Sprint(i)))
		if err != nil {
			return err
		}
		w.slots = append(w.slots, s)
	}
	return w.newStarter()
}

func (w *Worker) newSlot(dir string) (*slot, error) {
	ws, err := workspace.New(dir, w.source)
	if err != nil {
		return nil, fmt.Errorf("open worker: %w", err)
	}
	paths := argv.Paths{Home: ws.Home(), Temp: ws.Temp(), Shared: w.shared, Request: ws.Request()}
	return &slot{ws: ws, variables: paths.Variables()}, nil
}

func (w *Worker) drainAfter(age time.Duration) {
	timer := time.NewTimer(age)
	defer timer.Stop()
	select {
	case <-timer.C:
		w.Drain("it has reached its max_age")
	case <-w.life.Done():
	}
}

// reapAndReport reaps orphans that ended, and publishes the free slots every slotsEvery.
func (w *Worker) reapAndReport() {
	reap, report := time.NewTicker(reapEvery), time.NewTicker(slotsEvery)
	defer reap.Stop()
	defer report.Stop()
	for {
		select {
		case <-reap.C:
			w.host.Reap()
		case <-report.C:
			w.publish(task.Event{Kind: task.EventSlots})
		case <-w.life.Done():
			return
		}
	}
}
