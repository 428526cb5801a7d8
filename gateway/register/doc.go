// Package register is the use case source → revision → live, and the catalog of
// what is live.
//
// A registration is written to the store first, which is the truth, and then to
// the registry, which is what gateways serve; a deletion leaves a tombstone first,
// so that neither comes back. A Service changes registrations, builds revisions
// and rebuilds a registry that lost them; a Catalog holds what is served in
// memory, for readers that never wait. Neither knows HTTP, Redis or how a source
// becomes something that runs.
//
// Start at Service.PutSource and at Catalog.Run.
package register
