package faas

import "time"

// SecretName is chosen by a user: the name of the variable that functions have the value in, or, of a login for a
// registry, a DNS label of at most 63 characters.
type SecretName string

// MaxSecretBytes is the most that a secret's value may have: what fits into a variable.
const MaxSecretBytes = 64 << 10

// Secret is what users read of one: never its value.
type Secret struct {
	Name      SecretName `json:"name"`
	UpdatedAt time.Time  `json:"updated_at"`
}

// Check returns "" for a good name, else what is wrong with it and how to mend it.
func (n SecretName) Check() string {
	if checkLabel(string(n), MaxTriggerName) == "" {
		return ""
	}
	return CheckEnvName(string(n))
}
