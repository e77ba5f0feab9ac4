"""The roles of a node: they carry messages between peers and the rules, and decide nothing.

`presence` every node has.

A market leases tasks (`lessor`), publishes whom it draws from (`publishing`) and takes results
(`market`); where the chain holds the money it collects the signatures that release it
(`approvals`, and `bundling` for many tasks at once), which validators give (`releaser`, of what
`decisions` remembers) and then look whether the chain has released it (`unclosed`). For disputes it
asks the seats of a jury (`appeals`, `summons`), in which validators are `juror`s. Besides, a
validator is three things: `orchestrator` has the jobs of the tasks leased to it done, `submitter`
puts their results on the L1, `checker` sits in quorums; it acts on draws that pass `admission`, by
the `snapshots` that it knows, and examines steps (`examiner`) or proofs (`proofcheck`). A `worker`
computes, proves where that is asked for, and opens what it committed to.
"""
