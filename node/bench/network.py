"""`tmnode bench network`: gossip, requests and transfers between real processes.

Four processes, each with a network and nothing else; at the end a fifth one floods one of them.
Latencies of gossip are taken with the clock that all processes of a machine share. Requests and
transfers are set beside plain asyncio streams of the same bytes, which neither encrypt nor
authenticate: what is lost to them is the price of Noise, Yamux and the framing. Gossip has no peer
here, because nothing else installed does it.
"""

from collections.abc import Sequence

import trio

from node.bench import network_peer
from node.bench.network_child import FLOODER
from node.bench.network_processes import Node, Peer, all_do, open_nodes, open_peer
from node.bench.network_wire import Ask, Fetch, Flood, Gossip, Meet, Took
from node.bench.report import Report, Row, median, quantile, report, row

NODES = 4
RATE_PER_S = 200.0
"""Messages of all nodes together."""
NOTE_BYTES = 960
"""With the envelope of ours inside gossipsub's message, about 1 KiB of body."""
REQUEST_BYTES = 200
AT_ONCE = 100
FLOOD_PER_S = 1000.0
WARM_UP_S = 2.0
PEER = "asyncio streams, plain"
MB = 1e6


async def bench_network(seconds: float, requests: int, megabytes: int, runs: int) -> Report:
    """Gossip for so many seconds, ask so often, fetch `runs` bodies of so many MB."""
    async with open_nodes(NODES) as nodes, open_peer() as peer:
        await all_do(nodes, lambda at: Meet(tuple(n.address for n in nodes[:at]), NODES - 1))
        await all_do(nodes, lambda _at: _gossip(WARM_UP_S))
        rows = await _gossip_rows(nodes, seconds)
        rows += await _request_rows(nodes, peer, requests)
        rows += await _bulk_rows(nodes, peer, megabytes << 20, runs)
        rows += await _flood_rows(nodes, seconds)
    return report("network", rows)


def _gossip(seconds: float) -> Gossip:
    rate_per_s = RATE_PER_S / NODES
    count = max(1, round(seconds * rate_per_s))
    return Gossip(count, rate_per_s, NOTE_BYTES, count * (NODES - 1))


async def _gossip_rows(nodes: Sequence[Node], seconds: float) -> list[Row]:
    command = _gossip(seconds)
    took = await all_do(nodes, lambda _at: command)
    each_s = [one for node in took for one in node.each_s]
    published = command.count * NODES
    cpu_s = sum(node.cpu_s for node in took)
    what = f"gossip of 1 KB, {NODES} nodes, {RATE_PER_S:g}/s"
    return [
        row(f"{what}, lost", command.expected * NODES - len(each_s), "messages", published),
        row(f"{what}, p50", 1000 * median(each_s), "ms", published),
        row(f"{what}, p99", 1000 * quantile(each_s, 0.99), "ms", published),
        row(f"{what}, CPU each", 1000 * cpu_s / published / NODES, "ms", published),
    ]


async def _request_rows(nodes: Sequence[Node], peer: Peer, count: int) -> list[Row]:
    server = nodes[1].peer_id
    await nodes[0].do(Ask(server, 100, 1))
    alone = await nodes[0].do(Ask(server, count, 1))
    together = await nodes[0].do(Ask(server, count, AT_ONCE))
    theirs = await peer.measure(network_peer.ask, count, REQUEST_BYTES)
    return [
        _latency("p50", median(alone.each_s), median(theirs), count),
        _latency("p99", quantile(alone.each_s, 0.99), quantile(theirs, 0.99), count),
        row("requests, 1 at a time", count / alone.elapsed_s, "requests/s", count),
        row(f"requests, {AT_ONCE} at a time", count / together.elapsed_s, "requests/s", count),
    ]


def _latency(part: str, ours_s: float, theirs_s: float, count: int) -> Row:
    return Row(
        metric=f"request on a kept stream, {part}",
        value=1000 * ours_s,
        unit="ms",
        runs=count,
        peer=PEER,
        peer_value=1000 * theirs_s,
        ratio=theirs_s / ours_s,
    )


async def _bulk_rows(nodes: Sequence[Node], peer: Peer, size: int, runs: int) -> list[Row]:
    """A body is fetched once before, so that its sender has the digest."""
    ours, theirs, cpu_s = [], [], []
    await nodes[2].do(Fetch(nodes[3].peer_id, size))
    for _ in range(runs):
        took = await nodes[2].do(Fetch(nodes[3].peer_id, size))
        ours.append(size / MB / took.elapsed_s)
        cpu_s.append(took.cpu_s)
        theirs.append(size / MB / await peer.measure(network_peer.fetch, size))
    value, peer_value = median(ours), median(theirs)
    return [
        Row(
            metric="bulk transfer, hashed at both ends",
            value=value,
            unit="MB/s",
            runs=runs,
            peer=PEER,
            peer_value=peer_value,
            ratio=value / peer_value,
        ),
        row("bulk transfer, CPU of the receiver", 1000 * median(cpu_s) * MB / size, "ms/MB", runs),
    ]


async def _flood_rows(nodes: Sequence[Node], seconds: float) -> list[Row]:
    """What a flood of one node costs all, while it lasts and after it was cut off."""
    command = _gossip(seconds)
    flooded: list[Took] = []

    async def flood(flooder: Node) -> None:
        flooded.append(await flooder.do(Flood(nodes[0].address, FLOOD_PER_S, NOTE_BYTES)))

    async with open_nodes(1, FLOODER) as (flooder,), trio.open_nursery() as nursery:
        nursery.start_soon(flood, flooder)
        meanwhile = await all_do(nodes, lambda _at: command)
    afterwards = await all_do(nodes, lambda _at: command)
    sent_s, count = flooded[0].each_s, command.count * NODES
    return [
        row("a peer that floods, its messages", len(sent_s) / sent_s[-1], "/s", len(sent_s)),
        row("  cut off after", sent_s[-1], "s", 1),
        row("  gossip of the others meanwhile, p99", 1000 * _p99(meanwhile), "ms", count),
        row("  gossip of the others afterwards, p99", 1000 * _p99(afterwards), "ms", count),
    ]


def _p99(took: Sequence[Took]) -> float:
    return quantile([one for node in took for one in node.each_s], 0.99)
