package faas

// Kind sorts errors by what the caller can do about them. The list is closed; one table at the HTTP edge turns a kind
// into a status.
type Kind string

// The kinds of errors.
const (
	Invalid          Kind = "invalid"            // the request cannot be read as what it should be
	NotAllowed       Kind = "not_allowed"        // well formed, but a field's value is not allowed
	Unauthorized     Kind = "unauthorized"       // no or wrong credentials
	Forbidden        Kind = "forbidden"          // a request that a page of another origin made
	NotFound         Kind = "not_found"          // there is none of that name, for this caller
	MethodNotAllowed Kind = "method_not_allowed" // the path is known, the method is not
	Conflict         Kind = "conflict"           // clashes with something that exists
	Gone             Kind = "gone"               // existed, and has expired
	TooLarge         Kind = "too_large"          // more bytes than the limit
	Limited          Kind = "limited"            // over a limit; try again later
	BuildFailed      Kind = "build_failed"       // the revision could not be built, or gets no runner ready
	FunctionFailed   Kind = "function_failed"    // the user's command failed
	TimedOut         Kind = "timed_out"          // the command ran longer than its timeout
	Cancelled        Kind = "cancelled"          // somebody cancelled the invocation
	Unavailable      Kind = "unavailable"        // a part of Davit is unavailable; try again
	Internal         Kind = "internal"           // a fault of Davit's own
)
