"""tmnode: a node of a market of GPU tasks.

The tour, top down. `cli` parses a command line and starts `app`, the only place that builds and
wires objects. `app` opens the store, the network and the L1 client, hands them to the `roles`
(market, validator, worker) and opens the `api` above them. Roles carry messages; what they may do
is decided by the synchronous rules in `market`, `verification` and `settlement`, which know
neither sockets nor clocks. `l1` speaks to the chain, `sandbox` runs the work in a child process.

Imports point down: `cli → app → {roles, api} → {market, verification, settlement} → {l1, records}`.
"""

__version__ = "0.1.0"
