"""The network over libp2p: TCP or WebSocket, Noise, Yamux, gossipsub.

This is the only folder that imports libp2p. libp2p 0.8.1 is pinned, because we replace what a
stranger could use against it and reach into a few private names to do so. From the socket up:

    addresses   multiaddrs as text
    sockets     the streams under a connection, with a bounded handshake
    websocket   WebSockets on the same TCP ports
    listening   ports, without SO_REUSEPORT
    dialling    connections to addresses of either kind
    secure      Noise packets of a finished handshake
    yamux/      our own multiplexer: enforced windows, one write for many frames
    upgrade     from a socket to a multiplexed, authenticated connection
    doorway     how many may come in from where
    hardening   what keeps one bad peer from ending anything but its own stream
    swarm       connections in and out, and nothing libp2p would do on its own account
    host        protocol negotiation and identify
    gossip      gossipsub's wire: RPCs, queues, signatures
    inflow      neighbours' gossip streams, paid for before they are decoded
    pubsub      gossipsub's messages, checked before anything else happens to them
    mesh        gossipsub's router with bounds
    streams     streams of our own protocols, with deadlines
    requester, responder, bulk, ping    the protocols on them
    network     all of it behind `p2p.network.Network`

Importing this package takes about a second; import it where a network is opened.
"""
