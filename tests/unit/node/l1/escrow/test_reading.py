"""Payloads read strictly: whatever is wrong is refused by the name of its field."""

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.l1.canonical import canonical_payload
from node.l1.errors import BadPayload, BadTransaction
from node.l1.escrow import (
    BASE_GAS,
    GAS_PER_BYTE,
    MAX_ESCROWS,
    MAX_PAYLOAD_BYTES,
    Act,
    Payee,
    Payload,
    appeal_escrow,
    bond,
    deposit,
    open_escrows,
    read,
    refund_escrow,
    rule_escrow,
    settle_escrow,
    settle_escrows,
    slash,
    unbond,
    withdraw_all,
    withdraw_for,
)
from node.l1.escrow.gas import MAX_EVIDENCE_BYTES
from node.l1.escrow.rows import MAX_PAYEES
from node.l1.keys import AccountKey
from node.l1.transactions import Draft, Transaction

Senders = dict[str, tuple[AccountKey, Draft]]


@pytest.fixture(scope="module")
def senders(parties: Any) -> Senders:
    """One transaction of each form, and its sender; two escrows are opened, and settled."""
    market, customer, validator = parties.market, parties.customer, parties.accounts[0]
    opening = parties.opening()
    openings = [opening, parties.opening("other", customer=parties.worker.address)]
    workers = sorted((customer.address, parties.worker.address))
    claims = {
        parties.name_of(one): parties.claim(
            workers=tuple(Payee(address=address, weight=7) for address in workers)
        )
        for one in openings
    }
    name = parties.name_of(opening)
    culprits = tuple(sorted((parties.worker.address, validator.address)))
    award = parties.award(false=("ab" * 32, "cd" * 32), culprits=culprits, keys=("ef" * 32,) * 2)
    acts = [Act(address=one, evidence={"x": 1}) for one in culprits]
    return {
        "deposit": (customer, deposit(market.address, 5)),
        "deposit_for": (market, deposit(market.address, 5, customer=customer.address)),
        "withdraw_for": (market, withdraw_for(customer.address, 5)),
        "withdraw_all": (customer, withdraw_all(market.address)),
        "open": (market, open_escrows(openings)),
        "settle": (market, settle_escrows(claims, parties.approved(claims))),
        "refund": (market, refund_escrow(name, parties.refusals(opening))),
        "appeal": (market, appeal_escrow(name, 5, 30)),
        "rule": (market, rule_escrow(name, award, acts, parties.awarded(opening, award))),
        "bond": (validator, bond(market.address, 5, parties.binding(0))),
        "unbond": (validator, unbond(market.address, 5)),
        "slash": (market, slash(market.address, validator.address, {"kind": "x"}, signatures=2)),
    }


NAMES = (
    "deposit",
    "deposit_for",
    "withdraw_for",
    "withdraw_all",
    "open",
    "settle",
    "refund",
    "appeal",
    "rule",
    "bond",
    "unbond",
    "slash",
)


ROWS = (
    ("task_id", "customer", "amount", "deadline"),
    ("escrow_id", "workers", "validators", "orchestrator", "results"),
    ("payee", "weight"),
)
"""The names of what stands in a row."""
COLUMNS = {name: index for row in ROWS for index, name in enumerate(row)}


def changed(tx: Transaction, path: str, value: object) -> Transaction:
    """With another value in the payload, or none for `...`; the path is like `tasks.0.amount`."""
    payload = copy.deepcopy(tx.payload)
    *way, last = path.split(".")
    place = found(payload, way)
    key = step_in(place, last)
    if value is ...:
        del place[key]
    else:
        place[key] = value
    return msgspec.structs.replace(tx, payload=payload)


def found(payload: Any, way: list[str]) -> Any:
    """What is there in the payload."""
    for step in way:
        payload = payload[step_in(payload, step)]
    return payload


def step_in(place: object, step: str) -> Any:
    if isinstance(place, list):
        return int(step) if step.isdigit() else COLUMNS[step]
    return step


@pytest.mark.parametrize("name", NAMES)
def test_what_is_built_is_read(senders: Senders, name: str) -> None:
    sender, draft = senders[name]
    tx = draft.signed(sender, 0)
    assert plain(read(tx)) == tx.payload
    parts = {
        # validators and customers, tasks
        "open": (5 + 2) * 2_000 + 2 * 1_000,
        # signatures, payees, claims, two workers and three validators of each
        "settle": 3 * 10_000 + 5 * 2_000 + 2 * 1_000 + 2 * 5 * 250,
        "refund": 3 * 10_000,
        # signatures and acts, jurors and culprits
        "rule": (3 + 2) * 10_000 + (2 + 2) * 2_000,
        "bond": 2 * 10_000,
        "slash": 2 * 10_000,
    }
    length = len(canonical_payload(tx.payload))
    gas = BASE_GAS[tx.tx_type] + GAS_PER_BYTE * length + parts.get(name, 0)
    assert (tx.gas_limit, tx.fee) == (gas, gas * 1000)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_needed_and_no_other_is_taken(senders: Senders, name: str) -> None:
    sender, draft = senders[name]
    tx = draft.signed(sender, 0)
    for path in paths_in(tx.payload) if name != "deposit_for" else ():
        with pytest.raises(BadPayload) as caught:
            read(changed(tx, path, ...))
        row = path.rpartition(".")[0]  # of which one is missing
        assert caught.value.field in (dotted(path), dotted(row), "customer")
    odd = {**tx.payload, "more": 1}
    with pytest.raises(BadPayload) as caught:
        read(msgspec.structs.replace(tx, payload=odd))
    assert (caught.value.field, caught.value.problem) == ("more", "more: is not known here")


def paths_in(payload: Any, before: str = "") -> list[str]:
    """Of all fields, those of the first row of some too."""
    paths = []
    items = (
        payload.items() if isinstance(payload, dict) else zip(row_of(payload), payload, strict=True)
    )
    for name, value in items:
        paths.append(before + name)
        if isinstance(value, dict) and name != "evidence":
            paths += paths_in(value, f"{before}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], list):
            paths += paths_in(value[0], f"{before}{name}.0.")
    return paths


def row_of(values: list[object]) -> tuple[str, ...]:
    """The names of so many."""
    return next(row for row in ROWS if len(row) == len(values))


def dotted(path: str) -> str:
    """`a.0.b` as the errors have it, `a[0].b`."""
    steps = [f"[{one}]" if one.isdigit() else f".{one}" for one in path.split(".")]
    return "".join(steps).lstrip(".")


TASK = "0f8fad5b-d9cb-469f-a165-70867728950e"
BAD = [
    ("withdraw_for", "amount", 5),
    ("withdraw_for", "amount", "05"),
    ("withdraw_for", "amount", "0"),
    ("withdraw_for", "amount", "-5"),
    ("withdraw_for", "amount", "1" + "0" * 37),
    ("withdraw_for", "amount", 5.0),
    ("withdraw_for", "customer", "cpc1burn"),
    ("withdraw_for", "customer", None),
    ("withdraw_all", "market", ""),
    ("open", "tasks.0.task_id", TASK.upper()),
    ("open", "tasks.0.task_id", TASK + "\n"),
    ("open", "tasks.0.task_id", TASK[1:]),
    ("open", "tasks.0.task_id", TASK.replace("-", "")),
    ("open", "tasks.0.task_id", TASK.replace("-", "_")),
    ("open", "tasks.0.task_id", f"{{{TASK}}}"),
    ("open", "tasks.0.task_id", "٣" + TASK[1:]),
    ("open", "tasks.0.task_id", 7),
    ("settle", "claims.0.escrow_id", "AB" * 32),
    ("settle", "claims.0.escrow_id", "ab" * 32 + "\n"),
    ("refund", "escrow_id", "ab" * 31),
    ("open", "k", 0),
    ("open", "k", 6),
    ("open", "k", True),
    ("open", "k", "3"),
    ("open", "k", 3.0),
    ("open", "tasks.0.deadline", -1),
    ("open", "tasks.0.deadline", 2**63),
    ("open", "grace", None),
    ("open", "validators", []),
    ("open", "shares.burn", 6001),
    ("open", "shares.orchestrator", 10_001),
    ("open", "fee_reserve", "-1"),
    ("open", "burn_address", ""),
    ("open", "burn_address", "a b"),
    ("open", "treasury_address", "é"),
    ("open", "validators.0.public_key", "zz" * 32),
    ("open", "validators.4.address", "cpc1x"),
    ("open", "validators.2.more", 1),
    ("open", "customers", []),
    ("open", "customers.1", "cpc1burn"),
    ("open", "tasks", []),
    ("open", "tasks.0", {"task_id": TASK}),
    ("open", "tasks.1.amount", 7),
    ("open", "tasks.1.amount", "0"),
    ("open", "tasks.0.amount", "-5"),
    ("open", "tasks.0.amount", "1" + "0" * 37),
    ("open", "tasks.1.customer", 2),
    ("open", "tasks.1.customer", -1),
    ("open", "tasks.0.customer", "0"),
    ("open", "tasks.0.customer", 1.0),
    ("settle", "payees", []),
    ("settle", "payees.4", "cpc1burn"),
    ("settle", "claims", []),
    ("settle", "claims.1", None),
    ("settle", "claims.0.workers", []),
    ("settle", "claims.0.workers", [[0, 0], [1, 0]]),
    ("settle", "claims.1.workers.0.weight", -1),
    ("settle", "claims.1.workers.1.weight", 2**63),
    ("settle", "claims.1.workers.1.weight", None),
    ("settle", "claims.1.workers.0.payee", 5),
    ("settle", "claims.1.validators.2.payee", 5),
    ("settle", "claims.0.validators.2.payee", 2**63 - 1),
    ("settle", "claims.0.validators.0.payee", -1),
    ("settle", "claims.0.validators.0.payee", True),
    ("settle", "claims.1.orchestrator", 5),
    ("settle", "claims.0.orchestrator", -1),
    ("settle", "claims.0.orchestrator", ""),
    ("settle", "claims.1.results", "ab"),
    ("settle", "signatures.0.signature", "ab"),
    ("settle", "signatures.1.public_key", 5),
    ("refund", "signatures", None),
    ("deposit_for", "customer", None),
    ("deposit_for", "customer", ""),
    ("deposit_for", "customer", "cpc1burn"),
    ("appeal", "escrow_id", "ab" * 31),
    ("appeal", "fee", "0"),
    ("appeal", "fee", 5),
    ("appeal", "fee", "1" + "0" * 37),
    ("appeal", "deadline", 2**63),
    ("appeal", "deadline", True),
    ("rule", "award.outcome", "lost"),
    ("rule", "award.jurors", []),
    ("rule", "award.jurors.0", "cpc1burn"),
    ("rule", "award.false", []),
    ("rule", "award.false.0", "AB" * 32),
    ("rule", "award.culprits", []),
    ("rule", "award.culprits.0", ""),
    ("rule", "award.keys", []),
    ("rule", "award.keys.1", "ef" * 31),
    ("rule", "award.more", 1),
    ("rule", "acts.0.evidence", []),
    ("rule", "acts.0.evidence", None),
    ("rule", "acts.1.more", 1),
    ("rule", "signatures.0.signature", "ab"),
    ("unbond", "market", "cpc1x"),
    ("unbond", "amount", "0"),
    ("slash", "market", ""),
    ("slash", "offender", "cpc1burn"),
    ("bond", "binding.account_public", "ab" * 32),
    ("slash", "evidence", []),
]


@pytest.mark.parametrize(("name", "path", "value"), BAD)
def test_what_is_wrong_is_named(senders: Senders, name: str, path: str, value: object) -> None:
    sender, draft = senders[name]
    with pytest.raises(BadPayload) as caught:
        read(changed(draft.signed(sender, 0), path, value))
    whole = ("open.shares.burn", "open.shares.orchestrator")  # they are wrong together
    named = path.partition(".")[0] if f"{name}.{path}" in whole else path
    assert caught.value.field == dotted(named)
    assert str(caught.value).startswith(f"{dotted(named)}: ")


def test_lists_have_one_order(senders: Senders, parties: Any) -> None:
    twice = (Payee(address=parties.worker.address, weight=1),) * 2
    for name, path in (
        ("open", "validators"),
        ("open", "customers"),
        ("open", "tasks"),
        ("settle", "signatures"),
        ("settle", "payees"),
        ("settle", "claims"),
        ("settle", "claims.0.workers"),
        ("settle", "claims.1.validators"),
        ("refund", "signatures"),
        ("rule", "signatures"),
        ("rule", "award.jurors"),
        ("rule", "award.false"),
        ("rule", "award.culprits"),
    ):
        sender, draft = senders[name]
        tx = draft.signed(sender, 0)
        place = found(tx.payload, path.split("."))
        for other in (place[::-1], [place[0], *place]):
            with pytest.raises(BadPayload, match="strictly rising") as caught:
                read(changed(tx, path, other))
            assert caught.value.field == dotted(path)
    with pytest.raises(BadPayload, match=r"claims\[0\]\.workers: are not in strictly rising"):
        settle_escrow("ab" * 32, parties.claim(workers=twice), [])


@pytest.mark.parametrize(
    ("outcome", "wrong"),
    [
        ("inconclusive", "jurors"),
        ("inconclusive", "false"),
        ("inconclusive", "culprits"),
        ("upheld", "false"),
        ("upheld", "culprits"),
    ],
)
def test_an_award_names_nobody_in_vain(parties: Any, outcome: str, wrong: str) -> None:
    named = {"inconclusive": set[str](), "upheld": {"jurors"}}[outcome]
    empty = dict.fromkeys({"jurors", "false", "culprits"} - named - {wrong}, ())
    award = parties.award(outcome=outcome, **empty)
    with pytest.raises(BadPayload, match="has to be empty where the outcome is") as caught:
        rule_escrow("ab" * 32, award, [], [])
    assert caught.value.field == f"award.{wrong}"


def test_each_culprit_has_one_act(senders: Senders) -> None:
    """Neither more nor less, nor another's, nor twice."""
    sender, draft = senders["rule"]
    tx = draft.signed(sender, 0)
    payload: dict[str, Any] = tx.payload
    one, other = payload["acts"]
    for acts in ([], [one], [other, one], [one, one], [one, other, other]):
        with pytest.raises(BadPayload, match="one of each culprit, in their order") as caught:
            read(changed(tx, "acts", acts))
        assert caught.value.field == "acts"


def test_numbers_have_bounds(senders: Senders) -> None:
    for name, path, count in (
        ("open", "validators", 65),
        ("open", "customers", MAX_ESCROWS + 1),
        ("open", "tasks", MAX_ESCROWS + 1),
        ("settle", "signatures", 65),
        ("settle", "payees", MAX_PAYEES + 1),
        ("settle", "claims", MAX_ESCROWS + 1),
        ("settle", "claims.0.validators", 65),
        ("settle", "claims.1.workers", 257),
        ("rule", "signatures", 65),
        ("rule", "award.jurors", 65),
        ("rule", "award.false", 257),
        ("rule", "award.culprits", 321),
        ("rule", "award.keys", 321),
        ("rule", "acts", 321),
    ):
        sender, draft = senders[name]
        tx = draft.signed(sender, 0)
        place = found(tx.payload, path.split("."))
        with pytest.raises(BadPayload, match="length") as caught:
            read(changed(tx, path, [place[0]] * count))
        assert caught.value.field == dotted(path)
    for name, path, most in (
        ("settle", "payees.0", MAX_PAYLOAD_BYTES),
        ("rule", "acts.0.evidence.x", MAX_EVIDENCE_BYTES),
    ):
        sender, draft = senders[name]
        long = changed(draft.signed(sender, 0), path, "x" * most)
        with pytest.raises(BadPayload, match=rf"payload: has \d+ bytes, {most} at most"):
            read(long)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_outside_the_payload_goes_astray(senders: Senders, parties: Any, name: str) -> None:
    sender, draft = senders[name]
    tx = draft.signed(sender, 0)
    amount = 0 if name in ("deposit", "deposit_for", "bond") else 5
    with pytest.raises(BadPayload, match=r"^amount: "):
        read(msgspec.structs.replace(tx, amount=amount))
    to_address = "" if "deposit" in name or name == "bond" else parties.market.address
    with pytest.raises(BadPayload, match=r"^to_address: "):
        read(msgspec.structs.replace(tx, to_address=to_address))
    other = parties.market.validator_address
    with pytest.raises(BadPayload, match=r"^from_address: "):
        read(msgspec.structs.replace(tx, from_address=other))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from(NAMES), JSON)
def test_whatever_is_taken_is_read_as_it_stands(senders: Senders, name: str, value: object) -> None:
    """And what is not raises one error."""
    sender, draft = senders[name]
    tx = draft.signed(sender, 0)
    for path in paths_in(tx.payload):
        other = changed(tx, path, value)
        try:
            form = read(other)
        except BadTransaction:
            continue
        assert plain(form) == other.payload


def plain(form: Payload) -> Any:
    """As JSON."""
    return json.loads(msgspec.json.encode(form, enc_hook=lambda one: one.to_wire()))
