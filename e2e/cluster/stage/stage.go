// Package stage prints the progress of long work: how far a long stage is, and how long each stage took. Stages may run
// at the same time.
//
// It decides nothing and keeps nothing; start at [Log.Run].
package stage

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// patience is the time before the first line about a running stage, and between two such lines.
const patience = 5 * time.Second

// Log prints stages, a line at a time. The zero value prints nothing.
type Log struct {
	mu     sync.Mutex
	out    io.Writer
	prefix string
}

// New returns a log that writes lines that begin with the prefix.
func New(out io.Writer, prefix string) *Log {
	return &Log{out: out, prefix: prefix}
}

// Say prints one line.
func (l *Log) Say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out == nil {
		return
	}
	// Ignored, because the work must go on without the line.
	_, _ = fmt.Fprintf(l.out, l.prefix+": "+format+"\n", args...)
}

// Run calls do and prints how long it took. Meanwhile it prints the last report every few seconds. report may be called
// from any goroutine.
func (l *Log) Run(name string, do func(report func(string)) error) error {
	began := time.Now()
	var last progress
	done := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() { l.tick(name, began, &last, done) })
	err := do(last.set)
	close(done)
	ticking.Wait()
	took := time.Since(began).Round(10 * time.Millisecond)
	if err != nil {
		l.Say("%s: gave up after %v", name, took)
		return fmt.Errorf("%s: %w", name, err)
	}
	l.Say("%s: %v", name, took)
	return nil
}

func (l *Log) tick(name string, began time.Time, last *progress, done <-chan struct{}) {
	ticker := time.NewTicker(patience)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			l.Say("%s … %v%s", name, time.Since(began).Round(time.Second), last.get())
		}
	}
}

// progress is a stage's last report.
type progress struct {
	mu   sync.Mutex
	line string
}

func (p *progress) set(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line = line
}

func (p *progress) get() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line == "" {
		return ""
	}
	return " " + p.line
}
