"""Building what a market runs, whatever holds its money."""

from collections.abc import Mapping
from functools import partial

import trio

from node import waiting
from node.assembly.backends import add_escrow, add_transfer
from node.assembly.parts import Assembly, Parts, SenderOwner
from node.chainwatch import ChainWatch
from node.directory import Directory
from node.info import money_waits, queue_waits
from node.l1.follower import Follower
from node.l1.sender import Sender
from node.market.appeals import AppealDesk, Beacon
from node.market.bars import BarBook
from node.market.board import TaskBoard
from node.market.changes import ChangeLog
from node.market.lifecycle import Lifecycle
from node.market.overdue import MarketOverdue
from node.market.progress import JobProgressBook
from node.market.service import MarketService
from node.market.snapshots import SnapshotLog
from node.roles.acceptance import Acceptance, Electorate
from node.roles.appeals import AppealRole
from node.roles.lessor import Lessor
from node.roles.market import MarketRole
from node.roles.outputs import OutputShelf
from node.roles.publishing import SnapshotRole
from node.roles.rescue import Rescue
from node.roles.submitter import Submitter
from node.settlement.arriving import Arrivals
from node.settlement.backend import back_end_of, check_backend
from node.settlement.escrow import EscrowSettlement
from node.settlement.interface import Settlement
from node.settlement.transfer import TransferSettlement
from node.settlement.withdrawals import Withdrawals
from node.verification.anchors import AnchorBook


def add_market(
    parts: Parts,
    assembly: Assembly,
    chain: ChainWatch,
    shelf: OutputShelf,
    sender: Sender,
    submitter: Submitter,
) -> SenderOwner:
    """What sells tasks; returns who is to hear of the transactions that move money."""
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
    bars = BarBook(parts.db, config.network.protocol.bar_s, parts.now_ms)
    desk = _appeal_desk(parts, settlement, board, snapshots, bars, chain)
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
    electorate = _electorate(parts, assembly.directory, snapshots, settlement, bars)
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
            | {"validators_barred": electorate.barred}
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
    follow = partial(_follow, settlement, deposits)
    assembly.runs += [follow, settlement.run, publisher.run, lessor.run, role.run, rescue.run]
    arrivals = Arrivals(parts.l1, deposits, address, settlement.deposit_by)
    overdue = MarketOverdue(
        board=board,
        settlement=settlement,
        sender=sender,
        l1=chain,
        appeals=desk.book,
        arrivals=arrivals,
        why_queued=lambda kind: queued()[kind],
        now_ms=parts.now_ms,
    )
    assembly.info.watch(overdue.found)
    assembly.runs.append(arrivals.run)
    if isinstance(settlement, TransferSettlement):
        add_transfer(parts, assembly, settlement, sender)
    appeals = AppealRole(network=parts.network, db=parts.db, board=board, desk=desk)
    assembly.runs.append(appeals.run)
    if isinstance(settlement, EscrowSettlement):
        add_escrow(
            parts,
            assembly,
            settlement,
            board=board,
            results=lifecycle.results,
            appeals=desk.book,
        )
    return settlement.outbox


def _appeal_desk(
    parts: Parts,
    settlement: Settlement,
    board: TaskBoard,
    snapshots: SnapshotLog,
    bars: BarBook,
    chain: ChainWatch,
) -> AppealDesk:
    return AppealDesk(
        db=parts.db,
        board=board,
        disputes=settlement.disputes,
        bars=bars,
        snapshots=snapshots,
        network=parts.config.network,
        identity=parts.keys.identity,
        now_ms=parts.now_ms,
        beacon=lambda: None if chain.height is None else Beacon(chain.height, chain.last_hash),
        operator=str(parts.config.market.operator),
    )


async def _follow(
    settlement: Settlement,
    deposits: Follower,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Book blocks from when the settlement can."""
    task_status.started()
    await settlement.can_book()
    await deposits.run()


def _electorate(
    parts: Parts,
    directory: Directory,
    snapshots: SnapshotLog,
    settlement: Settlement,
    bars: BarBook,
) -> Electorate:
    least = parts.config.network.economics.validator_bond
    return Electorate(
        directory,
        snapshots,
        bars,
        lambda one: settlement.bonds.suffices(one.address, least, key=one.key),
    )


def _settlement(parts: Parts, sender: Sender) -> Settlement:
    """The back end that the network file names; raises ConfigError if money is in the other one."""
    network = parts.config.network
    check_backend(parts.db, network.economics.settlement)
    return back_end_of(
        network,
        parts.db,
        sender,
        address=parts.keys.account.address,
        clock_ms=parts.now_ms,
        chain=parts.l1,
    )
