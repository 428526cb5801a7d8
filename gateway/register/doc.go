// Package register registers functions and triggers, builds revisions from sources, and keeps the catalog of live
// revisions.
//
// The object store is authoritative; the registry, from which all gateways serve, is derived from it. A registration is
// written to the store first and then to the registry. A deletion writes a tombstone to the store first, so that a
// repair does not restore the deleted registration. A Service changes registrations, builds revisions and restores a
// registry that lost its contents. A Catalog keeps the served registrations in memory, for readers that never wait. The
// package depends on neither HTTP nor Redis, nor on how a builder builds a source.
//
// Start at Service.PutSource and at Catalog.Run.
package register
