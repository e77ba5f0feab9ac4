"""The existing L1 chain, as its client sees it, and a development chain that behaves alike.

Read the modules in this order:

`keys`          secp256k1 accounts and their `cpc1…` addresses (`bech32`, `ripemd`).
`canonical`     the JSON forms that are hashed, and how the chain reads loose integers.
`transactions`  a transaction, its hash and signature, builders with an exact fee.
`escrow`        transactions about money that a chain holds: deposits, escrows, bonds.
`blocks`        headers, Merkle roots, and the checks that make a block worth believing.
`client`        the HTTP RPC: an answer, or a typed error.
`sender`        one account's transactions in order, kept until a block holds them (`outbound`).
`follower`      every confirmed block, delivered exactly once (`patience`: when the L1 is away).
`devchain`      the development chain; nothing outside that folder imports a web framework.
`errors`        what can go wrong, as one tree.
"""
