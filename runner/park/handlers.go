package park

import (
	"net/http"
)

// of returns h, counted.
func (v *handlers) of(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		if v.over {
			v.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		v.wg.Add(1)
		v.mu.Unlock()
		defer v.wg.Done()
		h.ServeHTTP(w, r)
	})
}

// end lets no more in and waits for those that are there.
func (v *handlers) end() {
	v.mu.Lock()
	v.over = true
	v.mu.Unlock()
	v.wg.Wait()
}
