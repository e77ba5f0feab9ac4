"""Building a node's objects from opened parts: the same for a real node and a simulated one.

`parts`      what a node is built from, and what comes out.
`whole`      all roles of one node.
`worker`     what computes.
`validator`  what orchestrates, checks, and sits on juries.
`market`     what sells tasks, whatever holds the money; `backends` what only one of them needs.
"""

from node.assembly.parts import Assembly, Parts, Settled
from node.assembly.whole import assemble

__all__ = ["Assembly", "Parts", "Settled", "assemble"]
