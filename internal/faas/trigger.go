package faas

import "time"

// ArgumentStyle says how a call's fields and files become arguments.
type ArgumentStyle string

// The argument styles.
const (
	Placeholders ArgumentStyle = "placeholders"
	Counted      ArgumentStyle = "counted"
)

// Response says in what form a trigger answers.
type Response string

// The forms of a result.
const (
	ResponseZip  Response = "zip"
	ResponseFile Response = "file"
	ResponseAuto Response = "auto"
)

// Access says who may call a trigger.
type Access string

// The choices of Access.
const (
	AccessPublic Access = "public"
	AccessToken  Access = "token"
)

// OnDisconnect says what a caller's hang-up does to the invocation.
type OnDisconnect string

// The choices of OnDisconnect.
const (
	DisconnectContinue OnDisconnect = "continue"
	DisconnectCancel   OnDisconnect = "cancel"
)

// Field is an input that a trigger declares.
type Field struct {
	Name        string    `json:"name"`
	Kind        FieldKind `json:"kind"`
	Required    bool      `json:"required,omitempty"`
	Description string    `json:"description,omitempty"`
	Accept      string    `json:"accept,omitempty"` // file: as in an HTML form, e.g. "image/*,.pdf"
	Default     *string   `json:"default,omitempty"`
}

// FieldKind is what a declared field holds.
type FieldKind string

// The kinds of fields.
const (
	FieldText   FieldKind = "text"
	FieldNumber FieldKind = "number"
	FieldFile   FieldKind = "file"
	FieldJSON   FieldKind = "json"
)

// TriggerSpec is what a user registers. The zero value of a field means its default; Complete fills it in.
type TriggerSpec struct {
	Function      FunctionName  `json:"function"`
	Methods       []string      `json:"methods"`
	Path          string        `json:"path"`
	Command       Command       `json:"command,omitempty"`
	ArgumentStyle ArgumentStyle `json:"argument_style,omitempty"`
	Results       []string      `json:"results,omitempty"`
	Response      Response      `json:"response,omitempty"`
	Fields        []Field       `json:"fields,omitempty"`
	Mode          Mode          `json:"mode,omitempty"`
	Timeout       Duration      `json:"timeout,omitzero"`
	Wait          *Duration     `json:"wait,omitempty"`
	MaxBody       Bytes         `json:"max_body,omitempty"`
	Access        Access        `json:"access,omitempty"`
	OnDisconnect  OnDisconnect  `json:"on_disconnect,omitempty"`
	Keep          Keep          `json:"keep,omitempty"`
	Retention     Duration      `json:"retention,omitzero"`
}

// Trigger turns an HTTP request into an invocation of a function.
type Trigger struct {
	Name TriggerName `json:"name"`
	TriggerSpec
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}
