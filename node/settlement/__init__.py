"""The market's money: a ledger of who owns what, and the way in from and out to the L1.

Read the modules in this order:

`accounts`     the ledger's accounts.
`entries`      postings that sum to zero, and the digest by which an entry is known.
`ledger`       append-only entries, each cause once, with balances; `audit` derives it all again.
`split`        how a reward is divided.
`parameters`   what a network fixes; `network` reads it from the network file.
`rewards`      the money of tasks: reserved, refunded, or divided; `maturing` keeps what waits.
`bonds`        what workers and validators stake on their results, and how they get it back.
`appeals`      the money of a dispute: the fee, the pay held, and who is paid from whose bond.
`transfer`     the back end: deposits, rewards, payouts, withdrawals. The parts it is made of:
`deposits`     what arrives on the L1 is credited to its sender.
`owed`         who waits to be paid, `payouts` pays them, many entries in one TRANSFER.
`staking`      bonds as the API has them.
`withdrawals`  money out, to a customer's own address.
`outbox`       a payment between leaving its account and being in a confirmed block.
`solvency`     whether the chain's balance covers what the books owe.
`public_audit` another market's payouts, checked against the entries that it shows.
`errors`       what can go wrong beyond the node's own errors.

Rules are synchronous and take the time as an argument. Everything is staged into a batch of the
caller's, so that money moves together with whatever it moves for, or not at all.
"""
