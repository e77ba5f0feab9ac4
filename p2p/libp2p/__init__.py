"""The network over libp2p: TCP, Noise, Yamux, gossipsub. The only folder that imports libp2p.

libp2p 0.8.1 is pinned, because we replace what a stranger could use against it and reach into a
few private names to do so. From the socket up:

    addresses   multiaddrs as text
    sockets     listening (without SO_REUSEPORT), dialling, a bounded handshake
    secure      Noise packets of a finished handshake
    yamux/      our own multiplexer: enforced windows, one write for many frames
    upgrade     from a socket to a multiplexed, authenticated connection
    hardening   what keeps one bad peer from ending anything but its own stream
    swarm       connections in and out, and nothing libp2p would do on its own account
    host        protocol negotiation, identify and ping
    gossip      gossipsub's wire: RPCs, queues, signatures
    pubsub      gossipsub's messages, checked before anything else happens to them
    mesh        gossipsub's router with bounds
    streams     streams of our own protocols, with deadlines
    requester, responder, bulk    the two protocols on them
    network     all of it behind `p2p.network.Network`

Importing this package takes about a second; import it where a network is opened.
"""
