"""The control socket: a backup of a node that goes on, and whatever else is written to it."""

import stat
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from node.amounts import Amount
from node.control import (
    MAX_LINE_BYTES,
    NAME,
    ControlFailed,
    ask_backup,
    ask_credit,
    ask_fees,
    ask_unclaimed,
    serve_control,
)
from node.control_messages import Controls, CreditShown, UnclaimedShown
from node.errors import HeldByChain, InsufficientFunds, NotFound, Unavailable
from node.settlement.credit import CreditView
from node.settlement.entries import Entry, move
from storage.backup import restore_backup
from storage.database import open_database
from storage.leveldb import open_leveldb
from storage.store import Batch

CPC = 10**18


def one(key: bytes) -> Batch:
    batch = Batch()
    batch.put(key, b"value")
    return batch


@asynccontextmanager
async def node_in(data_dir: Path, desk=None, unclaimed=None, *, held_by_chain=False):
    with open_leveldb(data_dir / "db") as store:
        async with open_database(store) as db, trio.open_nursery() as nursery:
            controls = Controls(db.backup, desk, unclaimed, held_by_chain=held_by_chain)
            await nursery.start(partial(serve_control, data_dir, controls))
            yield db
            nursery.cancel_scope.cancel()


async def ask(data_dir: Path, to: Path):
    return await trio.to_thread.run_sync(ask_backup, data_dir, to)


async def written(data_dir: Path, line: bytes) -> bytes:
    """The answer to a raw line; the folder's path is short here."""
    stream = await trio.open_unix_socket(str(data_dir / NAME))
    async with stream:
        await stream.send_all(line)
        await stream.send_eof()
        with trio.fail_after(60):
            return await stream.receive_some()


@pytest.fixture
def data_dir(tmp_path) -> Path:
    """With a path that is too long for a Unix socket's."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    return folder


async def test_a_running_node_is_backed_up(data_dir, tmp_path) -> None:
    async with node_in(data_dir) as db:
        await db.commit(one(b"before"))
        report = await ask(data_dir, tmp_path / "copy")
        await db.commit(one(b"after"))
        assert report.records == 1
        with pytest.raises(ControlFailed, match="exists already"):
            await ask(data_dir, tmp_path / "copy")
        assert db.get(b"after") == b"value"
    restore_backup(tmp_path / "copy", tmp_path / "restored")
    with open_leveldb(tmp_path / "restored") as store:
        assert (store.get(b"before"), store.get(b"after")) == (b"value", None)


async def test_only_the_owner_reaches_it(data_dir) -> None:
    async with node_in(data_dir):
        mode = (data_dir / NAME).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not (data_dir / NAME).exists()


async def test_nobody_answers_where_no_node_runs(data_dir, tmp_path) -> None:
    for folder in (data_dir, tmp_path / "nowhere"):
        with pytest.raises(Unavailable, match="no node runs there"):
            await ask(folder, tmp_path / "copy")


async def test_what_a_killed_node_left_does_not_hinder_the_next(data_dir, tmp_path) -> None:
    (data_dir / NAME).touch()
    with pytest.raises(Unavailable):
        await ask(data_dir, tmp_path / "copy")
    async with node_in(data_dir):
        assert (await ask(data_dir, tmp_path / "copy")).records == 0


class Desk:
    """Gives credit without a market."""

    def __init__(self) -> None:
        self.limits: dict[str, CreditView] = {}

    def views(self):
        return tuple(self.limits.values())

    async def set_limit(self, customer, limit, *, write_off=False):
        if limit > 5 * CPC:
            raise InsufficientFunds("2.0 CPC are missing", field="limit", remedy="pay in")
        owed = Amount(0 if write_off else 7)
        self.limits[customer] = CreditView(customer, Amount(limit), owed, "cpc1operator")
        return self.limits[customer]


async def test_credit_is_given_and_shown(tmp_path) -> None:
    async def give(*arguments, **named):
        call = partial(ask_credit, tmp_path, *arguments, **named)
        return await trio.to_thread.run_sync(call)

    async with node_in(tmp_path, Desk()):
        assert await give() == ()
        line = CreditShown("cpc1a", "2.5", "0.000000000000000007", "cpc1operator")
        assert await give("cpc1a", "2.5") == (line,)
        assert (await give("cpc1b", "1", write_off=True))[0].owed_cpc == "0.0"
        assert [one.address for one in await give()] == ["cpc1a", "cpc1b"]
        for limit, said in (("9", "2.0 CPC are missing"), ("-1", "limit: is not a decimal")):
            with pytest.raises(ControlFailed, match=said):
                await give("cpc1a", limit)
    async with node_in(tmp_path):
        with pytest.raises(ControlFailed, match="no market role"):
            await give("cpc1a", "1")
    with pytest.raises(Unavailable):
        await give()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (ask_unclaimed, "is the operator's"),
        (partial(ask_fees, amount_cpc="1", key="k"), "send it CPC"),
    ],
)
async def test_money_that_the_chain_holds_is_not_the_market_s_to_give(
    tmp_path, asked, said
) -> None:
    async with node_in(tmp_path, held_by_chain=True):
        with pytest.raises(HeldByChain, match=f"the chain holds the customers' money.*{said}"):
            await trio.to_thread.run_sync(asked, tmp_path)
    async with node_in(tmp_path):
        with pytest.raises(ControlFailed, match="no market role") as caught:
            await trio.to_thread.run_sync(asked, tmp_path)
        assert not isinstance(caught.value, HeldByChain)


class Nobodys:
    """One entry of unclaimed money."""

    def __init__(self) -> None:
        self.given: list[tuple[int, str]] = []

    def entries(self):
        return [Entry("lost:x", "lost", 5, 7, move("outbox:x", "unclaimed", 3 * CPC))]

    async def give(self, number, address):
        if number != 7:
            raise NotFound("nothing unclaimed has this number", field="number")
        self.given.append((number, address))
        return self.entries()[0]


async def test_unclaimed_money_is_shown_and_given(tmp_path) -> None:
    async def give(*arguments):
        return await trio.to_thread.run_sync(ask_unclaimed, tmp_path, *arguments)

    desk, shown = Nobodys(), UnclaimedShown(7, 5, "lost:x", "3.0")
    async with node_in(tmp_path, unclaimed=desk):
        assert await give() == (shown,)
        assert await give(7, "cpc1a") == (shown,)
        with pytest.raises(ControlFailed, match="nothing unclaimed"):
            await give(8, "cpc1a")
    assert desk.given == [(7, "cpc1a")]
    async with node_in(tmp_path):
        with pytest.raises(ControlFailed, match="no market role"):
            await give()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"\n", b"truncated"),
        (b"backup\n", b"malformed"),
        (b'{"command":"stop","to":"/x"}\n', b"Invalid value 'stop'"),
        (b'{"command":"backup","to":"x"}\n', b"not an absolute path"),
        (b'{"command":"backup","to":"/x","more":1}\n', b"unknown field"),
        (b"x" * (2 * MAX_LINE_BYTES), b"malformed"),
    ],
)
async def test_anything_else_is_refused(tmp_path, line, said) -> None:
    async with node_in(tmp_path) as db:
        assert said in await written(tmp_path, line)
        assert (await ask(tmp_path, tmp_path / "copy")).records == 0
        await db.commit(one(b"goes on"))
