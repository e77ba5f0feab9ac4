import pytest
import trio
from trio.testing import MockClock

from p2p.errors import RequestRefused
from p2p.limits import Limits
from p2p.messages import Message, encode, register
from p2p.network import BulkSource
from p2p.requests import Kind, decode_refusal
from p2p.serving import BulkDesk, RequestDesk, read_answer
from p2p.transfer import Ask

LIMITS = Limits(handler_timeout_s=5, max_frame_bytes=100)


@register
class Query(Message):
    TYPE_ID = 65_020
    VERSION = 1
    MAX_BYTES = 1000
    text: str


@pytest.fixture
def desk() -> RequestDesk:
    return RequestDesk(LIMITS)


def answering(desk: RequestDesk, *, text: str = "", error: Exception | None = None) -> None:
    async def handler(_sender: str, _query: Query) -> Query:
        if error is not None:
            raise error
        return Query(text=text)

    desk.serve(Query, handler)


async def refusal(desk: RequestDesk, payload: bytes) -> str:
    kind, answer = await desk.answer("x", payload)
    assert kind is Kind.REFUSAL
    return decode_refusal(answer).code


async def test_an_answer(desk):
    answering(desk, text="yes")
    answer = await desk.answer("x", encode(Query(text="?")))
    assert read_answer(*answer) == Query(text="yes")


async def test_how_requests_end_in_refusals(desk, caplog):
    query = encode(Query(text="?"))
    assert await refusal(desk, b"junk") == "malformed"
    assert await refusal(desk, query) == "unknown"
    answering(desk, error=RequestRefused("mine"))
    assert await refusal(desk, query) == "mine"
    broken = RequestDesk(LIMITS)
    answering(broken, error=KeyError("bug"))
    assert await refusal(broken, query) == "internal"
    assert "bug" in caplog.text


async def test_a_response_over_its_bound_or_the_frames_is_internal(desk, caplog):
    answering(desk, text="x" * 200)
    assert await refusal(desk, encode(Query(text="?"))) == "internal"
    larger = RequestDesk(LIMITS)
    answering(larger, text="x" * 2000)
    assert await refusal(larger, encode(Query(text="?"))) == "internal"


async def test_a_slow_handler_is_cut_off(desk, autojump_clock: MockClock):
    async def forever(_sender: str, _query: Query) -> Query:
        await trio.sleep_forever()

    desk.serve(Query, forever)
    assert await refusal(desk, encode(Query(text="?"))) == "timeout"
    assert trio.current_time() == 5


def test_a_type_is_served_once(desk):
    answering(desk)
    with pytest.raises(ValueError, match="already served"):
        answering(desk)


def test_answers_that_cannot_be_read():
    with pytest.raises(RequestRefused, match="malformed"):
        read_answer(Kind.RESPONSE, b"junk")
    with pytest.raises(RequestRefused, match="malformed"):
        read_answer(Kind.REFUSAL, b"junk")
    with pytest.raises(RequestRefused, match="malformed"):
        read_answer(Kind.REQUEST, b"junk")


async def test_bulk_desk(caplog):
    desk = BulkDesk(LIMITS)

    async def handler(_sender: str, argument: bytes) -> BulkSource:
        raise RequestRefused("missing") if argument else KeyError

    desk.serve("name", handler)
    for ask, code in (
        (Ask("name", b"x"), "missing"),
        (Ask("name", b""), "internal"),
        (Ask("other", b""), "unknown"),
    ):
        with pytest.raises(RequestRefused) as caught:
            await desk.find("x", ask)
        assert caught.value.code == code
    with pytest.raises(ValueError, match="already served"):
        desk.serve("name", handler)
