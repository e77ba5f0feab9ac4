"""What the two configuration files hold, with the defaults and the range of every value.

A *network file* is the same for every node of a network; a *node file* is one node's own. Names
ending in `_s` are seconds, in `_bp` basis points (10,000 = all), in `_bytes` bytes; amounts are
units of 10^-18 CPC here and decimal strings of CPC in the file.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from node.amounts import UNITS_PER_CPC, Amount
from node.config.addresses import (
    Account,
    Destination,
    ListenAddress,
    PeerAddress,
    PeerId,
    ProposerKey,
)
from node.config.values import ByteSize, HostPort, Url

Role = Literal["market", "validator", "worker"]
LogLevel = Literal["debug", "info", "warning", "error"]

_Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}\Z",
        description="1 to 64 lower-case letters, digits and dashes",
    ),
]
_Device = Annotated[
    str,
    Meta(pattern=r"^(cpu|cuda:[0-9]{1,2})\Z", description='"cpu", or "cuda:0" for the first GPU'),
]
_BasisPoints = Annotated[int, Meta(ge=0, le=10_000)]
_Seconds = Annotated[float, Meta(ge=0.01, le=86_400)]
_Deadline = Annotated[int, Meta(ge=1, le=30 * 86_400)]


class NetworkSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[network]`: which network this is and how to find it."""

    name: _Name
    chain_id: _Name
    l1_url: Url
    l1_more_urls: tuple[Url, ...] = ()
    bootstrap: tuple[PeerAddress, ...] = ()
    proposer_keys: tuple[ProposerKey, ...] = ()
    local_account: Account = Account("")
    market_keys: tuple[PeerId, ...] = ()
    proofs_on_chain: bool = False


class ProtocolSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[protocol]`: what all nodes of the network must agree on."""

    quorum_size: Annotated[int, Meta(ge=1, le=31)] = 3
    quorum_needed: Annotated[int, Meta(ge=1, le=31)] = 2
    lease_s: _Seconds = 20.0
    job_lease_s: _Seconds = 15.0
    max_trace_bytes: Annotated[int, Meta(ge=1, le=1 << 40)] = 1 << 27
    max_matrix_size: Annotated[int, Meta(ge=1, le=1 << 16)] = 8_192
    max_iterations: Annotated[int, Meta(ge=1, le=1 << 32)] = 65_536
    default_deadline_s: _Deadline = 3_600
    max_deadline_s: _Deadline = 86_400
    presence_interval_s: _Seconds = 5.0
    max_attempts: Annotated[int, Meta(ge=1, le=1_000)] = 5
    l1_confirmations: Annotated[int, Meta(ge=1, le=10_000)] = 1
    result_batch_s: _Seconds = 0.5
    result_batch_longest_s: _Seconds = 5.0
    max_result_batch: Annotated[int, Meta(ge=1, le=500)] = 500
    max_jobs: Annotated[int, Meta(ge=1, le=64)] = 64
    max_proof_bytes: Annotated[int, Meta(ge=1, le=1 << 30)] = 1 << 24
    max_proof_units: Annotated[int, Meta(ge=1, le=1 << 50)] = 100_000_000_000
    bar_s: _Deadline = 3_600


class EconomicsSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[economics]`: prices, the split of a reward, and how money reaches the L1."""

    burn_bp: _BasisPoints = 6_000
    worker_bp: _BasisPoints = 2_500
    validator_bp: _BasisPoints = 1_000
    treasury_bp: _BasisPoints = 500
    orchestrator_bp: _BasisPoints = 2_500
    dispute_window_s: _Seconds = 5.0
    appeal_s: _Seconds = 3_600.0
    worker_bond: Amount = Amount(0)
    unbonded_wait_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    validator_bond: Amount = Amount(0)
    slash_bp: _BasisPoints = 5_000
    unbonding_s: Annotated[float, Meta(ge=1, le=90 * 86_400)] = 7_200.0
    base_price: Amount = Amount(UNITS_PER_CPC // 1_000)
    price_per_tera_unit: Amount = Amount(UNITS_PER_CPC // 100)
    min_reward: Amount = Amount(UNITS_PER_CPC // 1_000)
    max_reward: Amount = Amount(1_000_000 * UNITS_PER_CPC)
    fee_reserve: Amount = Amount(1_000_000_000)
    gas_price: Annotated[int, Meta(ge=1, le=10**15)] = 1_000
    min_payout: Amount = Amount(2_100_000_000)
    payout_threshold: Amount = Amount(10 * UNITS_PER_CPC)
    payout_entries: Annotated[int, Meta(ge=1, le=100_000)] = 256
    payout_interval_s: Annotated[int, Meta(ge=1, le=86_400)] = 1
    payout_max_age_s: Annotated[int, Meta(ge=1, le=30 * 86_400)] = 604_800
    max_payout_threshold: Amount = Amount(1_000 * UNITS_PER_CPC)
    settlement: Literal["transfer", "escrow"] = "transfer"
    escrow_block_s: _Seconds = 1.0
    escrow_batch_s: _Seconds = 1.0
    escrow_grace_blocks: Annotated[int, Meta(ge=1, le=1_000_000)] = 120
    burn_address: Destination
    treasury_address: Destination


class NetworkConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A whole network file."""

    network: NetworkSection
    protocol: ProtocolSection
    economics: EconomicsSection


class NodeSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[node]`: what this node is."""

    network: str = ""
    roles: tuple[Role, ...] = ()
    data_dir: Annotated[str, Meta(min_length=1, description="a path in quotes")] = "~/.tmnode"
    log_level: LogLevel = "info"


class P2PSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[p2p]`: where it listens and whom it dials beside the network's own bootstrap peers."""

    listen: tuple[ListenAddress, ...] = (ListenAddress("/ip4/127.0.0.1/tcp/0"),)
    bootstrap: tuple[PeerAddress, ...] = ()


class ApiSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[api]`: the HTTP door."""

    listen: HostPort = HostPort("127.0.0.1:8080")
    max_body_bytes: Annotated[int, Meta(ge=1_024, le=1 << 30)] = 1 << 20
    max_requests: Annotated[int, Meta(ge=1, le=100_000)] = 64


class WorkerSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[worker]`: what it offers to compute."""

    slots: Annotated[int, Meta(ge=1, le=256)] = 1
    device: _Device = "cpu"
    memory_limit: ByteSize = ByteSize(2 << 30)


class MarketSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[market]`: how much it takes on."""

    max_open_tasks: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    operator: Account = Account("")


class PayoutSection(msgspec.Struct, frozen=True, kw_only=True):
    """`[payout]`: when a worker or validator wants to be paid."""

    threshold: Amount = Amount(0)


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A whole node file."""

    node: NodeSection = NodeSection()
    p2p: P2PSection = P2PSection()
    api: ApiSection = ApiSection()
    worker: WorkerSection = WorkerSection()
    market: MarketSection = MarketSection()
    payout: PayoutSection = PayoutSection()


class Config(NodeConfig, frozen=True, kw_only=True):
    """Everything a node is told when it starts: its own file and its network's."""

    network: NetworkConfig

    @property
    def data_dir(self) -> Path:
        """The node's data directory, absolute."""
        return Path(self.node.data_dir)

    @property
    def bootstrap(self) -> tuple[PeerAddress, ...]:
        """All peers to dial, each once: the network's, then the node's own."""
        return tuple(dict.fromkeys((*self.network.network.bootstrap, *self.p2p.bootstrap)))
