"""Building what a validator runs."""

from gpu.cpu import CpuBackend
from node.assembly.parts import Assembly, Parts
from node.info import validator_waits
from node.market.overdue import shortened
from node.roles.admission import SeatGate
from node.roles.awards import AwardGate
from node.roles.checker import Checker
from node.roles.examiner import Examiner
from node.roles.handover import Handover
from node.roles.juror import Juror, JuryGate
from node.roles.orchestrator import Orchestrator
from node.roles.outputs import OutputShelf
from node.roles.overdue import late_leases
from node.roles.overturned import OverturnedWatch
from node.roles.reexecution import Reexecution
from node.roles.releaser import Releaser
from node.roles.snapshotfeed import SnapshotFeed
from node.roles.snapshots import SnapshotBook
from node.roles.submitter import Submitter
from node.roles.unclosed import UnclosedEscrows
from node.verification.author import Author


def add_validator(
    parts: Parts,
    assembly: Assembly,
    author: Author,
    shelf: OutputShelf,
    submitter: Submitter,
) -> None:
    """What orchestrates, checks, sits on juries, and signs for escrows."""
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
        _add_releaser(parts, assembly, author, gate, jury_gate)
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


def _add_releaser(
    parts: Parts, assembly: Assembly, author: Author, gate: SeatGate, juries: JuryGate
) -> None:
    """Where the chain holds the money: who signs how it is released, and sees that it was."""
    economics = parts.config.network.economics
    unclosed = UnclosedEscrows(
        parts.db,
        parts.l1,
        window_s=economics.dispute_window_s + economics.unbonded_wait_s,
        now_ms=parts.now_ms,
    )
    Releaser(
        network=parts.network,
        db=parts.db,
        identity=author.identity,
        chain_id=author.chain_id,
        protocol=parts.config.network.protocol,
        gate=gate,
        awards=AwardGate(
            chain_id=author.chain_id, gate=juries, blocks=parts.l1, now_ms=parts.now_ms
        ),
        chain=parts.l1,
        unclosed=unclosed,
        address_of=assembly.directory.address_of,
        now_ms=parts.now_ms,
    )
    assembly.info.watch(lambda: tuple(shortened(unclosed.late())))
    assembly.runs.append(unclosed.run)
