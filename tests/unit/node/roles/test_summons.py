"""One seat of a jury: how long a juror is waited for, and what its market makes of its answers."""

import pytest
import trio

from node.roles.summons import ASK_PAUSES_S, SILENT_S, Patience

TURN_S = 100.0


@pytest.fixture
async def patience(autojump_clock) -> Patience:
    return Patience(TURN_S)


async def asked(patience: Patience, *, answered: bool) -> float:
    """One question and what comes of it; how long the next one is waited for."""
    patience.note(trio.current_time(), answered=answered)
    pause_s = patience.pause_s()
    await trio.sleep(pause_s)
    return pause_s


async def test_one_that_computes_is_asked_less_and_less(patience, autojump_clock) -> None:
    pauses = [await asked(patience, answered=True) for _ in range(6)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert ASK_PAUSES_S == (1.0, 15.0)
    assert patience.end() is None


async def test_its_time_ends_though_it_says_that_it_computes(patience, autojump_clock) -> None:
    began = trio.current_time()
    while patience.end() is None:
        await asked(patience, answered=True)
    assert patience.end() == "no_ruling"
    assert trio.current_time() - began == TURN_S


async def test_one_that_is_silent_is_asked_often_and_not_for_long(patience, autojump_clock) -> None:
    """From the first question that it left unanswered; one answer, and its time begins anew."""
    while await asked(patience, answered=True) < ASK_PAUSES_S[1]:
        pass
    began = trio.current_time()
    while trio.current_time() < began + SILENT_S - 1:
        assert await asked(patience, answered=False) == ASK_PAUSES_S[0]
        assert (patience.end() is None) == (trio.current_time() < began + SILENT_S)
    patience.note(trio.current_time(), answered=True)
    assert patience.end() is None
    began = trio.current_time()
    while patience.end() is None:
        await asked(patience, answered=False)
    assert patience.end() == "unreachable"
    assert trio.current_time() - began == SILENT_S
