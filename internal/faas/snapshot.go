package faas

import "errors"

// ErrEmpty is in the chain of an Unavailable error while the registry has lost its registrations and nobody has
// restored them from the object store. Nothing may be registered then: it would be lost, or would hide what is
// restored.
var ErrEmpty = errors.New("the registry is empty")

// Changes lists what happened to the registrations since a version.
type Changes struct {
	Version   int64          // to ask for the next changes with
	Full      bool           // the changes are no longer known: read a Snapshot
	Functions []FunctionName // made, changed or deleted
	Triggers  []TriggerName  // made, changed or deleted
}

// Snapshot holds all registrations.
type Snapshot struct {
	Version   int64
	Functions []*Function
	Revisions []*Revision // when read: the live ones; to restore: all
	Triggers  []*Trigger
	Deleted   map[FunctionName]RevisionNumber // the last number that a deleted function used
}
