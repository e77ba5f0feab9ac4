"""The roles of a node: they carry messages between peers and the rules, and decide nothing.

`presence` every node has. `market` leases tasks and takes results. A validator is two things:
`orchestrator` runs the attempts of the tasks leased to it and `submitter` puts their results on
the L1, `checker` sits in quorums. `worker` computes.
"""
