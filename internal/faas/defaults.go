package faas

// Defaults are the defaults that an installation sets.
type Defaults struct {
	BaseImage string // of functions that are built from a source; "" where none is used
}

// DefaultUID is the uid that commands run as unless the function says otherwise.
const DefaultUID RunAs = "65532"

// The choices of FunctionSpec.Egress.
const (
	EgressNone     = "none"
	EgressInternet = "internet"
)

// The choices of RunAs that are no uid.
const (
	RunAsRoot  RunAs = "root"
	RunAsImage RunAs = "image"
)
