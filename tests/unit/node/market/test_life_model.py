"""The life of a task against a simple model of it, whatever happens in whatever order.

The machine does to a real market (rules, board, ledger and storage, on `MemoryStore`) what
customers, validators, orchestrators, the chain, the clock and crashes do to it, and the same to
the model in `life_model`: a dictionary of tasks and a dictionary of money. After every step both
must agree on every phase and every unit. At the end the machine lets time pass: whatever state a
task is in, it must end, with all money where it belongs.

Hypothesis runs in a thread; each step is carried out in trio's thread, where the database is.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial, wraps
from hashlib import sha256
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from node.amounts import UNITS_PER_CPC
from node.errors import NodeError
from node.verification.batches import leaf_of
from node.verification.draws import Pass, Refusal, check_draw, check_seats, sign_refusal
from storage.database import open_database
from storage.memory import MemoryStore
from storage.store import Batch

CPC = UNITS_PER_CPC
CHAIN = "cpc-devnet-1"
DEPOSIT = 20 * CPC
SIZE = 3
LEASE_MS, WINDOW_MS, DAY_MS = 20_000, 5_000, 86_400_000
STEPS = 40
OPEN, ENDED = ("queued", "leased"), ("settled", "overturned", "refunded")
HELD = ("reserved:", "maturing:", "appeal:")
PLACEABLE = ("verified", "disputed", "overturned")
HASHES = {"false": b"f" * 32, "other": b"o" * 32}


def in_trio(step: Callable[..., Any]) -> Callable[..., Any]:
    """Carry a step out in trio's thread, and make it durable."""

    @wraps(step)
    def call(self: "Life", *arguments: Any, **named: Any) -> Any:
        async def carried_out() -> None:
            await step(self, *arguments, **named)
            await self.shop.db.flushed()

        return trio.from_thread.run(carried_out)

    return call


def copy_of(store: MemoryStore, *batches: Batch) -> MemoryStore:
    """What a disk would have after these further writes."""
    copy, content = MemoryStore(), Batch()
    content.changes.update(dict(store.scan(b"", None)))
    for batch in (content, *batches):
        copy.write(batch, sync=True)
    return copy


MOSTLY = 8
PLACE = st.integers(0, MOSTLY + 1)
SPOILT = ["thin", "forged", "short", "foreign", "misdated", "redated", "redated"]
THIRD = st.sampled_from(["valid", "invalid", "inconclusive", None])
REWARDS = [CPC, 10**16 + 7, 3 * CPC + 1]
CHAINS = st.sampled_from([1, 1, 2, 3])
SEAT = st.integers(1, SIZE - 1)
FINDINGS = st.lists(
    st.sampled_from(["invalid", "withheld", "inconclusive", "valid"]), min_size=1, max_size=3
)
EARLIER = st.lists(FINDINGS, max_size=2) | st.lists(FINDINGS, min_size=1, max_size=2)
REASON = st.sampled_from(["refused", "no_commitment", "no_reveal"])
HOW = st.sampled_from(["refused", "timeout"])
has_tasks = precondition(lambda self: self.model.tasks)


class Life(RuleBasedStateMachine):
    """Everybody who has to do with a market."""

    shop_of: Callable[..., Any]
    models: Any
    nursery: trio.Nursery
    seen: Counter[str]
    """What the examples came to, to know that they try anything."""

    def __init__(self) -> None:
        super().__init__()
        trio.from_thread.run(self._begin)

    async def _begin(self) -> None:
        await self._open(MemoryStore())
        self.people = {one.identity.public_key: one for one in self.shop.everybody[:8]}
        self.address_of = {key: one.address for key, one in self.people.items()}
        self.model = self.models.Model(self.shop.now_ms)
        self.shop.deposit(self.shop.customer, DEPOSIT)
        self.model.move("l1", "customer", DEPOSIT)
        await self.shop.db.flushed()
        self._save()

    async def _open(self, store: MemoryStore, now_ms: int | None = None) -> None:
        self.store, self.staged = store, list[Batch]()
        db, self.scope = await self.nursery.start(_hold_open, store)
        stage = db.stage

        def recorded(batch: Batch) -> None:
            self.staged.append(deepcopy(batch))
            stage(batch)

        db.stage = recorded
        self.shop = self.shop_of(db, **({} if now_ms is None else {"now_ms": now_ms}))

    def _save(self) -> None:
        self.saved = copy_of(self.store), deepcopy(self.model)

    async def _expect(self, accepted: bool, call: Callable[[], Any]) -> None:
        """The call is refused if and only if the model says so."""
        try:
            done = call()
            if isinstance(done, trio.abc.AsyncResource) or hasattr(done, "__await__"):
                await done
        except NodeError:
            assert not accepted
        else:
            assert accepted

    def _pick(self, place: int, *phases: str) -> tuple[str, Any]:
        """A task, mostly one in these phases."""
        everything = list(self.model.tasks.items())
        wanted = [one for one in everything if one[1].phase in phases]
        fitting = wanted if wanted and place < MOSTLY else everything
        return fitting[place % len(fitting)]

    # customers

    @rule(
        key=st.sampled_from("abcdef"),
        reward=st.sampled_from(REWARDS),
        chains=CHAINS,
        minutes=st.sampled_from([1, 600, 600, 600]),
    )
    @in_trio
    async def submit(self, key: str, reward: int, chains: int, minutes: int) -> None:
        """Also repeated, with the same request and with another."""
        await self._submit(key, reward, chains, minutes)

    async def _submit(self, key: str, reward: int, chains: int, minutes: int) -> None:
        deadline_s = self.model.now_ms // 1000 + 60 * minutes
        asked = {"reward": reward, "chains": chains, "deadline_s": deadline_s}
        known = self.model.keys.get(key)
        if known is not None:
            asked["deadline_s"] = known[1]["deadline_s"]
        free = self.model.money["customer"]
        accepted = known[1] == asked if known else reward <= free
        bought: list[str] = []

        async def buy() -> None:
            bought.append((await self.shop.buy(key=key, **asked)).task_id)

        await self._expect(accepted, buy)
        if known is None and accepted:
            self.model.keys[key] = bought[0], asked
            deadline_ms = asked["deadline_s"] * 1000
            self.model.tasks[bought[0]] = self.models.Task(reward, chains, deadline_ms)
            self.model.move("customer", f"reserved:{bought[0]}", reward)
        elif accepted:
            assert bought == [known[0]]

    @has_tasks
    @rule(place=PLACE, is_owner=st.booleans())
    @in_trio
    async def cancel(self, place: int, is_owner: bool) -> None:
        task_id, task = self._pick(place, "verified")
        caller = self.shop.customer if is_owner else self.shop.other
        accepted = is_owner and task.phase in OPEN
        await self._expect(accepted, lambda: self.shop.service.cancel(task_id, caller))
        if accepted:
            self.model.refund(task_id)

    # everybody does what they should

    @has_tasks
    @rule(
        place=PLACE,
        steps=st.integers(1, 5),
        failures=st.integers(0, 2),
        earlier=EARLIER,
        third=THIRD,
    )
    @in_trio
    async def go_on(
        self, place: int, steps: int, failures: int, earlier: list[list[str]], third: str | None
    ) -> None:
        """The next steps of a task, with some epochs that fail."""
        task_id, task = self._pick(place, *OPEN, "verified")
        for step in range(steps):
            if task.phase == "queued":
                await self._lease(task_id)
            elif task.phase == "leased" and step < failures:
                await self._report_failure(task_id, earlier=earlier)
            elif task.phase == "leased":
                await self._report(task_id, earlier=earlier, third=third)
            elif task.phase == "verified":
                self._anchor(task_id, set(range(task.jobs)))

    # validators and orchestrators

    @initialize(reward=st.sampled_from(REWARDS), chains=CHAINS)
    @in_trio
    async def open_the_doors(self, reward: int, chains: int) -> None:
        self._see(set(list(self.people)[:4]))
        await self._submit("a", reward, chains, 600)
        self._save()

    @rule(
        missing=st.sets(st.integers(0, 5), max_size=3), only=st.sampled_from([False, False, True])
    )
    @in_trio
    async def come_and_go(self, missing: set[int], only: bool) -> None:
        """Some are missing, or only they are there."""
        self._see({key for place, key in enumerate(self.people) if (place in missing) == only})

    def _see(self, keys: set[bytes]) -> None:
        self.shop.see(*(self.people[key] for key in keys))
        self.model.there = frozenset(keys)

    @has_tasks
    @rule(place=PLACE)
    @in_trio
    async def lease(self, place: int) -> None:
        await self._lease(self._pick(place, "queued")[0])

    async def _lease(self, task_id: str) -> None:
        task = self.model.tasks[task_id]
        seats = self.model.leased(task_id)
        draws: list[Any] = []
        record = self.shop.record(task_id)
        may = task.phase == "queued" or seats is None
        await self._expect(may, lambda: draws.append(self.shop.leases.lease(record)))
        if draws in ([], [None]):
            assert not (may and seats)
            return
        task.epoch, task.redraw, task.phase = task.epoch + 1, 0, "leased"
        task.seats, task.snapshot, task.passed = seats, self.model.there, set()
        task.lease_until_ms = min(task.deadline_ms, self.model.now_ms + LEASE_MS)
        self._check_draw(task, draws[0])
        assert draws[0].seats[0].key == seats[0]

    def _check_draw(self, task: Any, draw: Any) -> None:
        """What any validator would check before it acts."""
        check_draw(draw, CHAIN, (self.shop.market.identity.peer_id,))
        check_seats(draw, self.shop.snapshots.find(draw.snapshot), SIZE, CHAIN)
        assert {seat.key for seat in draw.seats} == set(task.seats)
        assert (draw.epoch, draw.redraw) == (task.epoch, task.redraw)
        assert draw.expires_ms == task.lease_until_ms
        task.draws.append(draw)

    @has_tasks
    @rule(
        place=PLACE, shift=st.integers(-1, 1), how=st.sampled_from(["refused", "timeout", "lost"])
    )
    @in_trio
    async def give_back(self, place: int, shift: int, how: str) -> None:
        """A lease refused in signed words, or never answered, or lost on the way."""
        task_id, task = self._pick(place, "leased")
        if not task.draws:
            return
        begun, epoch = how != "refused", task.epoch + shift
        passed = self._passed(task, 0, "refused" if how == "refused" else "unreachable")
        self.shop.leases.release(task_id, epoch, how, begun=begun, passed=passed)
        if task.phase == "leased" and shift == 0:
            self.model.release(task_id, begun=begun)

    def _passed(self, task: Any, place: int, reason: str) -> Pass:
        duty, draw = "check" if place else "orchestrate", task.draws[-1]
        key, refusal = draw.seats[place].key, None
        if reason == "refused":
            unsigned = Refusal(draw.task_id, draw.epoch, duty, "busy", 0, b"")
            refusal = sign_refusal(unsigned, CHAIN, self.people[key].identity)
        return Pass(draw.epoch, key, duty, reason, self.model.now_ms, refusal)

    @has_tasks
    @rule(
        place=PLACE,
        seats=st.sets(SEAT, min_size=1),
        reason=REASON,
        back=st.sampled_from([0, 0, 1]),
        is_holder=st.sampled_from([True, True, False]),
    )
    @in_trio
    async def redraw(
        self, place: int, seats: set[int], reason: str, back: int, is_holder: bool
    ) -> None:
        """Fill seats anew; also asked for once more, or by somebody else."""
        await self._redraw(self._pick(place, "leased")[0], seats, reason, back, is_holder)

    @has_tasks
    @rule(place=PLACE, seat=SEAT, reason=REASON)
    @in_trio
    async def lease_and_redraw(self, place: int, seat: int, reason: str) -> None:
        """A validator that is silent from the start: by chance alone this would hardly happen."""
        task_id = self._pick(place, "queued")[0]
        await self._lease(task_id)
        await self._redraw(task_id, {seat}, reason, 0, True)

    async def _redraw(
        self, task_id: str, seats: set[int], reason: str, back: int, is_holder: bool
    ) -> None:
        task = self.model.tasks[task_id]
        if not task.draws or not seats < set(range(len(task.draws[-1].seats))):
            return
        passed = [self._passed(task, seat, reason) for seat in sorted(seats)]
        keys = {one.key for one in passed}
        holder = self.people[task.seats[0 if is_holder else 1]].identity.peer_id
        may = task.phase == "leased" and is_holder
        is_old = back > 0 and task.redraw > 0
        after = self.model.redrawn(task_id, keys)
        found: list[Any] = []

        def ask() -> None:
            number = task.redraw - is_old
            found.append(self.shop.leases.redraw(task_id, task.epoch, holder, number, passed))

        await self._expect(may and (is_old or after is not None), ask)
        if found and is_old:
            assert found == [task.draws[-1]]
        elif found and after is not None:
            self.seen["redraw"] += 1
            task.snapshot, drawn = after
            task.seats = [task.seats[0], *(drawn - {task.seats[0]})]
            task.redraw, task.passed = task.redraw + 1, task.passed | keys
            self._check_draw(task, found[0])

    # results

    @has_tasks
    @rule(
        place=PLACE,
        which=st.sampled_from([0, 0, 0, 1, 2]),
        how=st.sampled_from(["good", "good", "good", *SPOILT]),
        earlier=EARLIER,
        third=THIRD,
        is_late=st.sampled_from([False, False, False, True]),
    )
    @in_trio
    async def report(
        self,
        place: int,
        which: int,
        how: str,
        earlier: list[list[str]],
        third: str | None,
        is_late: bool,
    ) -> None:
        """A report under the newest draw or one that may be superseded, as it is or spoiled."""
        task_id, _ = self._pick(place, "leased")
        await self._report(task_id, which, how, earlier, third, is_late=is_late)

    async def _report(
        self,
        task_id: str,
        which: int = 0,
        how: str = "good",
        earlier: Sequence[list[str]] = (),
        third: str | None = None,
        *,
        is_late: bool = False,
    ) -> None:
        task = self.model.tasks[task_id]
        if not task.draws:
            return
        oldest = -len(task.draws)
        draw = task.draws[oldest if how == "redated" else max(oldest, -1 - which)]
        findings = ["valid"] if how == "thin" else ["valid", "valid"] + [third] * bool(third)
        report = self.shop.report(draw, findings, earlier=self._attempts(draw, earlier))
        holder = self.people[draw.seats[0].key].identity.peer_id
        if how == "forged":
            job = msgspec.structs.replace(report.jobs[0], manifest=self.shop.manifest(draw, b"o"))
            report = msgspec.structs.replace(report, jobs=(job, *report.jobs[1:]))
        elif how == "short":
            report = msgspec.structs.replace(report, jobs=report.jobs[:-1])
        elif how == "foreign":
            holder = self.shop.stranger.identity.peer_id
        elif how == "misdated":
            report = msgspec.structs.replace(report, epoch=report.epoch + 1)
        elif how == "redated":
            report = msgspec.structs.replace(report, epoch=task.epoch)
            holder = self.shop.record(task_id).orchestrator
            how = "good" if draw.epoch == task.epoch else how
        is_current = task.phase == "leased" and draw.epoch == task.epoch and how == "good"
        judged: list[Any] = []
        await self._expect(is_current, lambda: self._judge(judged, report, holder))
        if judged and is_late:
            self.shop.leases.release(task_id, task.epoch, "lost meanwhile")
            self.model.release(task_id, begun=True)
            await self._expect(False, lambda: self.shop.results.complete(judged[0]))
        elif judged:
            self.shop.results.complete(judged[0])
            self._count(task, (*report.jobs, *report.earlier))
            self.seen["earlier"] += len(report.earlier)
            self.seen["redrawn and completed"] += task.redraw > 0
            self.seen["several epochs"] += task.epoch > 1
            task.workers = Counter(one.result.worker_address for one in report.jobs)
            task.report = report, holder
            self.model.complete(task_id)

    def _judge(self, judged: list[Any], report: Any, holder: str) -> None:
        found = self.shop.results.judge(report, holder)
        if found is None:  # the very same report once more
            raise NodeError("known")
        judged.append(found)

    def _attempts(self, draw: Any, earlier: Sequence[list[str]]) -> list[Any]:
        pairs = enumerate(earlier, start=2)
        return [self.shop.judgement(draw, findings, attempt=number) for number, findings in pairs]

    def _count(self, task: Any, judgements: tuple[Any, ...]) -> None:
        for one in judgements:
            task.checks.update(verdict.validator_key for verdict in one.verdicts)
            task.judged.append(one.draw)

    @has_tasks
    @rule(place=PLACE)
    @in_trio
    async def report_again(self, place: int) -> None:
        """The answer was lost: the same report is answered, and changes nothing."""
        _, task = self._pick(place, "verified", "anchored", "settled")
        if task.report is not None:
            assert self.shop.results.judge(*task.report) is None

    @has_tasks
    @rule(
        place=PLACE,
        which=st.sampled_from([0, 0, 1]),
        earlier=EARLIER,
        is_forged=st.sampled_from([False, False, True]),
    )
    @in_trio
    async def report_failure(
        self, place: int, which: int, earlier: list[list[str]], is_forged: bool
    ) -> None:
        await self._report_failure(self._pick(place, "leased")[0], which, earlier, is_forged)

    async def _report_failure(
        self,
        task_id: str,
        which: int = 0,
        earlier: Sequence[list[str]] = (),
        is_forged: bool = False,
    ) -> None:
        task = self.model.tasks[task_id]
        if not task.draws:
            return
        draw = task.draws[max(-len(task.draws), -1 - which)]
        attempts = self._attempts(draw, earlier)
        if is_forged and attempts:
            attempts[0] = msgspec.structs.replace(attempts[0], draw=self._foreign(draw))
        accepted = task.phase == "leased" and draw.epoch == task.epoch
        accepted = accepted and not (is_forged and attempts)
        await self._expect(accepted, lambda: self.shop.fail(draw, *attempts))
        if accepted:
            self._count(task, tuple(attempts))
            self.model.release(task_id, begun=True)

    def _foreign(self, draw: Any) -> Any:
        """A draw that this market never signed."""
        return msgspec.structs.replace(draw, needed=1)

    # appeals

    @has_tasks
    @rule(place=PLACE, is_customer=st.sampled_from([True, True, True, False]))
    @in_trio
    async def appeal(self, place: int, is_customer: bool) -> None:
        await self._appeal(self._pick(place, "verified", "anchored")[0], is_customer)

    async def _appeal(self, task_id: str, is_customer: bool = True) -> None:
        fee = self.shop.desk.fee(self.shop.record(task_id).work_units)
        account = self.shop.customer if is_customer else self.shop.other
        may = is_customer and self.model.may_appeal(task_id, fee)
        await self._expect(may, lambda: self.shop.desk.open(task_id, account, "why"))
        if may:
            jury = [seat.key for seat in self.shop.desk.book.find(task_id).jury.seats]
            assert set(jury) <= self.model.strangers(task_id)
            assert len(jury) == min(SIZE, len(self.model.strangers(task_id)))
            self.model.appeal(task_id, fee, jury)
            self.seen["appeal"] += 1

    @has_tasks
    @rule(
        place=PLACE,
        juror=st.integers(0, SIZE - 1),
        said=st.sampled_from(["true", "true", "false", "false", "other"]),
    )
    @in_trio
    async def ruling(self, place: int, juror: int, said: str) -> None:
        """Also one that comes again, or when all is over."""
        self._ruling(self._pick(place, "disputed")[0], juror, said)

    def _ruling(self, task_id: str, juror: int, said: str) -> None:
        task = self.model.tasks[task_id]
        if juror < len(task.jury):
            key = task.jury[juror]
            hashes = [HASHES[said]] * task.jobs if said in HASHES else ()
            one = self.shop.ruling(task_id, self.people[key], *hashes)
            self.shop.desk.take(task_id, one)
            self.model.rule(task_id, key, said, self.address_of)

    @has_tasks
    @rule(place=PLACE, juror=st.integers(0, SIZE - 1))
    @in_trio
    async def silent_juror(self, place: int, juror: int) -> None:
        self._replace(self._pick(place, "disputed")[0], juror)

    def _replace(self, task_id: str, juror: int) -> None:
        task = self.model.tasks[task_id]
        if juror < len(task.jury):
            successor = self.shop.desk.pass_over(task_id, task.jury[juror], "unreachable")
            self.model.replace(task_id, juror, None if successor is None else successor.key)
            jury = self.shop.desk.book.find(task_id).jury
            assert [seat.key for seat in jury.seats] == task.jury
            self.seen["juror replaced"] += successor is not None

    @has_tasks
    @rule(
        place=PLACE,
        said=st.lists(st.sampled_from(["true", "false", "other"]), max_size=SIZE),
        silent=st.lists(st.integers(0, SIZE - 1), max_size=3),
    )
    @in_trio
    async def buy_and_dispute(self, place: int, said: list[str], silent: list[int]) -> None:
        """The whole way, which chance alone would hardly find."""
        task_id, _ = self._pick(place, "queued", "leased", "verified")
        self._see(set(list(self.people)[:SIZE]))
        await self._lease(task_id)
        await self._report(task_id)
        self._see(set(self.people))
        await self._appeal(task_id)
        for juror in silent:
            self._replace(task_id, juror)
        for juror, one in enumerate(said):
            self._ruling(task_id, juror, one)

    # the chain, the clock, and crashes

    @has_tasks
    @rule(place=PLACE, jobs=st.sets(st.integers(0, 2), min_size=1), is_right=st.booleans())
    @in_trio
    async def anchor(self, place: int, jobs: set[int], is_right: bool) -> None:
        self._anchor(self._pick(place, "verified")[0], jobs, is_right=is_right)

    def _anchor(self, task_id: str, jobs: set[int], *, is_right: bool = True) -> None:
        task, outcome = self.model.tasks[task_id], self.shop.board.outcome(task_id)
        if outcome is None:
            return
        chosen = sorted(job for job in jobs if job < task.jobs)
        leaves = [leaf_of(outcome.results[job], CHAIN) for job in chosen]
        if not is_right:
            leaves = [sha256(leaf).digest() for leaf in leaves]
        batch, owners = Batch(), [task_id] * len(leaves)
        placed = self.shop.results.anchor(batch, f"batch{sorted(jobs)}", owners, leaves)
        self.shop.db.stage(batch)
        is_new = bool(set(chosen) - task.anchored)
        assert placed == [task_id] * (task.phase in PLACEABLE and is_right and is_new)
        if placed:
            self.model.anchor(task_id, set(chosen))

    @rule(
        milliseconds=st.sampled_from([1, 1_000, 1_000, WINDOW_MS, WINDOW_MS, LEASE_MS, 70_000]),
        crash_after=st.sampled_from([None, 0, 1, 1, 2]),
    )
    @in_trio
    async def time_passes(self, milliseconds: int, crash_after: int | None) -> None:
        """Perhaps the market crashes between two writes, and does the rest when it is back."""
        await self._wait(milliseconds, crash_after)

    async def _wait(self, milliseconds: int, crash_after: int | None) -> None:
        await self.shop.db.flushed()
        before, self.staged = copy_of(self.store), []
        await self.shop.pass_time(milliseconds)
        if crash_after is not None:
            await self._reopen(copy_of(before, *self.staged[:crash_after]), self.shop.now_ms)
            await self.shop.pass_time(0)
        self.model.wait(milliseconds, self.address_of)

    @rule(how=st.sampled_from(["flush", "flush", "clean", "crash"]))
    @in_trio
    async def restart(self, how: str) -> None:
        """A clean one keeps everything, a crash loses what was not flushed."""
        if how == "crash":
            now_ms, self.model = self.model.now_ms, deepcopy(self.saved[1])
            self.model.now_ms = now_ms
            await self._reopen(copy_of(self.saved[0]), now_ms)
            return
        await self.shop.db.flushed()
        self._save()
        if how == "clean":
            await self._reopen(copy_of(self.store), self.model.now_ms)

    async def _reopen(self, store: MemoryStore, now_ms: int) -> None:
        self.scope.cancel()
        await self._open(store, now_ms)

    # what always holds

    @invariant()
    @in_trio
    async def both_agree(self) -> None:
        for task_id, task in self.model.tasks.items():
            record = self.shop.record(task_id)
            assert (record.phase, record.epoch, record.paid) == (task.phase, task.epoch, task.paid)
            assert len(record.failed_orchestrators) == len(task.failed)
            assert (self.shop.board.outcome(task_id) is None) == (task.report is None)
            if task.phase == "leased":
                assert record.draw == task.draws[-1]
                assert self.shop.snapshots.find(record.draw.snapshot) is not None
        phases = Counter(task.phase for task in self.model.tasks.values())
        assert self.shop.board.counts() == phases
        assert self.shop.board.open_count == phases["queued"] + phases["leased"]

    @invariant()
    @in_trio
    async def every_unit_is_where_it_belongs(self) -> None:
        self._compare_money()

    def _compare_money(self) -> None:
        held = dict(self.shop.ledger.holdings())
        customer = f"customer:{self.shop.customer}"
        expected = {name: units for name, units in self.model.money.items() if units}
        if "customer" in expected:
            expected[customer] = expected.pop("customer")
        assert held == expected
        assert sum(held.values()) == 0
        assert all(units > 0 for name, units in held.items() if name != "l1")

    @invariant()
    @in_trio
    async def nothing_is_held_for_what_has_ended(self) -> None:
        for task_id, task in self.model.tasks.items():
            reserved, maturing, fee = (
                self.shop.ledger.balance(f"{name}:{task_id}")
                for name in ("reserved", "maturing", "appeal")
            )
            assert bool(reserved) == (task.phase in OPEN)
            waits = task.phase in ("verified", "anchored") and not task.paid
            assert bool(maturing) == (waits or task.phase == "disputed")
            assert bool(fee) == (task.phase == "disputed")

    def teardown(self) -> None:
        trio.from_thread.run(self._end)

    async def _end(self) -> None:
        """Every state has a way out: time, and the chain."""
        await self._wait(DAY_MS, crash_after=1)
        self._compare_money()
        for task_id, task in self.model.tasks.items():
            if task.phase == "verified":
                self._anchor(task_id, set(range(task.jobs)))
            record = self.shop.record(task_id)
            assert record.phase in ENDED, record
            self.seen[record.phase] += 1
            self._check_receipt(task_id, record.phase)
        held = dict(self.shop.ledger.holdings())
        assert not [name for name in held if name.startswith(HELD)]
        audit = self.shop.ledger.audit()
        assert (audit.ok, audit.held) == (True, DEPOSIT), audit.findings
        self.scope.cancel()

    def _check_receipt(self, task_id: str, phase: str) -> None:
        outcome = self.shop.board.outcome(task_id)
        assert (outcome is not None) == (phase in ("settled", "overturned"))
        if outcome is not None and phase == "settled":
            assert outcome.is_anchored
            draws = {job.judgement.draw.snapshot for job in outcome.jobs}
            assert all(self.shop.snapshots.find(digest) for digest in draws)


def every_way(life: Life) -> None:
    """A life that comes to everything, since so few that chance finds may lack something."""
    for step in (
        partial(life.open_the_doors, reward=CPC, chains=1),
        partial(life.lease_and_redraw, place=0, seat=1, reason="no_reveal"),
        partial(life.report, 0, 0, "good", [["invalid"]], None, is_late=False),
        partial(life.submit, key="b", reward=CPC, chains=1, minutes=600),
        partial(life.cancel, place=MOSTLY + 1, is_owner=True),
        partial(life.submit, key="c", reward=CPC, chains=1, minutes=600),
        partial(life.buy_and_dispute, place=1, said=["false"] * SIZE, silent=[0]),
    ):
        step()
        for check in (
            life.both_agree,
            life.every_unit_is_where_it_belongs,
            life.nothing_is_held_for_what_has_ended,
        ):
            check()
    life.teardown()


async def _hold_open(store: MemoryStore, *, task_status: trio.TaskStatus[Any]) -> None:
    with trio.CancelScope() as scope:
        async with open_database(store) as db:
            task_status.started((db, scope))
            await trio.sleep_forever()


@pytest.mark.parametrize(
    "examples", [40, pytest.param(2_000, marks=pytest.mark.full, id="many more")]
)
async def test_a_market_lives_as_the_protocol_says(shop_of, life_model, examples: int) -> None:
    seen: Counter[str] = Counter()
    async with trio.open_nursery() as nursery:
        fixed = {"shop_of": staticmethod(shop_of), "models": life_model, "seen": seen}
        machine = type("Machine", (Life,), {**fixed, "nursery": nursery})
        rules = settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        await trio.to_thread.run_sync(lambda: every_way(machine()))
        wanted = {"settled", "refunded", "redraw", "earlier", "appeal", "overturned"}
        wanted.add("juror replaced")
        assert all(seen[one] for one in wanted), seen
        run = partial(run_state_machine_as_test, machine, settings=rules)
        await trio.to_thread.run_sync(run)
        nursery.cancel_scope.cancel()
