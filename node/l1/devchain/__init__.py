"""A small chain for development and tests that behaves like the existing L1, unless told otherwise.

The same HTTP API, hashes, fees and refusals, with one proposer, a block time one may set, and its
state in LevelDB. It is not a network and nobody validates its blocks: on a real network the node
talks to a real L1. Bottom up:

`profiles`  whose rules: the existing chain's, or an interface for stricter ones.
`config`    what makes a chain: genesis, rules of the network, proposer, faults on purpose.
`holdings`  deposits, escrows and bonds, and the root over them.
`state`     accounts, fees, rewards, the state root.
`escrows`, `bonds`  what moves held money; `held` picks the rule, `slots` is where it is tried.
`execution` what a transaction does to the state.
`mempool`   the pool, the queue of each account, and who is let in (`admission`).
`chain`     slots, and blocks made from state and transactions.
`records`   all of it on disk.
`receipts`, `events`  what may be asked about a transaction afterwards.
`node`      the above together, as one object without sockets.
`intake`    transactions as they come over HTTP.
`server`    the ASGI application, of `routes`, `views` and `heldviews`.
`run`       opens and serves it: `open_devchain(config)`.

Only `intake`, `routes` and `server` import a web framework, and only `run` a web server.
"""
