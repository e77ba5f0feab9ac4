"""Every bound and deadline of the package, and what happens at it.

Sizes are bytes, times seconds, rates per second. The defaults suit a node with two cores and a
few hundred peers; whoever opens a network may pass others.

What a full queue does is one of these:

    waits           publishing, our own requests, streams and transfers; writing to a stream
    drops newest    a subscriber's queue, a neighbour's queue, events, recent messages: counted
    forgets oldest  replay cache (and lets nothing as old in), ids seen, signers, refused peers
    refuses         a request or transfer too many (`busy`), a stream too many (reset), a
                    connection or handshake too many (closed), a signer over its rate (dropped)
    drops unread    gossip over the budget of an IP address
    cuts off        a peer over a budget of its own (gossip, requests, streams, frames, unread
                    bytes), and a signer of too much

We hold ourselves to the budgets that we hold others to, and wait; so only who means it is cut off.
"""

import msgspec

KIB = 1024
MIB = 1024 * KIB


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds one node holds its peers, and itself, to."""

    # requests
    max_frame_bytes: int = 8 * MIB
    """Largest request or response; a longer announced length ends the stream unread."""
    requests_per_peer: int = 256
    """Requests of one peer served at a time; one more is refused as `busy`."""
    request_rate_per_s: float = 2000.0
    request_burst: float = 4000.0
    """Requests of one peer, 64 KiB of one counting as another; over it the peer is cut off. Our
    own wait to stay within."""
    frame_timeout_s: float = 20.0
    """From the first byte of a frame to its last; a slower peer loses its stream."""
    handler_timeout_s: float = 120.0
    """How long a handler may take before its request is refused as `timeout`."""
    stream_open_timeout_s: float = 5.0
    """Opening a stream on a live connection."""

    # bulk transfers
    bulk_streams_per_peer: int = 64
    """Transfers at a time with one peer, in each direction; more of our own wait their turn."""
    bulk_argument_bytes: int = 64 * KIB
    """Largest header of a transfer: its name and argument."""
    bulk_idle_timeout_s: float = 20.0
    """Longest pause of a body, its header or its acknowledgement."""

    # gossip
    max_gossip_bytes: int = 64 * KIB
    """Largest message on a topic, envelope included; bigger things are announced by digest."""
    subscription_queue: int = 4096
    """Messages waiting for one subscriber; when full the newest is dropped and counted."""
    gossip_out_queue: int = 2048
    """Messages waiting for one neighbour; when full the newest is dropped and counted."""
    signer_rate_per_s: float = 100.0
    signer_burst: float = 400.0
    """Messages of one signer let in, steadily and at once."""
    signed_per_s: float = 250.0
    """Messages that one signer may have signed within a second, by the times in them; over it the
    signer is cut off. `publish` waits to stay within both."""
    signers_tracked: int = 8192
    """Signers whose rate is remembered; the one longest silent is forgotten first."""
    neighbour_rate_per_s: float = 400.0
    neighbour_burst: float = 500.0
    """Messages of one directly connected peer, whoever signed them, 4 KiB of one counting as
    another; counted before they are decoded. Over it the peer is cut off. What we send waits to
    stay within."""
    neighbours_per_address: float = 3.0
    """As many times that is looked at from one IP address; more is dropped unread."""
    envelope_lifetime_s: float = 60.0
    """How long our own gossip may travel before it is stale."""
    envelope_max_lifetime_s: float = 120.0
    """Longest lifetime accepted from others."""
    clock_skew_s: float = 10.0
    """How far a peer's clock may be ahead of ours, or behind."""
    replays_remembered: int = 65_536
    """Envelopes remembered until they expire; beyond it what was issued first is forgotten, and
    nothing as old is let in any more."""

    # connections
    max_connections: int = 256
    inbound_connections: int = 192
    """Of these, how many others may have opened: the rest is kept for those we want."""
    inbound_per_address: int = 96
    """The same, from one IP address (of IPv6, one /64)."""
    inbound_per_prefix: int = 128
    """The same, from one /24 of IPv4 or /48 of IPv6."""
    handshakes: int = 256
    """Inbound connections that have not proved who they are, together."""
    handshakes_per_address: int = 128
    """The same, from one IP address (of IPv6, one /64)."""
    handshake_rate_per_s: float = 10.0
    handshake_burst: float = 256.0
    """Connections of one IP address that may begin a handshake; others are closed at once."""
    handshake_timeout_s: float = 10.0
    dial_timeout_s: float = 10.0
    redial_min_s: float = 0.2
    redial_max_s: float = 5.0
    """Back-off of a wanted address: first pause, doubled up to the last."""
    wanted_peers: int = 1024
    """Peers that are redialled for as long as they are wanted."""
    keepalive_s: float = 15.0
    """Pause between pings of a connection; three without any byte in return end it."""
    write_timeout_s: float = 30.0
    """Longest time in which a connection takes none of what we write."""
    event_queue: int = 4096
    """Connection events waiting for one listener; when full the newest is dropped and counted."""

    # streams and frames of one connected peer; over these it is cut off
    stream_rate_per_s: float = 100.0
    stream_burst: float = 400.0
    """Streams it opens. Our own wait to stay within."""
    frame_rate_per_s: float = 20_000.0
    frame_burst: float = 40_000.0
    """Yamux frames it sends, whatever for."""
    max_unread_bytes: int = 2 * MIB
    """What it has sent on streams that it opened and we have not read."""

    # bad conduct
    fault_rate_per_s: float = 1.0
    fault_burst: float = 64.0
    """Forgeries and breaches of protocol that are put up with."""
    refusal_s: float = 60.0
    """How long a peer that was cut off is refused, and what it signs."""
    refusals_remembered: int = 4096
    """Peers that are refused; beyond it the one refused first is forgotten."""
