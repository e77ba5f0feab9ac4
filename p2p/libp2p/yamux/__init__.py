"""Yamux (github.com/hashicorp/yamux, spec.md): many streams over one connection.

Compatible on the wire with libp2p's own; ours because libp2p's does not enforce the receive
window (a peer can fill our memory), kills a writer after five seconds without credit, and takes
about thirty turns of the scheduler for a small request where this takes eight.

    frames      the 12-byte headers, without I/O
    stream      one stream: buffer, windows, half-closing
    connection  the tasks that read and write the socket
"""
