"""A market without bonds: nothing can be disputed, and everybody is told so."""

import pytest

from node.market.desk import NoAppeals, NotDisputable


def test_an_appeal_is_refused_with_the_reason() -> None:
    with pytest.raises(NotDisputable, match="the chain holds the money") as refused:
        NoAppeals().open("task", "cpc1customer", "it is wrong")
    assert (refused.value.code, refused.value.field) == ("conflict", "task_id")
    assert "`transfer`" in (refused.value.remedy or "")


def test_nothing_was_disputed() -> None:
    desk = NoAppeals()
    desk.pass_time()
    assert desk.fee(10**12) is None
    assert desk.book.find("task") is None
    assert list(desk.book.open()) == []
