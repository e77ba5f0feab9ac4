"""The market's money: a ledger of who owns what, and the way in from and out to the L1.

Read the modules in this order:

`accounts`     the ledger's accounts.
`entries`      postings that sum to zero, and the digest by which an entry is known.
`ledger`       append-only entries, each cause once, with balances; `audit` derives it all again.
`bounds`       what an account may hold, and who may owe.
`parameters`   what a network fixes; `network` reads it from the network file.
`rewards`      the money of tasks: reserved, refunded, or divided by `node.split`; `maturing` keeps
               what waits.
`bonds`        what workers and validators stake on their results, and how they get it back.
`appeals`      the money of a dispute: the fee, the pay held, and who is paid from whose bond;
               `juries` what a jury is paid.
`transfer`     the back end: deposits, rewards, payouts, withdrawals. The parts it is made of:
`deposits`     what arrives on the L1 is credited to its sender.
`owed`         who waits to be paid, `terms` until when, `payouts` pays them, many entries in one
               TRANSFER, and `paydesk` is where payees ask.
`staking`      bonds as the API has them.
`withdrawals`  money out, to a customer's own address.
`feedesk`      where the operator gives for the chain's fees.
`unclaimed`    what belongs to nobody here yet, and `arriving`, what is not credited yet.
`outbox`       a payment between leaving its account and being in a confirmed block.
`credit`       what customers may owe, with the operator's money behind it.
`solvency`     whether the chain's balance covers what the books owe.
`public_audit` another market's payouts, checked against the entries that it shows;
               `public_rulings` what disputes may cost whom.
`late`         what stayed too long where it is, by `transfer_late` and `escrow_late`.
`interface`    what a market needs of its settlement, whether `transfer` or `escrow`.
`escrow`       the back end for a chain that holds the money. The parts it is made of:
`escrows`      what the books know of each task's escrow; `notices`, `withdrawn` what else is known.
`escrow_rewards` the money of tasks in escrows; `escrow_claims` whom an escrow is to pay.
`escrow_credit` credit out of the operator's deposit.
`escrow_openings` and `escrow_closings` have many opened, or paid, in one transaction.
`escrow_steps` what the market asks the chain about an escrow by itself; `escrow_withdrawals` the
               same of withdrawals, `escrow_outbox` what becomes of what the chain never does.
`dispute`      what the books know of a dispute about an escrow; `escrow_disputes` what market and
               jury say of it, `dispute_steps` what the market asks the chain.
`chainbook`    what confirmed blocks did, booked: `chaindeposits`, `chainescrows`, `chaindisputes`,
               `chainbonds`; `chaintxs` what a transaction says, `chainterms` the chain's terms.
`escrow_audit` what the chain holds, to be compared with the books.
`backend`      which of the two the books are for.
`errors`       what can go wrong beyond the node's own errors.

Rules are synchronous and take the time as an argument. Everything is staged into a batch of the
caller's, so that money moves together with whatever it moves for, or not at all.
"""
