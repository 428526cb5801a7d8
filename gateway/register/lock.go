package register

import (
	"context"
	"sync"
	"time"

	"davit/internal/faas"
)

// nameLocks has a mutex for each function and trigger, so that on this gateway one change of a name runs at a time.
type nameLocks struct {
	mu     sync.Mutex
	byName map[string]*nameLock
}

type nameLock struct {
	mu    sync.Mutex
	users int // goroutines that hold the mutex or wait for it
}

func (l *nameLocks) function(name faas.FunctionName) (unlock func()) {
	return l.lock("f/" + string(name))
}

func (l *nameLocks) trigger(name faas.TriggerName) (unlock func()) {
	return l.lock("t/" + string(name))
}

func (l *nameLocks) lock(name string) (unlock func()) {
	l.mu.Lock()
	if l.byName == nil {
		l.byName = map[string]*nameLock{}
	}
	one := l.byName[name]
	if one == nil {
		one = &nameLock{}
		l.byName[name] = one
	}
	one.users++
	l.mu.Unlock()
	one.mu.Lock()
	return func() {
		one.mu.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(l.byName, name)
		}
	}
}

// writeMost is how long a change may take that must not stop halfway.
const writeMost = time.Minute

// unstoppable returns a context for a change that must not stop halfway when its caller hangs up.
func unstoppable(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), writeMost)
}
