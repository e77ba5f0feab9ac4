"""Who is let into the pool, in the existing chain's order and words; queues and their trap."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.l1 import bech32
from node.l1.devchain.config import RULES
from node.l1.devchain.mempool import Mempool
from node.l1.devchain.state import Account, State
from node.l1.keys import AccountKey, address_of
from node.l1.transactions import Transaction, sign, transfer, tx_digest

Key = Callable[[int], AccountKey]
RICH = 10**21


@pytest.fixture
def pool() -> Mempool:
    return Mempool(RULES["devnet"], 3_600.0)


@pytest.fixture
def state(key: Key) -> State:
    return State({key(number).address: Account(RICH) for number in range(1, 6)}, [])


@pytest.fixture
def pay(key: Key) -> Callable[..., Transaction]:
    def pay(nonce: int, *, sender: int = 1, amount: int = 1, gas_price: int = 1_000) -> Transaction:
        draft = transfer(key(9).address, amount, gas_price=gas_price)
        return draft.signed(key(sender), nonce)

    return pay


def nonces(pool: Mempool, count: int = 500) -> list[int]:
    return [waiting.tx.nonce for waiting in pool.candidates(count)]


def test_each_check_in_its_turn(pool: Mempool, state: State, key: Key) -> None:
    """Every refusal is overtaken by the one before it as soon as both apply."""
    tx = Transaction(
        tx_type="POC_REWARD", from_address=key(1).address, amount=0, nonce=-1, pub_key="zz"
    )
    steps: list[tuple[str, dict[str, Any]]] = [
        ("gas_price 0 < min 1000", {"gas_price": 1_000}),
        ("unknown_tx_type", {"tx_type": "TRANSFER"}),
        ("gas_limit 0 < base_gas 21000", {"gas_limit": 21_000}),
        ("fee 0 < needed_fee 21000000", {"fee": 21_000_000}),
        ("missing_sig_or_key", {"signature": "xy"}),
        (
            "invalid_key_format: non-hexadecimal number found in fromhex() arg at position 0",
            {"pub_key": key(2).public_key.hex()},
        ),
        ("pub_key_mismatch", {"pub_key": key(1).public_key.hex()}),
        (
            "crypto_error: non-hexadecimal number found in fromhex() arg at position 0",
            {"signature": "00" * 64},
        ),
        ("invalid_signature", {}),
    ]
    for problem, cure in steps:
        assert pool.admit(tx, state, 0.0) == (tx_digest(tx), problem)
        tx = msgspec.structs.replace(tx, **cure)
    cures: list[tuple[str, dict[str, Any]]] = [
        ("transfer_amount_zero", {"amount": RICH}),
        ("insufficient_balance", {"amount": 1}),
        ("nonce_too_low", {"nonce": 0}),
        ("", {}),
        ("already_in_pool", {}),
    ]
    for problem, cure in cures:
        assert pool.admit(sign(tx, key(1)), state, 0.0)[1] == problem
        tx = msgspec.structs.replace(tx, **cure)


def test_a_transaction_in_the_pool_is_known_before_anything_is_checked(
    pool: Mempool, state: State, pay: Callable[..., Transaction]
) -> None:
    tx = pay(0)
    assert pool.admit(tx, state, 0.0)[1] == ""
    spoiled = msgspec.structs.replace(tx, signature="")  # not part of the hash
    assert pool.admit(spoiled, state, 0.0)[1] == "already_in_pool"


def test_the_stated_fee_must_be_there_though_it_is_not_charged(
    pool: Mempool, state: State, key: Key
) -> None:
    tx = Transaction(
        tx_type="TRANSFER",
        from_address=key(1).address,
        to_address="x",
        amount=1,
        fee=RICH,
        nonce=0,
        gas_price=1_000,
        gas_limit=21_000,
    )
    assert pool.admit(sign(tx, key(1)), state, 0.0)[1] == "insufficient_balance"


def test_no_replacement_by_price(
    pool: Mempool, state: State, pay: Callable[..., Transaction]
) -> None:
    assert pool.admit(pay(0), state, 0.0)[1] == ""
    assert pool.admit(pay(0, gas_price=9_000), state, 0.0)[1] == "nonce_too_low"


def test_limits_of_a_sender(pool: Mempool, state: State, pay: Callable[..., Transaction]) -> None:
    for nonce in range(1_000):
        assert pool.admit(pay(nonce), state, 0.0)[1] == ""
    assert pool.admit(pay(1_000), state, 0.0)[1] == "sender_limit_exceeded"
    for nonce in range(1, 65):
        assert pool.admit(pay(nonce, sender=2), state, 0.0)[1] == ""
    assert pool.admit(pay(65, sender=2), state, 0.0)[1] == "queued_limit_exceeded"
    assert pool.size == 1_000


def test_a_full_pool(
    pool: Mempool,
    state: State,
    pay: Callable[..., Transaction],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.l1.devchain.mempool.MAX_POOL", 2)
    for nonce in range(2):
        assert pool.admit(pay(nonce), state, 0.0)[1] == ""
    assert pool.admit(pay(0, sender=2), state, 0.0)[1] == "mempool_full"


def test_a_key_owns_an_account_under_every_prefix(pool: Mempool, key: Key) -> None:
    one = key(1)
    uncompressed = bytes.fromhex("04") + _raw(one)
    accounts = {
        address_of(one.public_key, "cpcvalcons"): one.public_key,
        address_of(one.public_key, "foo"): one.public_key,
        address_of(one.public_key, ""): one.public_key,
        address_of(uncompressed): uncompressed,
    }
    state = State(dict.fromkeys(accounts, Account(RICH)), [])
    for address, public_key in accounts.items():
        tx = Transaction(
            tx_type="TRANSFER",
            from_address=address,
            to_address="x",
            amount=1,
            fee=21_000_000,
            nonce=0,
            gas_price=1_000,
            gas_limit=21_000,
            pub_key=public_key.hex().upper(),
        )
        signature = one.sign_digest(tx_digest(tx)).hex().upper()
        signed = msgspec.structs.replace(tx, signature=f"{signature[:64]}00{signature[64:]}")
        assert pool.admit(signed, state, 0.0)[1] == "", address


def test_an_address_in_upper_case_is_another_account(
    pool: Mempool, state: State, pay: Callable[..., Transaction]
) -> None:
    tx = msgspec.structs.replace(pay(0), from_address=pay(0).from_address.upper())
    assert pool.admit(tx, state, 0.0)[1] == "pub_key_mismatch"


def test_the_first_free_nonce_fills_gaps(
    pool: Mempool, state: State, pay: Callable[..., Transaction], key: Key
) -> None:
    one = key(1).address
    assert pool.first_free_nonce(one, 0) == 0
    for nonce, free in ((0, 1), (1, 2), (4, 2), (2, 3), (3, 5)):
        pool.admit(pay(nonce), state, 0.0)
        assert pool.first_free_nonce(one, 0) == free
    assert pool.size == 4  # the last one stays queued until a block


def test_queued_ones_move_up_after_a_block_only(
    pool: Mempool, state: State, pay: Callable[..., Transaction], key: Key
) -> None:
    for nonce in (1, 2, 0):
        assert pool.admit(pay(nonce), state, 0.0)[1] == ""
    assert nonces(pool) == [0]
    included = pool.candidates(500)
    state.accounts[key(1).address] = Account(RICH, 1)
    pool.settle(included, state)
    assert nonces(pool) == [1, 2]


def test_a_stale_copy_at_the_head_of_a_queue_blocks_it_until_it_expires(
    pool: Mempool, state: State, pay: Callable[..., Transaction], key: Key
) -> None:
    for nonce in (1, 1, 2, 3):
        assert pool.admit(pay(nonce), state, 0.0)[1] == ""
    assert pool.admit(pay(0), state, 1.0)[1] == ""
    for confirmed in (1, 2):
        state.accounts[key(1).address] = Account(RICH, confirmed)
        pool.settle(pool.candidates(500), state)
    assert nonces(pool) == []
    assert pool.first_free_nonce(key(1).address, 2) == 4
    assert pool.admit(pay(2), state, 1.0)[1] == ""  # the way out: send the lowest itself
    assert nonces(pool) == [2]


def test_a_queued_one_without_money_is_dropped(
    pool: Mempool, state: State, pay: Callable[..., Transaction], key: Key
) -> None:
    pool.admit(pay(1, amount=RICH // 2), state, 0.0)
    pool.admit(pay(2), state, 0.0)
    state.accounts[key(1).address] = Account(RICH // 4, 1)
    pool.settle([], state)
    assert nonces(pool) == []
    state.accounts[key(1).address] = Account(RICH // 4, 2)
    pool.settle([], state)
    assert nonces(pool) == [2]


def test_what_became_stale_leaves_the_pool(
    pool: Mempool, state: State, pay: Callable[..., Transaction], key: Key
) -> None:
    for nonce in range(3):
        pool.admit(pay(nonce), state, 0.0)
    state.accounts[key(1).address] = Account(RICH, 2)
    pool.settle([], state)
    assert (nonces(pool), pool.size) == ([2], 1)


def test_expiry(pool: Mempool, state: State, pay: Callable[..., Transaction]) -> None:
    pool.admit(pay(0), state, 0.0)
    pool.admit(pay(1), state, 10.0)
    pool.admit(pay(5), state, 0.0)
    assert pool.expire(3_600.0) == []
    expired = {one.tx_hash: one.error for one in pool.expire(3_600.5)}
    assert expired == {
        tx_digest(pay(0)).hex(): "Transaction expired (TTL exceeded)",
        tx_digest(pay(5)).hex(): "Transaction expired in pending queue (TTL exceeded)",
    }
    assert (nonces(pool), pool.size) == ([1], 1)


def test_the_order_of_a_block(
    pool: Mempool, state: State, pay: Callable[..., Transaction], key: Key
) -> None:
    prices = {(1, 0): 1_000, (1, 1): 9_000, (2, 0): 3_000, (2, 1): 1_000, (3, 0): 1_000}
    for (sender, nonce), price in prices.items():
        pool.admit(pay(nonce, sender=sender, gas_price=price), state, 0.0)
    names = {key(number).address: number for number in (1, 2, 3)}
    order = [(names[one.tx.from_address], one.tx.nonce) for one in pool.candidates(500)]
    equal = sorted((key(number).address, number) for number in (1, 2, 3))
    expected = [(2, 0)]
    for _, number in equal:  # all at 1,000 now; the 9,000 shows after its elder
        expected.append((number, 1 if number == 2 else 0))
        if number == 1:
            expected.append((1, 1))
    assert order == expected
    assert len(pool.candidates(2)) == 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 5)), max_size=25), st.data())
def test_the_pool_never_promises_what_it_cannot_do(
    sends: list[tuple[int, int]], choose: st.DataObject
) -> None:
    """Candidates of a sender start at its confirmed nonce and have no gap, after any history."""
    keys = {number: AccountKey(number.to_bytes(32, "big")) for number in (1, 2)}
    state = State({one.address: Account(RICH) for one in keys.values()}, [])
    pool = Mempool(RULES["devnet"], 3_600.0)
    for number, nonce in sends:
        tx = transfer("x", 1, label=True).signed(keys[number], nonce)
        pool.admit(tx, state, 0.0)
        if choose.draw(st.booleans()):
            taken = pool.candidates(choose.draw(st.integers(1, 4)))
            for waiting in taken:
                before = state.account(waiting.tx.from_address)
                assert waiting.tx.nonce == before.nonce
                state.accounts[waiting.tx.from_address] = Account(RICH, before.nonce + 1)
            pool.settle(taken, state)
        assert pool.size == len(pool.candidates(500))


def _raw(key: AccountKey) -> bytes:
    from coincurve import PublicKey

    return PublicKey(key.public_key).format(compressed=False)[1:]


def test_prefixes_need_not_be_ascii(pool: Mempool, key: Key) -> None:
    address = bech32.encode("é", bech32.decode(key(1).address)[1])
    tx = Transaction(
        tx_type="TRANSFER",
        from_address=address,
        amount=1,
        fee=21_000_000,
        nonce=0,
        gas_price=1_000,
        gas_limit=21_000,
        pub_key=key(1).public_key.hex(),
    )
    signed = msgspec.structs.replace(tx, signature=key(1).sign_digest(tx_digest(tx)).hex())
    assert pool.admit(signed, State({}, []), 0.0)[1] == "insufficient_balance"
