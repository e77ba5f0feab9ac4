"""Nodes of every combination of roles, built on the twins."""

from itertools import combinations
from pathlib import Path

import msgspec
import pytest
import trio

from node.assembly import Parts, Settled, assemble
from node.config import Config, NodeSection, WorkerSection, load_network
from node.keys import NodeKeys
from node.l1.client import HttpL1Client
from node.l1.errors import L1Unavailable
from node.l1.keys import AccountKey
from node.l1.outbound import OutboundRecord
from node.offload import Inline
from p2p.identity import Identity
from p2p.memory import MemoryHub, virtual_clock_ms
from storage.artifacts import ArtifactStore
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch

CHAIN = "cpc-devnet-1"
SILENT = ["the L1 has not answered since the start"]
ROLES = ("market", "validator", "worker")
FACTS = {
    "market": {"validators_barred"},
    "validator": {
        "verdicts_signed",
        "rulings_signed",
        "leases_held",
        "results_pending",
        "results_on_chain",
        "result_transactions",
        "result_gas_saved",
        "checks_in_hand",
        "jobs_waiting",
        "workers_barred",
    },
    "worker": {"jobs_busy", "results_committed"},
}


class NoChain(HttpL1Client):
    """An L1 that is down."""

    def __init__(self) -> None:
        pass

    async def status(self):
        await trio.lowlevel.checkpoint()
        raise L1Unavailable("down")


@pytest.mark.parametrize(
    "roles", [roles for count in range(4) for roles in combinations(ROLES, count)]
)
async def test_a_node_of_any_roles_runs_without_its_chain(
    tmp_path: Path, autojump_clock, roles: tuple[str, ...]
) -> None:
    keys = NodeKeys(Identity.from_seed(b"\1" * 32), AccountKey(b"\2" * 32))
    config = Config(network=load_network(), node=NodeSection(roles=roles), worker=WorkerSection())
    async with (
        open_database(MemoryStore()) as db,
        MemoryHub().open_network(keys.identity, CHAIN) as network,
        trio.open_nursery() as nursery,
    ):
        parts = Parts(
            config=config,
            keys=keys,
            db=db,
            network=network,
            l1=NoChain(),
            places=(),
            scratch=tmp_path,
            artifacts=ArtifactStore(tmp_path / "artifacts"),
            offload=Inline(),
            now_ms=virtual_clock_ms,
        )
        assembly = assemble(parts)
        for run in assembly.runs:
            await nursery.start(run)
        await trio.sleep(30)
        status = assembly.info.status()
        assert status.roles == roles
        assert set(status.counts) == set().union(*(FACTS[role] for role in roles))
        assert [one for one in SILENT if status.obstacles and one in status.obstacles[0]] == (
            SILENT if set(roles) & {"market", "validator"} else []
        )
        assert status.waiting == status.obstacles
        assert (status.peers, status.l1_height) == (0, None)
        assert (assembly.market is None) == ("market" not in roles)
        nursery.cancel_scope.cancel()


class Owner:
    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def on_confirmed(self, _batch: Batch, record: OutboundRecord) -> None:
        self.heard.append(("confirmed", record.cause))

    def on_lost(self, _batch: Batch, record: OutboundRecord) -> None:
        self.heard.append(("lost", record.cause))


def test_everybody_who_sends_hears_what_became_of_it() -> None:
    settled, owners = Settled(), [Owner(), Owner()]
    for owner in owners:
        settled.add(owner)
    record = OutboundRecord("cause", 0, "", b"")
    settled.confirmed(Batch(), record)
    settled.lost(Batch(), msgspec.structs.replace(record, cause="other"))
    for owner in owners:
        assert owner.heard == [("confirmed", "cause"), ("lost", "other")]
