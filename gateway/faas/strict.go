package faas

import (
	"bytes"
	"encoding/json"
)

// decodeStrict decodes one JSON value and refuses unknown fields.
func decodeStrict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
