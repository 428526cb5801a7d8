package gateway

import (
	"davit/gateway/dispatch"
	"davit/gateway/fleet"
	"davit/gateway/hub"
	"davit/gateway/meter"
	"davit/gateway/observer"
	"davit/gateway/records"
	"davit/gateway/recovery"
	"davit/gateway/register"
)

// parts are the gateway's, in the order in which they are made.
type parts struct {
	meter    *meter.Meter
	catalog  *register.Catalog
	hub      *hub.Hub
	peers    *peers
	runners  *runners
	fleet    *fleet.Fleet
	calls    *dispatch.Dispatcher
	recovery *recovery.Recoverer
	records  *records.Reader
	registry *register.Service
	observer *observer.Observer
	wanted   wanted
}
