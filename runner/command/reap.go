package command

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// NewHost returns a Host. The caller must close it.
func NewHost(o Options) (*Host, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open null device: %w", err)
	}
	session, err := unix.Getsid(0)
	if err != nil {
		_ = null.Close()
		return nil, fmt.Errorf("find own session: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Grace == 0 {
		o.Grace = Grace
	}
	h := &Host{
		memory: o.Memory, grace: o.Grace, now: o.Now, null: null, session: session,
		list: openChildList(), oom: openOOMCounter(),
		running: map[int]*Process{}, kept: map[int]uint64{},
	}
	h.buffers.New = func() any { return new([bufferBytes]byte) }
	return h, nil
}

// Reap reaps orphans that have ended by themselves. The caller should call it every second or so.
func (h *Host) Reap() {
	for _, pid := range h.orphans() {
		if st, ok := readStat(pid); ok && st.session != h.session && st.state == 'Z' {
			h.reap(pid)
		}
	}
}

// Close kills all orphans, also the service's. Run must have returned for every command.
func (h *Host) Close() error {
	h.mu.Lock()
	h.service, h.kept = nil, map[int]uint64{}
	h.mu.Unlock()
	h.clear(nil)
	return errors.Join(h.null.Close(), h.list.close(), h.oom.close())
}
