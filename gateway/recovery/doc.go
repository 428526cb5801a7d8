// Package recovery notices that a gateway or a runner has died, and does what must follow, so that every invocation
// ends once and nothing is left behind.
//
// Grace is how long a runner may be out of touch (20 s on this machine, 75 s on Kubernetes), Lease how long an accepted
// invocation waits for a gateway that died (10 s). A gateway counts as dead 3 s after its last heartbeat. The loop of
// this package ticks every second; it scans Redis every 15 s.
//
//	what was in flight                          who notices                          after               what follows
//	accepted; its gateway died                  any gateway: expired leases          Lease + 1 s; at     led here: claimed anew, or
//	                                            (adopt.go)                           once after a stop   attached to its runner
//	the same, bound to a runner that never      the loop, once that runner connects  1 s                 unbound, and claimed anew
//	got the whole of it                         and does not own it (silent.go)
//	not accepted, its runner connects here;     the runner's hello and events        3 s without news    adopted; settled if the
//	its gateway died                            (remote.go, adopt.go)                                    runner has reported the end
//	the same, final in Redis already            the same                             the same            the runner is acknowledged
//	not accepted, no runner; its gateway died   scan of open records (adopt.go)      3 s + 15 s          lost: runner_lost
//	not accepted, its runner is away;           the same scan                        15 s + Grace        adopted, then as the next row
//	its gateway died
//	committed, its runner's connections broke   the hub reports it; the loop         Grace               outcome.json, else the reported
//	                                            (silent.go)                                              outcome, else lost with the
//	                                                                                                     launcher's reason
//	the store is unavailable then               the loop (silent.go)                 Grace again         tried again
//	runner's process or pod ended               the launcher (dispatch/events.go)    at once             the same; a call that waits for
//	                                                                                                     that runner fails with the reason
//	connection broke after the commit           the call (dispatch/dispatch.go)      at once             attached again through any
//	                                                                                                     connection of the runner
//	kept runner out of touch                    the fleet (fleet/unresponsive.go)    Grace               ended
//	two gateways lead one invocation            message; scan; lost lease; refused   at once; 15 s;      the end that is in Redis stands
//	                                            Bind or Settle (handover.go)         Lease / 4
//	a job's runner whose invocation is over     two scans (orphan.go)                15 to 30 s          drained
//	permits of a dead gateway                   Redis: their lease                   Lease               free again
//	the leader of the fleet died                the others (fleet/leader.go)         5 s                 another gateway leads
//	multipart uploads nobody completes          sweep (uploads.go)                   50 min              aborted
//	builds of a dead gateway, a lost Redis      register's repair                    10 min; at once     built here; restored
//	Jobs and Secrets nobody needs               kube's sweep                         2 to 3 min          deleted
//	local processes of a killed gateway         the next gateway on that folder      its start           taken over
//	the runner itself: no gateway; refused;     the runner (runner/park)             2 min; 10 s;        ends
//	not acknowledged                                                                 10 min
package recovery
