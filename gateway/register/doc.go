// Package register registers functions and triggers, builds revisions from sources, and keeps the catalog of what is live.
//
// The object store holds the truth; the registry, from which all gateways serve, is derived from it. A registration is written
// to the store first and then to the registry. A deletion writes a tombstone to the store first, so that neither store nor
// registry brings the deleted thing back. A Service changes registrations, builds revisions and restores a registry that lost
// its contents. A Catalog holds the served registrations in memory, for readers that never wait. The package knows neither HTTP
// nor Redis, nor how a builder turns a source into something that runs.
//
// Start at Service.PutSource and at Catalog.Run.
package register
