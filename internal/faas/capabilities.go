package faas

// Capabilities are what an installation can do beyond running uploaded sources as they are. The zero value is the
// embedded default without a cluster.
type Capabilities struct {
	Images       bool   `json:"images"`        // image; with Secrets, registry_secret
	Builds       bool   `json:"builds"`        // base_image, setup
	Secrets      bool   `json:"secrets"`       // secrets
	Root         bool   `json:"run_as"`        // run_as other than DefaultUID
	WritableRoot bool   `json:"writable_root"` // writable_root
	Egress       bool   `json:"egress"`        // egress "internet"
	GPU          bool   `json:"gpu"`           // resources.gpu
	Why          string `json:"-"`             // ends the refusal of what cannot be done, e.g. "it needs a cluster, and this installation runs functions as local processes"
}
