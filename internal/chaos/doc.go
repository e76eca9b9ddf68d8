// Package chaos tests Seri as a whole while everything around it fails. All of it is in test files; docs/chaos.md says how
// to run it, how to repeat a run, and what was measured last.
//
//	                         one test binary, which runs itself again in other roles
//	┌──────────────────────────────────────────────────────────────────────────────────────────────────┐
//	│  producer ──▶ proxy ─┐                                      ┌─ proxy ◀── worker ──▶ register       │
//	│  beat     ──▶ proxy ─┼──▶ redis-server (alone, replicated, ◀┼─ proxy ◀── worker                    │
//	│  locker   ──▶ proxy ─┘    under Sentinel, as a Cluster)     └─ proxy ◀── api ◀── watchers          │
//	│     │                        ▲            ▲                               │                       │
//	│     ▼                        │            │                               ▼                       │
//	│  ledger (each process        nemesis: a plan of faults       ledger       ledger                  │
//	│  its own, append only)       made from a seed                                                     │
//	└──────────────────────────────────────────────────────────────────────────────────────────────────┘
//	   after heal and drain: ledgers + all event streams + a scan of all keys ──▶ the invariants I1–I14
//
// # The parts
//
//   - A scenario (scenario_test.go) says which processes run on which Redis, for how long, and which faults come how often.
//   - A process (roles_test.go and the files of the roles) uses Seri's public packages only, and notes in its ledger
//     (ledger_test.go) what it is about to do and what it was told.
//   - The nemesis (nemesis_test.go) makes a plan of faults from a seed and carries it out (faults_*_test.go). A seed repeats
//     the plan, not the interleaving of processes.
//   - The register (register_test.go) is a resource outside of Redis that handlers write to, with the fencing token.
//   - The history (history_test.go) is what the ledgers, the streams and the keys tell together. Each invariant
//     (invariants_*_test.go) is a function from a history to what is wrong with it.
//   - Floors (scenario_test.go): a run in which too little went wrong shows nothing, and so fails.
//   - Mutants (mutants_test.go) are Seri with one safeguard removed. The suite must find each of them out.
//
// Package model beside this one searches every interleaving of a small model of the lease protocol. It needs neither Redis
// nor luck, and runs with the ordinary tests.
package chaos
