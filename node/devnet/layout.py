"""The files of a development network: keys, genesis, network file, one node file each."""

import json
import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path

import msgspec

from node.amounts import UNITS_PER_CPC
from node.devnet.chain import CHAIN_ID, write_genesis
from node.keys import NodeKeys, load_or_make_keys
from node.l1.devchain.profiles import UPSTREAM
from node.l1.escrow import MarketParameters
from node.settlement.parameters import BURN_ADDRESS, TREASURY_ADDRESS, SettlementParameters

CUSTOMER_CPC = 1_000_000
SENDER_CPC = 100
"""What validators have for the fees of their first `SUBMIT_RESULT`s; workers too, where the chain
verifies proofs, and the market, where it opens escrows."""
BLOCK_TIME_S = 1.0
PORTS = range(20_000, 32_768)
"""Where nodes listen: below the ports that Linux gives to outgoing connections."""


class Seat(msgspec.Struct, frozen=True):
    """One node of the network."""

    name: str
    role: str
    directory: Path
    keys: NodeKeys
    p2p_port: int
    api_port: int

    @property
    def config(self) -> Path:
        """Its node file."""
        return self.directory / "node.toml"

    @property
    def log(self) -> Path:
        """Where its log goes."""
        return self.directory / "log"

    @property
    def address(self) -> str:
        """Its multiaddr."""
        peer_id = self.keys.identity.peer_id
        return f"/ip4/127.0.0.1/tcp/{self.p2p_port}/p2p/{peer_id}"

    @property
    def api_url(self) -> str:
        """Its HTTP door."""
        return f"http://127.0.0.1:{self.api_port}"


class Layout(msgspec.Struct, frozen=True):
    """A written network."""

    directory: Path
    market: Seat
    validators: tuple[Seat, ...]
    workers: tuple[Seat, ...]
    customer: NodeKeys
    proposer: NodeKeys
    l1_port: int
    profile: str = UPSTREAM.name
    """Whose rules its chain follows, by name."""
    settlement: str = "transfer"
    block_time_s: float = BLOCK_TIME_S
    device: str = "cpu"
    """What its workers compute on."""

    @property
    def seats(self) -> tuple[Seat, ...]:
        """All nodes, the market first."""
        return (self.market, *self.validators, *self.workers)

    @property
    def network_file(self) -> Path:
        """The file that all nodes share."""
        return self.directory / "network.toml"

    @property
    def proofs_on_chain(self) -> bool:
        """Whether its chain verifies the proofs in results."""
        return self.profile != UPSTREAM.name

    @property
    def l1_url(self) -> str:
        """The development chain's door."""
        return f"http://127.0.0.1:{self.l1_port}"


def write_layout(
    directory: Path,
    *,
    validators: int,
    workers: int,
    api_port: int,
    profile: str = UPSTREAM.name,
    settlement: str = "transfer",
    block_time_s: float = BLOCK_TIME_S,
    device: str = "cpu",
) -> Layout:
    """Write all files into `directory`, keeping the keys and genesis that are there already."""
    directory.mkdir(parents=True, exist_ok=True)
    ports = iter(free_ports(2 * (validators + workers + 1) + 1))
    market = _seat(directory, "market", "market", ports, api_port)
    layout = Layout(
        directory=directory,
        market=market,
        validators=tuple(
            _seat(directory, f"validator-{number}", "validator", ports)
            for number in range(1, validators + 1)
        ),
        workers=tuple(
            _seat(directory, f"worker-{number}", "worker", ports)
            for number in range(1, workers + 1)
        ),
        customer=load_or_make_keys(directory / "customer"),
        proposer=load_or_make_keys(directory / "l1"),
        l1_port=next(ports),
        profile="market" if settlement == "escrow" else profile,
        settlement=settlement,
        block_time_s=block_time_s,
        device=device,
    )
    layout.network_file.write_text(_network_text(layout))
    for seat in layout.seats:
        seat.config.write_text(_node_text(seat, layout, [seat.role]))
    _write_genesis(layout)
    return layout


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, and no outgoing connection will take while a node restarts."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(port)
    return found


def _seat(directory: Path, name: str, role: str, ports: Iterator[int], api_port: int = 0) -> Seat:
    folder = directory / name
    p2p_port, free_api_port = next(ports), next(ports)
    return Seat(
        name=name,
        role=role,
        directory=folder,
        keys=load_or_make_keys(folder),
        p2p_port=p2p_port,
        api_port=api_port or free_api_port,
    )


def _network_text(layout: Layout) -> str:
    """The network file: the devnet's parameters with this network's keys and places."""
    return f"""\
# Written by `tmnode devnet`; all nodes below share it. See configs/devnet.toml for every key.

[network]
name = "devnet"
chain_id = {json.dumps(CHAIN_ID)}
l1_url = {json.dumps(layout.l1_url)}
bootstrap = [{json.dumps(layout.market.address)}]
proposer_keys = [{json.dumps(layout.proposer.account.public_key.hex())}]
local_account = {json.dumps(layout.customer.account.address)}
market_keys = [{json.dumps(layout.market.keys.identity.peer_id)}]
proofs_on_chain = {json.dumps(layout.proofs_on_chain)}

[protocol]

[economics]
settlement = {json.dumps(layout.settlement)}
escrow_block_s = {json.dumps(layout.block_time_s)}
burn_address = {json.dumps(BURN_ADDRESS)}
treasury_address = {json.dumps(TREASURY_ADDRESS)}
"""


def _node_text(seat: Seat, layout: Layout, roles: Sequence[str]) -> str:
    return f"""\
# Written by `tmnode devnet`. See configs/{seat.role}.toml for every key.

[node]
network = {json.dumps(str(layout.network_file.resolve()))}
roles = {json.dumps(list(roles))}
data_dir = {json.dumps(str(seat.directory.resolve()))}

[p2p]
listen = ["/ip4/127.0.0.1/tcp/{seat.p2p_port}"]

[api]
listen = "127.0.0.1:{seat.api_port}"
max_requests = 256
{_worker_text(layout) if "worker" in roles else ""}"""


def _worker_text(layout: Layout) -> str:
    return f"""
[worker]
device = {json.dumps(layout.device)}
"""


def _write_genesis(layout: Layout) -> None:
    """Money for the customer, and for the fees of who sends results; an existing chain is kept."""
    alloc = {layout.customer.account.address: CUSTOMER_CPC * UNITS_PER_CPC}
    senders = layout.validators + (layout.workers if layout.proofs_on_chain else ())
    if layout.settlement == "escrow":
        senders += (layout.market,)
    for seat in senders:
        alloc[seat.keys.account.address] = SENDER_CPC * UNITS_PER_CPC
    write_genesis(layout.directory / "l1", alloc, market_terms(layout))


def market_terms(layout: Layout) -> MarketParameters | None:
    """The chain's parameters, if it holds money: bonds by the rules of the network's own."""
    if not layout.proofs_on_chain:
        return None
    rules = SettlementParameters()
    blocks = ceil(rules.unbonding_s / layout.block_time_s)
    return MarketParameters(unbonding_blocks=blocks, slash_bp=rules.slash_bp)
