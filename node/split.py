"""How a reward is divided, by a market and by a chain that holds escrows.

Pure arithmetic on integers of 10^-18 CPC. Every part is rounded down and what rounding leaves
is burned, so that the parts always add up to the reward and at least the burn's share of it is
burned.
"""

from collections.abc import Collection, Mapping

import msgspec

from node.errors import ConfigError, InvalidInput

BASIS_POINTS = 10_000


class Shares(msgspec.Struct, frozen=True):
    """Shares in basis points: four of a reward, which add up to 10,000, and the orchestrator's of
    the validators' part (ConfigError otherwise).
    """

    burn: int = 6_000
    workers: int = 2_500
    validators: int = 1_000
    treasury: int = 500
    orchestrator: int = 2_500

    def __post_init__(self) -> None:
        parts = (self.burn, self.workers, self.validators, self.treasury)
        if min(parts) < 0 or sum(parts) != BASIS_POINTS:
            raise ConfigError(
                f"shares {parts} are not basis points that add up to {BASIS_POINTS}", field="shares"
            )
        if not 0 <= self.orchestrator <= BASIS_POINTS:
            raise ConfigError(f"is {self.orchestrator} basis points", field="orchestrator")


class Payees(msgspec.Struct, frozen=True):
    """Who did the work of a task, and how much of it: addresses with integer weights >= 0."""

    workers: Mapping[str, int]
    """By the work that was found valid."""
    validators: Mapping[str, int]
    """By the checks that were signed, whatever they found."""
    orchestrator: str
    """The validator that saw the task through."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Everybody who may be paid."""
        return (*self.workers, *self.validators, self.orchestrator)


class Split(msgspec.Struct, frozen=True):
    """The parts of one reward in units; payees in the order of their addresses, none of them 0."""

    workers: tuple[tuple[str, int], ...]
    validators: tuple[tuple[str, int], ...]
    """The orchestrator's share is in what its address gets."""
    treasury: int
    fees: int
    burn: int

    @property
    def total(self) -> int:
        """The reward that was split."""
        people = sum(amount for _, amount in self.workers + self.validators)
        return people + self.treasury + self.fees + self.burn


def split(reward: int, shares: Shares, payees: Payees, fee_reserve: int) -> Split:
    """Divide `reward` units.

    `fee_reserve` units, at most the validators' part, go to the fees. Of the rest of that part the
    orchestrator gets its share and the checks the others; with no weight among the checks theirs is
    burned. Raises InvalidInput for a reward below 1, a negative weight, a negative reserve, or no
    weight among the workers.
    """
    _check(reward, payees, fee_reserve)
    validators_part = reward * shares.validators // BASIS_POINTS
    fees = min(fee_reserve, validators_part)
    orchestrated = (validators_part - fees) * shares.orchestrator // BASIS_POINTS
    checked = _divide(validators_part - fees - orchestrated, payees.validators)
    to_validators = _joined(checked, payees.orchestrator, orchestrated)
    to_workers = _divide(reward * shares.workers // BASIS_POINTS, payees.workers)
    treasury = reward * shares.treasury // BASIS_POINTS
    paid = sum(amount for _, amount in to_workers + to_validators) + treasury + fees
    return Split(to_workers, to_validators, treasury, fees, reward - paid)


class JuryPay(msgspec.Struct, frozen=True):
    """The parts of what a jury is paid of, in units; jurors in the order of their addresses."""

    jurors: tuple[tuple[str, int], ...]
    fees: int
    burn: int


def jury_pay(
    amount: int, jurors: Collection[str], fee_reserve: int, *, most: int | None = None
) -> JuryPay:
    """Divide `amount` units equally among distinct jurors, who get `most` of it together.

    Of what is theirs `fee_reserve` units go to the fees; what does not divide, and what is beyond
    `most`, is burned.
    """
    theirs = amount if most is None else min(amount, most)
    addresses, fees = sorted(set(jurors)), min(fee_reserve, theirs)
    share = (theirs - fees) // len(addresses) if addresses else 0
    each = tuple((address, share) for address in addresses if share)
    return JuryPay(each, fees, amount - fees - share * len(addresses))


def _divide(part: int, weights: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    total = sum(weights.values())
    if total == 0:
        return ()
    amounts = ((address, part * weights[address] // total) for address in sorted(weights))
    return tuple((address, amount) for address, amount in amounts if amount)


def _joined(
    parts: tuple[tuple[str, int], ...], address: str, amount: int
) -> tuple[tuple[str, int], ...]:
    """The parts with one more amount for an address that may have one already."""
    if not amount:
        return parts
    amounts = dict(parts)
    return tuple(sorted({**amounts, address: amounts.get(address, 0) + amount}.items()))


def _check(reward: int, payees: Payees, fee_reserve: int) -> None:
    if reward < 1:
        raise InvalidInput(f"is {reward} units, nothing to split", field="reward")
    if fee_reserve < 0:
        raise InvalidInput(f"is {fee_reserve} units", field="fee_reserve")
    for field, weights in (("workers", payees.workers), ("validators", payees.validators)):
        if any(weight < 0 for weight in weights.values()):
            raise InvalidInput("have a negative weight", field=field)
    if not any(payees.workers.values()):
        raise InvalidInput("have no weight", field="workers", remedy="refund the task instead")
