"""Building a node: the same for a real one and a simulated one."""

from gpu.workloads import WORKLOADS
from node import waiting
from node.addressbook import AddressBook
from node.assembly.market import add_market
from node.assembly.parts import Assembly, Parts, Settled
from node.assembly.validator import add_validator
from node.assembly.worker import add_worker, own_results
from node.chainwatch import ChainWatch
from node.directory import Directory
from node.info import NodeInfo
from node.keys import bind
from node.l1.sender import Sender
from node.market.overdue import shortened
from node.roles.outputs import OutputShelf
from node.roles.overdue import late_results
from node.roles.presence import PresenceRole
from node.roles.reunion import ReunionRole
from node.roles.submitter import Submitter
from node.roles.wishes import WishTeller
from node.verification.author import Author
from node.wire.presence import Presence

PRESENCE_LIVES = 3.5
"""Presence intervals after which a silent peer is not drawn or leased to any more."""


def assemble(parts: Parts) -> Assembly:
    """Build the objects of all roles in `parts.config`."""
    config, protocol = parts.config, parts.config.network.protocol
    author = _author(parts)
    chain = ChainWatch(parts.l1)
    lifetime_s = protocol.presence_interval_s * PRESENCE_LIVES
    directory = Directory(author.chain_id, parts.now_ms, lifetime_s)
    info = NodeInfo(
        author, config.node.roles, directory, chain, parts.now_ms, parts.db, parts.network
    )
    assembly = Assembly(info=info, directory=directory, runs=[chain.run])
    _state_needs(parts, info, directory, chain)
    shelf = OutputShelf(parts.network, parts.artifacts, parts.offload)
    shelf.serve()
    presence = PresenceRole(
        parts.network, directory, _presence(parts, author), protocol.presence_interval_s
    )
    sender = Sender(parts.keys.account, parts.db, parts.l1, confirmations=protocol.l1_confirmations)
    settled = Settled()
    if "worker" in config.node.roles:
        add_worker(parts, assembly, author)
        if config.network.network.proofs_on_chain:
            settled.add(own_results(parts, author, sender))
    if {"market", "validator"} & set(config.node.roles):
        submitter = _submitter(parts, author, sender)
        settled.add(submitter)
        assembly.runs.append(submitter.run)
        assembly.info.watch(
            lambda: tuple(shortened(late_results(submitter.under_way(), sender, chain)))
        )
        if "validator" in config.node.roles:
            add_validator(parts, assembly, author, shelf, submitter)
        if "market" in config.node.roles:
            settled.add(add_market(parts, assembly, chain, shelf, sender, submitter))
    sender.on_confirmed, sender.on_lost = settled.confirmed, settled.lost
    if settled.owners:
        assembly.info.add(
            dict, lambda: (f"transactions wait: {sender.blocked}",) if sender.blocked else ()
        )
        assembly.runs.append(sender.run)
    if {"worker", "validator"} & set(config.node.roles) and config.payout.threshold:
        _add_teller(parts, assembly, author)
    reunion = ReunionRole(parts.network, directory, AddressBook(parts.db, parts.now_ms))
    assembly.runs += [presence.run, reunion.run]
    return assembly


def _state_needs(parts: Parts, info: NodeInfo, directory: Directory, chain: ChainWatch) -> None:
    """What the node cannot do its work without."""
    roles, needed = parts.config.node.roles, parts.config.network.protocol.quorum_needed
    info.require(lambda: waiting.storage_obstacle(parts.scratch))
    if {"market", "validator"} & set(roles):
        info.require(lambda: waiting.l1_obstacle(chain.height, chain.silent_s))
    info.require(lambda: waiting.peer_obstacles(roles, directory.count, needed))


def _author(parts: Parts) -> Author:
    keys, chain_id = parts.keys, parts.config.network.network.chain_id
    return Author(
        identity=keys.identity,
        binding=bind(keys.identity, keys.account, chain_id),
        address=keys.account.address,
        chain_id=chain_id,
    )


def _presence(parts: Parts, author: Author) -> Presence:
    return Presence(
        binding=author.binding,
        roles=parts.config.node.roles,
        kinds=tuple(WORKLOADS),
        addresses=parts.network.addresses,
        slots=len(parts.places),
    )


def _submitter(parts: Parts, author: Author, sender: Sender) -> Submitter:
    """Puts results on the chain: a validator its own, a market those that nobody else did."""
    return Submitter(
        network=parts.network,
        db=parts.db,
        author=author,
        config=parts.config.network,
        sender=sender,
        now_ms=parts.now_ms,
    )


def _add_teller(parts: Parts, assembly: Assembly, author: Author) -> None:
    teller = WishTeller(
        network=parts.network,
        directory=assembly.directory,
        identity=author.identity,
        chain_id=author.chain_id,
        threshold=parts.config.payout.threshold,
        now_ms=parts.now_ms,
    )
    assembly.info.add(dict, teller.waits)
    assembly.runs.append(teller.run)
