"""What a node tells about itself, as status and as numbers."""

import pytest

from node.chainwatch import ChainWatch
from node.directory import Directory
from node.info import NodeInfo
from node.keys import bind
from node.l1.keys import AccountKey
from node.metrics import render
from node.verification.author import Author
from p2p.identity import Identity
from p2p.memory import MemoryHub
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch

CHAIN = "cpc-test"


@pytest.fixture
async def info():
    identity, account = Identity.from_seed(bytes(32)), AccountKey(bytes([7]) * 32)
    author = Author(identity, bind(identity, account, CHAIN), account.address, CHAIN)
    chain = ChainWatch(None)
    async with (
        open_database(MemoryStore()) as db,
        MemoryHub().open_network(identity, CHAIN) as network,
    ):
        network.counters["gossip_dropped"] += 2
        batch = Batch()
        batch.put(b"k", b"v")
        await db.commit(batch)
        directory = Directory(CHAIN, lambda: 5000, 10)
        made = NodeInfo(author, ("market", "worker"), directory, chain, lambda: 5000, db, network)
        made.require(lambda: ("the L1 is away",))
        made.add(dict, lambda: ("one", "the L1 is away"))
        made.add(lambda: {"tasks_queued": 3, "jobs_busy": 1, "results_committed": 9, "other": 4})
        yield made


def lines(info: NodeInfo) -> set[str]:
    return {line for line in render(info.metrics()).split("\n") if not line.startswith("#")}


async def test_facts_become_counters_and_gauges(info) -> None:
    found = lines(info)
    assert {
        'tmnode_tasks{phase="queued"} 3',
        'tmnode_tasks{phase="anchored"} 0',
        "tmnode_jobs_busy 1",
        "tmnode_results_committed_total 9",
        "tmnode_other 4",
        "tmnode_database_syncs_total 1",
        'tmnode_network_events_total{event="gossip_dropped"} 2',
        "tmnode_l1_reachable 0",
        "tmnode_waiting 2",
        "tmnode_ready 0",
        "tmnode_uptime_seconds 0.0",
        f'tmnode_info{{version="{info.status().version}",chain="{CHAIN}",roles="market+worker"}} 1',
    } <= found
    assert not any(line.startswith("tmnode_l1_height") for line in found)


async def test_the_height_is_there_once_the_l1_has_answered(info) -> None:
    info._chain.height, info._chain.reachable = 12, True
    assert {"tmnode_l1_height 12", "tmnode_l1_reachable 1"} <= lines(info)


async def test_an_obstacle_is_something_that_waits_and_is_said_once(info) -> None:
    status = info.status()
    assert status.obstacles == ("the L1 is away",)
    assert status.waiting == ("the L1 is away", "one")
