"""Sending: in order, exactly once, whatever dies, forgets, lies or is away."""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx
import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node.l1.devchain.faults import Faults
from node.l1.devchain.state import Account
from node.l1.errors import BadTransaction, NotSynchronised
from node.l1.keys import AccountKey
from node.l1.sender import LOST_BLOCKS, OutboundRecord, Sender
from node.l1.transactions import Draft, Transaction, submit_result, transfer, tx_hash
from storage.database import Database, open_database
from storage.errors import StorageFailed
from storage.memory import MemoryStore
from storage.store import Batch
from storage.tables import Table

CAUSES = ("payout:1", "payout:2", "payout:3")


class Entry(msgspec.Struct, frozen=True):
    times: int


class Crash(Exception):
    """The process is killed here."""


class DyingStore(MemoryStore):
    """A store whose process dies at one of its writes, just before or just after it."""

    def __init__(self, after_writes: float, *, done: bool) -> None:
        super().__init__()
        self._left = after_writes
        self._done = done

    def write(self, batch: Batch, *, sync: bool) -> None:
        self._left -= 1
        if self._left != -1 or self._done:
            super().write(batch, sync=sync)
        if self._left == -1:
            raise StorageFailed("the process died")


class Owner:
    """A small market: it stages payments and books what is confirmed."""

    def __init__(self, world: Any, db: Database, key: AccountKey, **options: Any) -> None:
        self.db = db
        self.sender = Sender(key, db, world.client, **options)
        self.sender.on_confirmed = self._book
        self.sender.on_lost = self._regret
        self.lost: list[OutboundRecord] = []
        self._ledger = Table(db, "ledger", Entry)
        self._changed = trio.Event()

    def stage(self, causes: Iterable[str], draft_of: Callable[[str], Draft]) -> None:
        batch = Batch()
        for cause in causes:
            self.sender.stage(batch, cause, draft_of(cause))
        self.db.stage(batch)

    @property
    def booked(self) -> dict[str, int]:
        return {cause.decode(): entry.times for cause, entry in self._ledger.items()}

    async def until(self, done: Callable[[], bool]) -> None:
        with trio.fail_after(1_000):  # virtual seconds: far longer than anything here takes
            while not done():
                self._changed = trio.Event()
                await self._changed.wait()

    async def until_booked(self, causes: Iterable[str] = CAUSES) -> None:
        await self.until(lambda: set(causes) <= set(self.booked))

    def _book(self, batch: Batch, record: OutboundRecord) -> None:
        before = self._ledger.get(record.cause.encode())
        entry = Entry(1 if before is None else before.times + 1)
        self._ledger.put(batch, record.cause.encode(), entry)
        trio.lowlevel.current_trio_token().run_sync_soon(self._notice)

    def _regret(self, _batch: Batch, record: OutboundRecord) -> None:
        self.lost.append(record)
        trio.lowlevel.current_trio_token().run_sync_soon(self._notice)

    def _notice(self) -> None:
        self._changed.set()


Open = Callable[..., Any]


@pytest.fixture
def pay(key: Callable[[int], AccountKey]) -> Callable[[str], Draft]:
    """A draft whose amount says for what it is."""
    return lambda cause: transfer(key(6).address, int(cause.rpartition(":")[2]))


@pytest.fixture
async def chain(make_world: Callable[..., Any]) -> AsyncIterator[Any]:
    """A chain that makes its blocks."""
    world = make_world(virtual=True)
    async with running(world):
        yield world


@asynccontextmanager
async def running(world: Any) -> AsyncIterator[None]:
    async with world.running(), trio.open_nursery() as nursery:
        await nursery.start(world.chain.run)
        yield
        nursery.cancel_scope.cancel()


@pytest.fixture
def open_owner(key: Callable[[int], AccountKey]) -> Open:
    @asynccontextmanager
    async def open_owner(
        world: Any, store: MemoryStore | None = None, **options: Any
    ) -> AsyncIterator[Owner]:
        async with open_database(store or MemoryStore()) as db, trio.open_nursery() as nursery:
            owner = Owner(world, db, key(1), **options)
            await nursery.start(owner.sender.run)
            yield owner
            nursery.cancel_scope.cancel()

    return open_owner


def amounts(world: Any) -> list[int]:
    return [tx["amount"] for tx in world.transactions()]


def sends(world: Any) -> int:
    return world.requests.count("POST /tx/send")


async def test_payments_arrive_in_order(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any
) -> None:
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        owner.stage(CAUSES, pay)
        await owner.until_booked()
        assert amounts(chain) == [1, 2, 3]
        assert sends(chain) == 3
        records = [owner.sender.find(cause) for cause in CAUSES]
        assert [record.nonce for record in records] == [0, 1, 2]
        assert {record.state for record in records} == {"confirmed"}
        assert all(record.height is not None for record in records)


async def test_results_too(
    autojump_clock: MockClock, chain: Any, open_owner: Open, key: Any
) -> None:
    result: dict[str, object] = {
        "task_id": "t",
        "worker_address": key(1).address,
        "result_hash": "",
        "proof": "",
        "signature": "",
    }
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        owner.stage(["results:1"], lambda _cause: submit_result(result))
        await owner.until_booked(["results:1"])
        with pytest.raises(BadTransaction):
            owner.stage(["results:2"], lambda _cause: submit_result({**result, "proof": None}))


async def test_nothing_is_asked_while_nothing_is_open(
    autojump_clock: MockClock, chain: Any, open_owner: Open
) -> None:
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        await trio.sleep(5)
        asked = len(chain.requests)
        await trio.sleep(100)
        nonces = [one for one in chain.requests[asked:] if "/nonce/" in one or "/tx/" in one]
        assert nonces == []


async def test_a_cause_is_sent_once(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any
) -> None:
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        batch = Batch()
        first = owner.sender.stage(batch, "payout:1", pay("payout:1"))
        assert owner.sender.stage(batch, "payout:1", pay("payout:7")) is not None
        changes = len(batch)
        again = owner.sender.stage(batch, "payout:1", pay("payout:7"))
        assert (again, len(batch)) == (first, changes)
        owner.db.stage(batch)
        await owner.until_booked(["payout:1"])
        later = Batch()
        settled = owner.sender.stage(later, "payout:1", pay("payout:7"))
        assert (settled.state, settled.signed, len(later)) == ("confirmed", first.signed, 0)
        assert amounts(chain) == [1]


async def test_a_batch_that_is_thrown_away_leaves_no_gap(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any
) -> None:
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        assert owner.sender.stage(Batch(), "payout:9", pay("payout:9")).nonce == 0
        owner.stage(CAUSES, pay)
        await owner.until_booked()
        assert amounts(chain) == [1, 2, 3]
        assert owner.sender.find("payout:9") is None


async def test_nothing_is_signed_before_the_nonce_is_known(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any
) -> None:
    chain.down = True
    async with open_owner(chain) as owner:
        with pytest.raises(NotSynchronised):
            owner.stage(CAUSES, pay)
        chain.down = False
        await owner.sender.ready.wait()
        owner.stage(CAUSES, pay)
        await owner.until_booked()


async def test_an_account_that_was_used_before(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any, key: Any
) -> None:
    for nonce in range(3):
        await chain.client.send(transfer(key(2).address, 10).signed(key(1), nonce))
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        owner.stage(CAUSES, pay)
        await owner.until_booked()
        assert [owner.sender.find(cause).nonce for cause in CAUSES] == [3, 4, 5]


async def test_the_l1_is_away(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any
) -> None:
    store = MemoryStore()
    async with open_owner(chain, store) as owner:
        await owner.sender.ready.wait()
    chain.down = True
    async with open_owner(chain, store) as owner:
        assert owner.sender.ready.is_set()  # what is known is on disk
        owner.stage(CAUSES[:2], pay)
        asked = len(chain.requests)
        await trio.sleep(300)
        owner.stage(CAUSES[2:], pay)
        await trio.sleep(300)
        assert len(chain.requests) - asked < 60  # two tasks ask, ever less often
        chain.down = False
        await owner.until_booked()
        assert amounts(chain) == [1, 2, 3]


async def test_a_chain_that_loses_answers_is_sent_what_it_takes(
    autojump_clock: MockClock, make_world: Callable[..., Any], open_owner: Open, pay: Any, key: Any
) -> None:
    """Two hundred in 42 s; with a pause as for a chain that is away it would take 70 s."""
    causes = [f"payout:{number}" for number in range(1, 201)]
    world = make_world(virtual=True, faults=Faults(lost_answers=10))
    async with running(world), open_owner(world) as owner:
        await owner.sender.ready.wait()
        owner.stage(causes, pay)
        began_s = trio.current_time()
        while world.chain.first_free_nonce(key(1).address) < 200:  # noqa: ASYNC110 - virtual
            await trio.sleep(0.1)
        assert trio.current_time() - began_s < 50


@pytest.mark.parametrize("confirmations", [1, 4])
async def test_booked_when_deep_enough(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any, confirmations: int
) -> None:
    async with open_owner(chain, confirmations=confirmations) as owner:
        await owner.sender.ready.wait()
        owner.stage(CAUSES, pay)
        await owner.until_booked()
        height = owner.sender.find(CAUSES[0]).height
        assert chain.chain.tip.height - height + 1 == confirmations
        assert sends(chain) == 3


async def test_an_l1_that_forgets_what_was_only_pending(
    make_world: Callable[..., Any],
    autojump_clock: MockClock,
    open_owner: Open,
    pay: Any,
) -> None:
    world = make_world(virtual=True)
    async with world.running():
        await world.chain.produce()
        async with open_owner(world) as owner:
            await owner.sender.ready.wait()
            owner.stage(CAUSES, pay)
            while world.chain.mempool.size < 3:
                await wait_all_tasks_blocked(0.01)
            async with running(world):  # a new process over the same store, as after a restart
                assert world.chain.mempool.size == 0
                await owner.until_booked()
                assert amounts(world) == [1, 2, 3]


async def test_receipts_that_never_say_confirmed(
    make_world: Callable[..., Any],
    autojump_clock: MockClock,
    open_owner: Open,
    pay: Any,
) -> None:
    world = make_world(virtual=True, faults=Faults(stuck_receipts=1))
    async with running(world), open_owner(world) as owner:
        await owner.sender.ready.wait()
        owner.stage(CAUSES, pay)
        await owner.until_booked()
        receipt = world.chain.receipt(owner.sender.find(CAUSES[0]).tx_hash)
        assert receipt["status"] == "pending"


async def test_out_of_the_queue_trap(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any
) -> None:
    """Copies that were queued ahead of a gap would hold up everything until they expire."""
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        chain.down = True
        owner.stage(CAUSES, pay)
        later = [owner.sender.find(cause).transaction for cause in CAUSES[1:]]
        for _ in range(2):
            for tx in later:
                assert chain.chain.submit(tx)[1] == ""
        chain.down = False
        await owner.until_booked()
        assert amounts(chain) == [1, 2, 3]
        assert owner.sender.find(CAUSES[2]).height - owner.sender.find(CAUSES[0]).height <= 8


async def test_nothing_is_sent_ahead_of_a_gap(
    make_world: Callable[..., Any],
    autojump_clock: MockClock,
    open_owner: Open,
    pay: Any,
) -> None:
    """The pool forgets between two sends; the queue must stay empty all the same."""
    world = make_world(virtual=True)
    causes = [f"payout:{number}" for number in range(1, 40)]
    async with running(world), open_owner(world) as owner:
        await owner.sender.ready.wait()

        def check(_request: httpx.Request) -> None:
            lanes = world.chain.mempool._lanes.values()
            assert not any(lane.queue for lane in lanes)

        world.after_request = check
        for start in range(0, 39, 5):
            owner.stage(causes[start : start + 5], pay)
            await trio.sleep(0.7)
        await owner.until_booked(causes)
        assert amounts(world) == list(range(1, 40))


async def test_without_money_it_waits(
    make_world: Callable[..., Any],
    autojump_clock: MockClock,
    open_owner: Open,
    pay: Any,
    key: Any,
) -> None:
    world = make_world(virtual=True, alloc={key(2).address: 10**21})
    async with running(world), open_owner(world) as owner:
        await owner.sender.ready.wait()
        owner.stage(CAUSES, pay)
        await trio.sleep(20)
        assert "insufficient_balance" in owner.sender.blocked
        assert CAUSES[0] in owner.sender.blocked
        assert (owner.sender.refusal.cause, owner.sender.refusal.is_by_rule) == (CAUSES[0], False)
        await world.client.send(transfer(key(1).address, 10**20).signed(key(2), 0))
        await owner.until_booked()
        assert owner.sender.blocked == ""
        assert owner.sender.refusal is None


async def test_another_program_used_the_account(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any, key: Any
) -> None:
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        foreign = transfer(key(2).address, 77).signed(key(1), 0)
        assert chain.chain.submit(foreign)[1] == ""
        owner.stage(CAUSES, pay)
        await owner.until_booked(CAUSES[1:])
        assert [record.cause for record in owner.lost] == [CAUSES[0]]
        assert "nonce was used by" in owner.lost[0].problem
        assert owner.sender.find(CAUSES[0]).state == "lost"
        assert amounts(chain) == [77, 2, 3]


async def test_another_program_goes_on_using_it(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any, key: Any
) -> None:
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        for nonce in range(2):
            chain.chain.submit(transfer(key(2).address, 77).signed(key(1), nonce))
        await trio.sleep(12)
        owner.stage(CAUSES, pay)
        await owner.until_booked()
        assert [owner.sender.find(cause).nonce for cause in CAUSES] == [2, 3, 4]


async def test_a_twin_with_other_fields_under_our_hash_is_not_ours(
    autojump_clock: MockClock, chain: Any, open_owner: Open, key: Any
) -> None:
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        owner.stage(["payout:1234"], lambda _cause: transfer(key(6).address, 1234))
        ours = owner.sender.find("payout:1234")
        tx = ours.transaction
        twin = msgspec.structs.replace(tx, to_address=f"{tx.to_address}1", amount=234)
        assert chain.chain.submit(twin) == (ours.tx_hash, "")
        await owner.until(lambda: bool(owner.lost))
        assert owner.lost[0].cause == "payout:1234"
        assert owner.booked == {}


async def test_a_nonce_that_was_used_up_in_no_block(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any, key: Any
) -> None:
    """What half a surrogate pair in anybody's payload does on the existing chain."""
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        chain.chain._chain.state.accounts[key(1).address] = Account(10**20, 1)
        owner.stage(CAUSES, pay)
        await owner.until_booked(CAUSES[1:])
        await owner.until(lambda: bool(owner.lost))
        assert [record.cause for record in owner.lost] == [CAUSES[0]]
        assert "no block holds it" in owner.lost[0].problem


async def test_the_last_nonce_was_used_up_in_no_block(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any, key: Any
) -> None:
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        chain.chain._chain.state.accounts[key(1).address] = Account(10**20, 1)
        owner.stage(CAUSES[:1], pay)
        began = chain.chain.tip.height
        await owner.until(lambda: bool(owner.lost))
        assert chain.chain.tip.height - began > 10
        assert sends(chain) == 0


async def test_a_nonce_that_was_used_in_a_block_that_is_given_up(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any, key: Any
) -> None:
    """The chain cannot apply the transaction again before long: that is no reason to lose it."""
    accounts = chain.chain._chain.state.accounts
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        accounts[key(1).address] = Account(10**20, 1)
        await passed_over(chain, owner, pay)
        accounts[key(1).address] = Account(0, 0)
        await blocks(chain, 2 * LOST_BLOCKS)
        accounts[key(1).address] = Account(10**20, 0)
        await owner.until_booked(CAUSES[:1])
        assert owner.lost == []


async def test_a_nonce_that_nobody_looked_after(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any, key: Any
) -> None:
    """It was used in a block that is given up, and is used again much later, by the same
    transaction; in between the chain tells its blocks, and no nonces."""
    accounts, silent = chain.chain._chain.state.accounts, True

    def before(request: httpx.Request) -> None:
        if silent and "nonce" in request.url.path:
            raise httpx.ConnectError("away")

    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        accounts[key(1).address] = Account(10**20, 1)
        await passed_over(chain, owner, pay)
        chain.before_request = before
        accounts[key(1).address] = Account(10**20, 0)
        await blocks(chain, LOST_BLOCKS + 3)
        assert chain.chain.submit(owner.sender.find(CAUSES[0]).transaction)[1] == ""
        silent = False
        await owner.until_booked(CAUSES[:1])
        assert owner.lost == []


async def passed_over(world: Any, owner: Owner, pay: Any) -> None:
    """Stage a payment whose nonce the chain has used already, and let the sender see that."""
    owner.stage(CAUSES[:1], pay)
    await blocks(world, 2)
    assert owner.sender._used_up


async def blocks(world: Any, count: int) -> None:
    """Wait for so many."""
    last = world.chain.tip.height + count
    while world.chain.tip.height < last:  # noqa: ASYNC110 - under a virtual clock
        await trio.sleep(0.5)


async def test_a_chain_that_was_reset_is_sent_nothing(
    autojump_clock: MockClock,
    chain: Any,
    make_world: Callable[..., Any],
    open_owner: Open,
    pay: Any,
) -> None:
    """Old transactions would be valid there once more."""
    store, other = MemoryStore(), make_world(virtual=True)
    async with open_owner(chain, store) as owner:
        await owner.sender.ready.wait()
        owner.stage(CAUSES, pay)
        await owner.until_booked()
    async with running(other), open_owner(other, store) as owner:
        owner.stage(["payout:4"], pay)
        await trio.sleep(30)
        assert "lacks nonce 0" in owner.sender.blocked
        assert amounts(other) == []


async def test_records_from_a_backup(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any, key: Any
) -> None:
    store = MemoryStore()
    async with open_owner(chain, store) as owner:
        await owner.sender.ready.wait()
    chain.chain.submit(transfer(key(2).address, 77).signed(key(1), 0))
    await trio.sleep(12)
    async with open_owner(chain, store) as owner:
        await trio.sleep(5)
        owner.stage(CAUSES, pay)
        await owner.until_booked()
        assert amounts(chain) == [77, 1, 2, 3]


async def live_through(
    world: Any, store: MemoryStore, open_owner: Open, pay: Callable[[str], Draft]
) -> bool:
    """Stage and book everything, over as many lives as it takes; True if it took more than one.

    Each life stages in another order, so that whatever is sent before it is durable gets caught.
    """
    died, order = False, CAUSES
    while True:
        try:
            async with open_owner(world, store) as owner:
                await owner.sender.ready.wait()
                owner.stage(order[:1], pay)
                await wait_all_tasks_blocked()
                owner.stage(order[1:], pay)
                await owner.until_booked()
                assert owner.booked == dict.fromkeys(CAUSES, 1)
                return died
        except* (StorageFailed, Crash):
            died, order = True, order[::-1]


@pytest.mark.parametrize("done", [False, True])
async def test_a_crash_at_any_write(
    make_world: Callable[..., Any],
    autojump_clock: MockClock,
    open_owner: Open,
    pay: Any,
    done: bool,
) -> None:
    for writes in count():
        world = make_world(virtual=True)
        async with running(world):
            died = await live_through(world, DyingStore(writes, done=done), open_owner, pay)
            assert sorted(amounts(world)) == [1, 2, 3]
        if not died:
            break
    assert writes >= 4


@pytest.mark.parametrize("hook", ["before_request", "after_request"])
async def test_a_crash_at_any_request(
    make_world: Callable[..., Any],
    autojump_clock: MockClock,
    open_owner: Open,
    pay: Any,
    hook: str,
) -> None:
    for requests in count():
        world, left = make_world(virtual=True), iter(range(requests, -1, -1))
        setattr(world, hook, dying(left))
        async with running(world):
            died = await live_through(world, MemoryStore(), open_owner, pay)
            assert sorted(amounts(world)) == [1, 2, 3]
        if not died:
            break
    assert requests >= 10


def dying(left: Iterator[int]) -> Callable[[httpx.Request], None]:
    def hook(_request: httpx.Request) -> None:
        if next(left, -1) == 0:
            raise Crash

    return hook


async def test_an_l1_that_refuses_and_then_does_not(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any
) -> None:
    """Temporary refusals, and answers that are none, lose nothing and repeat nothing."""
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        answers = [
            {"tx_hash": "?", "status": "rejected", "error": "mempool_full"},
            {"detail": "No module named 'protocol'"},
            {"unexpected": True},
        ]
        app = chain.app

        async def refusing(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] != "/tx/send" or not answers:
                await app(scope, receive, send)
                return
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message["body"], message["more_body"]
            answer = answers.pop(0)
            if "tx_hash" in answer:
                answer["tx_hash"] = tx_hash(msgspec.json.decode(body, type=Transaction))
            status = 400 if "detail" in answer else 200
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

        chain.app = refusing
        owner.stage(CAUSES, pay)
        await owner.until_booked()
        assert amounts(chain) == [1, 2, 3]
        assert not answers


async def test_what_the_chain_can_never_apply_is_given_up(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any, key: Any
) -> None:
    """Its nonce is filled by a transfer to oneself, and those behind it go on."""
    store = MemoryStore()
    async with open_owner(chain, store) as owner:
        await owner.sender.ready.wait()
        owner.stage(["never"], lambda _cause: Draft(tx_type="STAKE", amount=1))
        owner.stage(CAUSES, pay)
        await trio.sleep(100)
        assert owner.booked == {}
    async with open_owner(chain, store) as owner:
        batch = Batch()
        assert owner.sender.give_up(batch, "never", "there is no staking here")
        assert not owner.sender.give_up(batch, "never", "twice")
        owner.db.stage(batch)
        await owner.until_booked()
        assert amounts(chain) == [1, 1, 2, 3]
        assert chain.transactions()[0]["to_address"] == key(1).address
        record = owner.sender.find("never")
        assert (record.state, record.problem) == ("lost", "there is no staking here")
        assert owner.lost == []
        later = Batch()
        assert not owner.sender.give_up(later, "payout:1", "it is in a block")
        assert not owner.sender.give_up(later, "unknown", "it is not ours")
        assert not later


async def test_what_was_given_up_and_gets_in_after_all(
    autojump_clock: MockClock, chain: Any, open_owner: Open, pay: Any
) -> None:
    """Only one of the two can: the other is lost, and nothing waits for it."""
    async with open_owner(chain) as owner:
        await owner.sender.ready.wait()
        chain.down = True
        owner.stage(CAUSES[:1], pay)
        tx = owner.sender.find(CAUSES[0]).transaction
        batch = Batch()
        owner.sender.give_up(batch, CAUSES[0], "a mistake")
        owner.db.stage(batch)
        assert chain.chain.submit(tx)[1] == ""
        await trio.sleep(5)
        chain.down = False
        owner.stage(CAUSES[1:], pay)
        await owner.until_booked(CAUSES[1:])
        assert amounts(chain) == [1, 2, 3]
        assert [record.cause.partition(":")[0] for record in owner.lost] == ["void"]
