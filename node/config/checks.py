"""What must hold between the values of a configuration, beyond each one's own range."""

from node.amounts import format_cpc
from node.config.model import Config, EconomicsSection, NetworkConfig, NetworkSection
from node.config.reading import fault
from node.config.values import ByteSize
from node.l1.transactions import GAS

_ALL_BP = 10_000
_LEAST_MEMORY = ByteSize(256 << 20)


def check_network(config: NetworkConfig, source: str) -> None:
    """Raise ConfigError unless the parts of a network file fit together."""
    _check_local_account(config.network, source)
    _check_protocol(config, source)
    _check_split(config.economics, source)
    _check_prices(config.economics, source)
    _check_payouts(config.economics, source)
    _check_disputes(config.economics, source)


def check_node(config: Config, source: str) -> None:
    """Raise ConfigError unless the node has something to do and the room to do it."""
    if not config.node.roles:
        remedy = "name at least one of market, validator, worker, in the file or with --role"
        raise fault(source, "node.roles", "is empty", remedy)
    if len(set(config.node.roles)) != len(config.node.roles):
        raise fault(source, "node.roles", "names a role twice", "name each role once")
    if config.worker.memory_limit < _LEAST_MEMORY:
        message = f"{config.worker.memory_limit} is too little to compute in"
        raise fault(source, "worker.memory_limit", message, f"use at least {_LEAST_MEMORY}")


def _check_local_account(network: NetworkSection, source: str) -> None:
    if network.local_account and network.name != "devnet":
        raise fault(
            source,
            "network.local_account",
            f'lets anybody on this machine spend, on the network "{network.name}"',
            'leave it out; only a network named "devnet" may have one',
        )


def _check_protocol(config: NetworkConfig, source: str) -> None:
    protocol = config.protocol
    if not protocol.quorum_size // 2 < protocol.quorum_needed <= protocol.quorum_size:
        low, high = protocol.quorum_size // 2 + 1, protocol.quorum_size
        message = f"{protocol.quorum_needed} of {high} is no majority"
        raise fault(source, "protocol.quorum_needed", message, f"use {low} to {high}")
    for low_key, high_key in (("job_lease_s", "lease_s"), ("default_deadline_s", "max_deadline_s")):
        low, high = getattr(protocol, low_key), getattr(protocol, high_key)
        if low > high:
            message = f"{low} is more than {high_key}, {high}"
            raise fault(source, f"protocol.{low_key}", message, f"use at most {high}")


def _check_split(economics: EconomicsSection, source: str) -> None:
    keys = ("burn_bp", "worker_bp", "validator_bp", "treasury_bp")
    total = sum(getattr(economics, key) for key in keys)
    if total != _ALL_BP:
        message = f"{' + '.join(keys)} is {total}"
        raise fault(source, "economics", message, f"make them add up to {_ALL_BP}")
    if economics.burn_address.spendable:
        message = f"{economics.burn_address} is an address that a key can own"
        raise fault(source, "economics.burn_address", message, "use a label such as cpc1burn000…")


def _check_prices(economics: EconomicsSection, source: str) -> None:
    if not 0 < economics.min_reward <= economics.max_reward:
        message = f"{format_cpc(economics.min_reward)} is not above 0 and at most max_reward"
        remedy = f"use at most {format_cpc(economics.max_reward)}"
        raise fault(source, "economics.min_reward", message, remedy)
    validators = economics.min_reward * economics.validator_bp // _ALL_BP
    if economics.fee_reserve > validators:
        message = "is more than the validators' part of min_reward"
        remedy = f"use at most {format_cpc(validators)}"
        raise fault(source, "economics.fee_reserve", message, remedy)


def _check_payouts(economics: EconomicsSection, source: str) -> None:
    fee = GAS["TRANSFER"] * economics.gas_price
    if economics.min_payout < fee:
        message = f"is less than the fee of a TRANSFER, {format_cpc(fee)}"
        raise fault(source, "economics.min_payout", message, f"use at least {format_cpc(fee)}")
    if economics.payout_max_age_s < economics.payout_interval_s:
        message = f"is less than payout_interval_s, {economics.payout_interval_s}"
        remedy = f"use at least {economics.payout_interval_s}"
        raise fault(source, "economics.payout_max_age_s", message, remedy)
    if economics.max_payout_threshold < economics.min_payout:
        message = f"is less than min_payout, {format_cpc(economics.min_payout)}"
        remedy = f"use at least {format_cpc(economics.min_payout)}"
        raise fault(source, "economics.max_payout_threshold", message, remedy)


def _check_disputes(economics: EconomicsSection, source: str) -> None:
    """A bond must not leave before every result that it stood for is beyond dispute.

    A chain that holds the bonds has its own time for it, which a market looks at when it knows it.
    """
    least = economics.dispute_window_s + economics.unbonded_wait_s + economics.appeal_s
    if economics.unbonding_s <= least:
        message = f"{economics.unbonding_s} lets a bond leave before its results are beyond dispute"
        raise fault(
            source,
            "economics.unbonding_s",
            message,
            f"use more than {least:g}, dispute_window_s + unbonded_wait_s + appeal_s",
        )
