"""Building a node's objects from opened parts: the same for a real node and a simulated one."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from gpu.cpu import CpuBackend
from gpu.workloads import WORKLOADS
from node import waiting
from node.addressbook import AddressBook
from node.chainwatch import ChainWatch
from node.config import Config
from node.directory import Directory
from node.info import NodeInfo, money_waits, queue_waits, validator_waits
from node.keys import NodeKeys, bind
from node.l1.client import MarketClient
from node.l1.follower import Follower
from node.l1.sender import OutboundRecord, Sender
from node.market.appeals import AppealDesk
from node.market.board import TaskBoard
from node.market.changes import ChangeLog
from node.market.desk import Desk, NoAppeals
from node.market.lifecycle import Lifecycle
from node.market.overdue import MarketOverdue, shortened
from node.market.progress import JobProgressBook
from node.market.service import MarketService
from node.market.snapshots import SnapshotLog
from node.market.views import Market
from node.offload import Offload
from node.roles.acceptance import Acceptance, Electorate
from node.roles.admission import DrawGate, SeatGate
from node.roles.appeals import AppealRole
from node.roles.approvals import ApprovalRole
from node.roles.checker import Checker
from node.roles.examiner import Examiner
from node.roles.handover import Handover
from node.roles.juror import Juror, JuryGate
from node.roles.lessor import Lessor
from node.roles.market import MarketRole
from node.roles.orchestrator import Orchestrator
from node.roles.outputs import OutputShelf
from node.roles.overdue import late_attempts, late_leases, late_results
from node.roles.overturned import OverturnedWatch
from node.roles.ownresults import OwnResults
from node.roles.presence import PresenceRole
from node.roles.publishing import SnapshotRole
from node.roles.reexecution import Reexecution
from node.roles.releaser import Releaser
from node.roles.rescue import Rescue
from node.roles.reunion import ReunionRole
from node.roles.snapshotfeed import SnapshotFeed
from node.roles.snapshots import SnapshotBook
from node.roles.standings import StandingBook
from node.roles.submitter import Submitter
from node.roles.wishes import Wishes, WishTeller
from node.roles.worker import Compute, Worker
from node.settlement.arriving import Arrivals
from node.settlement.backend import check_backend
from node.settlement.credit import CreditDesk
from node.settlement.escrow import EscrowSettlement
from node.settlement.feedesk import FeeDesk
from node.settlement.interface import Settlement
from node.settlement.network import settlement_parameters
from node.settlement.paydesk import PayDesk
from node.settlement.staking import Staking
from node.settlement.transfer import TransferSettlement
from node.settlement.unclaimed import UnclaimedDesk
from node.settlement.withdrawals import Withdrawals
from node.verification.anchors import AnchorBook
from node.verification.author import Author
from node.wire.presence import Presence
from p2p.network import Network
from storage.artifacts import ArtifactStore
from storage.database import Database
from storage.store import Batch


class SenderOwner(Protocol):
    """Whoever sends transactions from the node's account."""

    def on_confirmed(self, batch: Batch, record: OutboundRecord) -> None:
        """A block holds the transaction."""

    def on_lost(self, batch: Batch, record: OutboundRecord) -> None:
        """No block ever will."""


Run = Callable[..., Awaitable[Any]]
"""A long task that reports `started`, for `nursery.start`."""

PRESENCE_LIVES = 3.5
"""Presence intervals after which a silent peer is not drawn or leased to any more."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What has to be opened before anything can be built."""

    config: Config
    keys: NodeKeys
    db: Database
    network: Network
    l1: MarketClient
    places: Sequence[Compute]
    """Where jobs run, one for each slot; empty without the worker role."""
    scratch: Path
    artifacts: ArtifactStore
    offload: Offload
    now_ms: Callable[[], int]


@dataclass
class Assembly:
    """A built node: what to run, in order, and what the API serves."""

    info: NodeInfo
    directory: Directory
    runs: list[Run] = field(default_factory=list)
    market: Market | None = None
    withdrawals: Withdrawals | None = None
    credit: CreditDesk | None = None
    paydesk: PayDesk | None = None
    unclaimed: UnclaimedDesk | None = None
    fees: FeeDesk | None = None
    staking: Staking | None = None


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
        _add_worker(parts, assembly, author)
        if config.network.network.proofs_on_chain:
            settled.add(_own_results(parts, author, sender))
    if {"market", "validator"} & set(config.node.roles):
        submitter = _submitter(parts, author, sender)
        settled.add(submitter)
        assembly.runs.append(submitter.run)
        assembly.info.watch(
            lambda: tuple(shortened(late_results(submitter.under_way(), sender, chain)))
        )
        if "validator" in config.node.roles:
            _add_validator(parts, assembly, author, shelf, submitter)
        if "market" in config.node.roles:
            settled.add(_add_market(parts, assembly, chain, shelf, sender, submitter))
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


def _add_worker(parts: Parts, assembly: Assembly, author: Author) -> None:
    network = parts.config.network
    gate = DrawGate(
        chain_id=author.chain_id,
        markets=network.network.market_keys,
        protocol=network.protocol,
        now_ms=parts.now_ms,
    )
    worker = Worker(
        network=parts.network,
        db=parts.db,
        author=author,
        protocol=network.protocol,
        gate=gate,
        places=parts.places,
        scratch=parts.scratch,
        offload=parts.offload,
        now_ms=parts.now_ms,
    )
    assembly.info.add(
        lambda: {"jobs_busy": worker.busy, "results_committed": worker.committed}, worker.waits
    )
    assembly.info.watch(lambda: tuple(shortened(late_attempts(worker.attempts(), parts.now_ms()))))
    assembly.runs.append(worker.run)


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


def _own_results(parts: Parts, author: Author, sender: Sender) -> OwnResults:
    network = parts.config.network
    return OwnResults(
        network=parts.network,
        db=parts.db,
        author=author,
        markets=network.network.market_keys,
        sender=sender,
        l1=parts.l1,
        gas_price=network.economics.gas_price,
        offload=parts.offload,
    )


def _add_validator(
    parts: Parts,
    assembly: Assembly,
    author: Author,
    shelf: OutputShelf,
    submitter: Submitter,
) -> None:
    protocol = parts.config.network.protocol
    markets = parts.config.network.network.market_keys
    book = SnapshotBook(parts.db, author.chain_id, markets, parts.now_ms)
    feed = SnapshotFeed(parts.network, book, author.chain_id)
    gate = SeatGate(
        chain_id=author.chain_id,
        markets=markets,
        protocol=protocol,
        now_ms=parts.now_ms,
        feed=feed,
    )
    jury_gate = JuryGate(
        chain_id=author.chain_id,
        markets=markets,
        protocol=protocol,
        appeal_s=parts.config.network.economics.appeal_s,
        now_ms=parts.now_ms,
        feed=feed,
    )
    juror = Juror(
        network=parts.network,
        identity=author.identity,
        chain_id=author.chain_id,
        gate=jury_gate,
        reexecution=Reexecution(
            chain_id=author.chain_id,
            backend=CpuBackend(),
            scratch=parts.scratch,
            offload=parts.offload,
        ),
        now_ms=parts.now_ms,
    )
    examiner = Examiner(
        network=parts.network,
        chain_id=author.chain_id,
        protocol=protocol,
        backend=CpuBackend(),
        scratch=parts.scratch,
        offload=parts.offload,
    )
    checker = Checker(
        network=parts.network,
        db=parts.db,
        identity=author.identity,
        chain_id=author.chain_id,
        gate=gate,
        examiner=examiner,
        now_ms=parts.now_ms,
    )
    if parts.config.network.economics.settlement == "escrow":
        Releaser(
            network=parts.network,
            db=parts.db,
            identity=author.identity,
            chain_id=author.chain_id,
            protocol=protocol,
            gate=gate,
            chain=parts.l1,
            address_of=assembly.directory.address_of,
            now_ms=parts.now_ms,
        )
    handover = Handover(
        network=parts.network,
        db=parts.db,
        chain_id=author.chain_id,
        submitter=submitter,
        proofs_on_chain=parts.config.network.network.proofs_on_chain,
        now_ms=parts.now_ms,
    )
    orchestrator = Orchestrator(
        network=parts.network,
        db=parts.db,
        identity=author.identity,
        chain_id=author.chain_id,
        protocol=protocol,
        gate=gate,
        directory=assembly.directory,
        shelf=shelf,
        now_ms=parts.now_ms,
        on_verified=handover.add,
    )
    watch = OverturnedWatch(
        network=parts.network,
        chain_id=author.chain_id,
        markets=markets,
        gate=jury_gate,
        blame=orchestrator.blame,
    )
    assembly.info.add(
        lambda: {
            "verdicts_signed": checker.verdicts,
            "rulings_signed": juror.rulings,
            "leases_held": orchestrator.leases,
            "results_pending": submitter.pending + handover.pending,
            "results_on_chain": submitter.totals.results,
            "result_transactions": submitter.totals.transactions,
            "result_gas_saved": submitter.totals.gas_saved,
            "checks_in_hand": checker.checking,
            "jobs_waiting": orchestrator.waiting,
            "workers_barred": orchestrator.barred,
        },
        lambda: validator_waits(orchestrator.waiting, submitter.pending, orchestrator.barred),
    )
    assembly.info.watch(lambda: tuple(shortened(late_leases(orchestrator.draws(), parts.now_ms()))))
    assembly.runs += [feed.run, handover.run, orchestrator.run, juror.run, watch.run]


def _add_market(
    parts: Parts,
    assembly: Assembly,
    chain: ChainWatch,
    shelf: OutputShelf,
    sender: Sender,
    submitter: Submitter,
) -> SenderOwner:
    config, identity, address = parts.config, parts.keys.identity, parts.keys.account.address
    network = config.network.network
    proposer_keys = tuple(bytes.fromhex(key) for key in network.proposer_keys)
    board = TaskBoard(parts.db, ChangeLog(parts.now_ms))
    anchors = AnchorBook(parts.db, network.chain_id)
    snapshots = SnapshotLog(parts.db, identity, network.chain_id, parts.now_ms)
    settlement = _settlement(parts, sender)
    deposits = Follower(
        parts.l1,
        parts.db,
        settlement.deposits.handle,
        name="deposits",
        confirmations=settlement.parameters.confirmations,
        proposer_keys=proposer_keys,
    )
    desk: Desk = NoAppeals()
    if isinstance(settlement, TransferSettlement):
        desk = AppealDesk(
            db=parts.db,
            board=board,
            appeals=settlement.appeals,
            snapshots=snapshots,
            network=config.network,
            identity=identity,
            now_ms=parts.now_ms,
            beacon=lambda: chain.last_hash,
        )
    service = MarketService(
        db=parts.db,
        board=board,
        settlement=settlement,
        desk=desk,
        deposit_address=address,
        anchors=anchors,
        snapshots=snapshots,
        artifacts=parts.artifacts,
        network=config.network,
        max_open_tasks=config.market.max_open_tasks,
        now_ms=parts.now_ms,
        epoch_hash=lambda: chain.last_hash,
    )
    lifecycle = Lifecycle(
        db=parts.db,
        board=board,
        service=service,
        desk=desk,
        settlement=settlement,
        snapshots=snapshots,
        network=config.network,
        identity=identity,
        now_ms=parts.now_ms,
    )
    protocol = config.network.protocol
    standings = StandingBook(parts.db, protocol.bar_s, parts.now_ms, "standing/validators")
    least = config.network.economics.validator_bond
    electorate = Electorate(
        assembly.directory,
        snapshots,
        standings,
        lambda one: settlement.bonds.suffices(one, least) and not desk.book.is_barred(one),
    )
    role = MarketRole(
        network=parts.network,
        db=parts.db,
        board=board,
        lifecycle=lifecycle,
        progress=JobProgressBook(board, board.changes, assembly.directory.address_of),
        shelf=shelf,
        acceptance=Acceptance(
            parts.artifacts, chain_id=network.chain_id, protocol=protocol, offload=parts.offload
        ),
        electorate=electorate,
        anchors=anchors,
        l1=parts.l1,
        proposer_keys=proposer_keys,
    )
    lessor = Lessor(
        network=parts.network,
        db=parts.db,
        board=board,
        leases=lifecycle.leases,
        snapshots=snapshots,
        directory=assembly.directory,
        chain_id=network.chain_id,
        now_ms=parts.now_ms,
    )
    publisher = SnapshotRole(
        network=parts.network,
        db=parts.db,
        snapshots=snapshots,
        directory=assembly.directory,
        electorate=electorate,
    )
    assembly.market = service
    assembly.withdrawals = Withdrawals(parts.db, settlement, sender, parts.now_ms)
    assembly.info.require(lambda: waiting.behind_obstacle(deposits.height, chain.height))

    def queued() -> Mapping[str, str]:
        return queue_waits(board, assembly.directory, protocol.quorum_needed)

    assembly.info.add(
        lambda: (
            {f"tasks_{phase}": count for phase, count in board.counts().items()}
            | {"validators_barred": electorate.barred + desk.book.barred}
        ),
        lambda: (*queued().values(), *money_waits(settlement, parts.now_ms())),
    )
    rescue = Rescue(
        db=parts.db,
        board=board,
        submitter=submitter,
        market=identity.peer_id,
        l1=chain,
        now_ms=parts.now_ms,
    )
    assembly.runs += [deposits.run, settlement.run, publisher.run, lessor.run, role.run, rescue.run]
    if isinstance(settlement, TransferSettlement):
        _add_desks(parts, assembly, settlement, sender)
        arrivals = Arrivals(parts.l1, deposits, address)
        assert assembly.unclaimed is not None
        overdue = MarketOverdue(
            board=board,
            settlement=settlement,
            sender=sender,
            l1=chain,
            appeals=desk.book,
            arrivals=arrivals,
            nobodys=assembly.unclaimed,
            why_queued=lambda kind: queued()[kind],
            now_ms=parts.now_ms,
        )
        assembly.info.watch(overdue.found)
        assembly.runs.append(arrivals.run)
    if isinstance(desk, AppealDesk):
        appeals = AppealRole(network=parts.network, db=parts.db, board=board, desk=desk)
        assembly.runs.append(appeals.run)
    if isinstance(settlement, EscrowSettlement):
        approvals = ApprovalRole(
            network=parts.network,
            db=parts.db,
            board=board,
            results=lifecycle.results,
            rewards=settlement.rewards,
            directory=assembly.directory,
            identity=identity,
            chain_id=network.chain_id,
            now_ms=parts.now_ms,
        )
        assembly.runs.append(approvals.run)
        terms = settlement.terms
        assembly.info.require(lambda: (terms.obstacle,) if terms.obstacle else ())
    return settlement.outbox


def _add_desks(
    parts: Parts, assembly: Assembly, settlement: TransferSettlement, sender: Sender
) -> None:
    """Where operator, payees and who has a bond at a market that holds the money ask."""
    config, chain_id = parts.config, parts.config.network.network.chain_id
    operator = str(config.market.operator)
    assembly.credit = CreditDesk(
        parts.db,
        settlement.credit,
        operator=operator,
        market=parts.keys.account.address,
        now_ms=parts.now_ms,
    )
    assembly.fees = FeeDesk(parts.db, settlement, operator, parts.now_ms)
    assembly.paydesk = PayDesk(parts.db, settlement, sender, parts.now_ms)
    assembly.staking = Staking(parts.db, settlement.bonds, parts.now_ms)
    assembly.unclaimed = UnclaimedDesk(parts.db, settlement.ledger, parts.now_ms)
    Wishes(
        network=parts.network,
        directory=assembly.directory,
        desk=assembly.paydesk,
        chain_id=chain_id,
        now_ms=parts.now_ms,
    )


def _settlement(parts: Parts, sender: Sender) -> Settlement:
    """The back end that the network file names; raises ConfigError if money is in the other one."""
    network = parts.config.network
    kind = network.economics.settlement
    check_backend(parts.db, kind)
    back_end = partial(EscrowSettlement, chain=parts.l1) if kind == "escrow" else TransferSettlement
    return back_end(
        parts.db,
        sender,
        settlement_parameters(network),
        chain_id=network.network.chain_id,
        address=parts.keys.account.address,
        clock_ms=parts.now_ms,
    )


class Settled:
    """Passes what the one sender of this node's account finds out to all who send with it."""

    def __init__(self) -> None:
        self.owners: list[SenderOwner] = []

    def add(self, owner: SenderOwner) -> None:
        """Let an owner of transactions know; each ignores the causes of others."""
        self.owners.append(owner)

    def confirmed(self, batch: Batch, record: OutboundRecord) -> None:
        """A block holds the transaction."""
        for owner in self.owners:
            owner.on_confirmed(batch, record)

    def lost(self, batch: Batch, record: OutboundRecord) -> None:
        """No block ever will."""
        for owner in self.owners:
            owner.on_lost(batch, record)
