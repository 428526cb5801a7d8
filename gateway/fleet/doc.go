// Package fleet decides how many standby and warm runners there are, starts them through a launcher, and drains those
// that are no longer needed. It also says when a new revision is ready: when its first runner has parked.
//
// Of several gateways one leads and decides for all; the others publish their demand to it. The leader works on every
// change and once a second. It does not start the runners of calls that need a runner of their own (package dispatch
// does) and it does not know of single calls: package dispatch reports them as demand. Start at Run.
package fleet
