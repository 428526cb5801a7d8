package park

import (
	"net/http"
)

// of returns a handler that counts the running calls of h.
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

// end refuses further requests and waits for the running handlers.
func (v *handlers) end() {
	v.mu.Lock()
	v.over = true
	v.mu.Unlock()
	v.wg.Wait()
}
