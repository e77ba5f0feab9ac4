"""The messages of the protocol: what crosses the network between roles, with sizes bounded.

`presence` tells who is there and `snapshots` who can be drawn (gossip), `leases` pass between a
market and an orchestrator, `jobs` between an orchestrator and its workers, `checks` between an
orchestrator and the other validators, `appeals` between a market and a jury, `approvals` between a
market and the validators that may release a reward which the chain holds.
"""
