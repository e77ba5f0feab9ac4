"""What a node tells about itself: `tmnode status` and `tmnode peers`."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import node
from node import waiting
from node.chainwatch import ChainWatch
from node.directory import Directory
from node.market.board import TaskBoard
from node.market.phases import STATUS_OF
from node.market.views import NodeStatus, Overdue, WorkerView
from node.metrics import Family, Sample, by_label, counter, gauge
from node.settlement.interface import Settlement
from node.verification.author import Author
from p2p.network import Network
from storage.database import Database

COUNTERS = {
    "results_committed": "Results that the worker committed to.",
    "verdicts_signed": "Verdicts that the validator signed.",
    "results_on_chain": "Results of the validator in confirmed blocks.",
    "result_transactions": "Transactions that these results took.",
    "result_gas_saved": "Gas that they would have taken more, with a transaction each.",
    "rulings_signed": "Rulings about appeals that the validator signed.",
}
"""Facts that only grow; the others go up and down."""
GAUGES = {
    "jobs_busy": "Jobs that the worker runs now.",
    "leases_held": "Leases that the validator holds now.",
    "results_pending": "Verified results that are not in a block yet.",
    "checks_in_hand": "Results that the validator is checking now.",
    "jobs_waiting": "Jobs of the validator that wait for a worker.",
    "workers_barred": "Workers to whom the validator gives no job for now.",
    "validators_barred": "Validators that the market does not draw: they signed what is false.",
}
_OTHER = "As in the counts of the status."
_TASKS = "tasks_"

Facts = Callable[[], Mapping[str, int]]
Waits = Callable[[], Sequence[str]]
Lates = Callable[[], Sequence[Overdue]]


class NodeInfo:
    """The `Node` of the API, put together from what each role tells."""

    def __init__(
        self,
        author: Author,
        roles: Sequence[str],
        directory: Directory,
        chain: ChainWatch,
        now_ms: Callable[[], int],
        db: Database,
        network: Network,
    ) -> None:
        self._author = author
        self._roles = tuple(roles)
        self._directory = directory
        self._chain = chain
        self._now_ms = now_ms
        self._db = db
        self._network = network
        self._started_ms = now_ms()
        self._facts: list[Facts] = []
        self._waits: list[Waits] = []
        self._needs: list[Waits] = []
        self._lates: list[Lates] = []

    def add(self, facts: Facts, waits: Waits = tuple) -> None:
        """Let a part of the node contribute numbers, and sentences on what waits for what."""
        self._facts.append(facts)
        self._waits.append(waits)

    def require(self, obstacles: Waits) -> None:
        """Let a part contribute sentences on what keeps the node from its work: not ready then."""
        self._needs.append(obstacles)

    def watch(self, overdue: Lates) -> None:
        """Let a part contribute what is older than it should be."""
        self._lates.append(overdue)

    def status(self) -> NodeStatus:
        """Describe this node now."""
        obstacles = tuple(line for needs in self._needs for line in needs())
        waiting = (line for waits in self._waits for line in waits())
        return NodeStatus(
            version=node.__version__,
            chain_id=self._author.chain_id,
            peer_id=self._author.identity.peer_id,
            address=self._author.address,
            roles=self._roles,
            uptime_s=(self._now_ms() - self._started_ms) / 1000,
            peers=sum(view.connected for view in self._directory.views()) - 1,
            l1_height=self._chain.height,
            counts={name: value for facts in self._facts for name, value in facts().items()},
            waiting=tuple(dict.fromkeys((*obstacles, *waiting))),
            obstacles=obstacles,
            overdue=tuple(one for lates in self._lates for one in lates()),
        )

    def metrics(self) -> tuple[Family, ...]:
        """The same and more as numbers for Prometheus."""
        status = self.status()
        height = () if status.l1_height is None else (Sample(status.l1_height),)
        roles = "+".join(self._roles)
        about = {"version": status.version, "chain": status.chain_id, "roles": roles}
        return (
            Family("tmnode_info", "gauge", "What runs here; always 1.", (Sample(1, about),)),
            gauge("tmnode_uptime_seconds", "Seconds since the start.", status.uptime_s),
            gauge("tmnode_peers", "Nodes connected now.", status.peers),
            Family("tmnode_l1_height", "gauge", "Height of the L1, as last seen.", height),
            gauge("tmnode_l1_reachable", "1 if the L1 answers.", int(self._chain.reachable)),
            gauge("tmnode_ready", "1 if the node can do its work.", int(not status.obstacles)),
            gauge("tmnode_waiting", "Things that wait, see status.", len(status.waiting)),
            gauge("tmnode_overdue", "Things older than they should be.", len(status.overdue)),
            counter("tmnode_database_syncs_total", "Synced writes.", self._db.syncs),
            by_label(
                "tmnode_network_events_total",
                "counter",
                "What the network dropped or refused, by name.",
                "event",
                self._network.counters,
            ),
            *self._counted(status.counts),
        )

    def _counted(self, counts: Mapping[str, int]) -> Iterator[Family]:
        if "market" in self._roles:
            phases = {str(phase): counts.get(_TASKS + phase, 0) for phase in STATUS_OF}
            yield by_label("tmnode_tasks", "gauge", "Tasks by phase.", "phase", phases)
        for name, value in counts.items():
            if name in COUNTERS:
                yield counter(f"tmnode_{name}_total", COUNTERS[name], value)
            elif not name.startswith(_TASKS):
                yield gauge(f"tmnode_{name}", GAUGES.get(name, _OTHER), value)

    def peers(self) -> tuple[WorkerView, ...]:
        """The nodes this one knows, itself included."""
        return self._directory.views()


def queue_waits(board: TaskBoard, directory: Directory, needed: int) -> Mapping[str, str]:
    """Why queued tasks are not leased, by the kind of work."""
    queued = Counter(task.kind for task in board.queued_tasks())
    leased = sum(1 for _ in board.leased_tasks()) if queued else 0
    return {
        kind: waiting.queue_sentence(
            waiting.Queue(
                kind=kind,
                tasks=tasks,
                validators=len(directory.active("validator", kind)),
                needed=needed,
                slots=directory.slots(kind),
                leased=leased,
            )
        )
        for kind, tasks in sorted(queued.items())
    }


def validator_waits(jobs: int, results: int, barred: int) -> Sequence[str]:
    """Jobs without a worker, and results on their way to the chain."""
    found = [waiting.job_sentence(jobs, barred)] if jobs else []
    return (*found, waiting.result_sentence(results)) if results else found


def money_waits(settlement: Settlement, now_ms: int) -> Sequence[str]:
    """Payments and escrows on their way, what validators are to sign, payees who wait for a larger
    sum, and payouts that cannot be made."""
    payments = [units for _, units in settlement.ledger.holdings("outbox:")]
    found = [waiting.payment_sentence(len(payments), sum(payments))] if payments else []
    unconfirmed, unsigned = settlement.rewards.unconfirmed, settlement.rewards.unsigned
    found += [waiting.escrow_sentence(unconfirmed)] if unconfirmed else []
    found += [waiting.unsigned_sentence(unsigned)] if unsigned else []
    patient = list(settlement.payouts.patient(now_ms))
    found += [waiting.patience_sentence(len(patient), sum(patient))] if patient else []
    return (*found, waiting.FEES_SENTENCE) if settlement.payouts.short_of_fees else found
