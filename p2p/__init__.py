"""Peers, and how they talk: signed gossip, authenticated requests and bulk transfers.

Read `network.py` first: it is the protocol everything above this package is written against. It
has two implementations with one contract test: `memory*.py` (many nodes in one process, virtual
time, the weather of `weather.py`) and `libp2p/` (the real thing; no other folder imports libp2p).

The rules both share are plain synchronous modules:

    encoding      canonical bytes for everything that is signed
    identity      Ed25519 keys and the peer ids made from them
    messages      the registry of message types: type id, version, size bound
    envelope      the signed wrapper of a gossip message
    gatekeeper    what gossip is let in: envelope, replay, rate of its signer
    seen          what was heard already, and what contradicts it
    conduct       what every peer may do, and who is refused because they overdid it
    rates         token buckets and turnstiles
    requests      frames of multiplexed requests and responses
    transfer      headers, digest and acknowledgement of a bulk body
    limits        every bound and deadline, with its unit and default, and what happens at it
    errors        what can go wrong, one sentence each

and a few that need a clock and tasks but no network: `serving` (who answers what), `outstanding`
(who waits for an answer), `local` (a node's requests to itself), `presence` (who is connected),
`subscriptions` (who listens) and `redial` (who must be connected again).
"""
