import hashlib

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from node.api.downloads import READ_BYTES, parse_range, send_file
from node.api.errors import RangeUnsatisfiable

BYTES = bytes(range(256)) * 5000  # more than one read


@pytest.fixture
def digest(market, tmp_path) -> str:
    name = hashlib.sha256(BYTES).hexdigest()
    (tmp_path / name).write_bytes(BYTES)
    market.files[name] = tmp_path / name
    assert len(BYTES) > 2 * READ_BYTES
    return name


async def test_the_whole(client, digest) -> None:
    for name in (digest, digest.upper(), "0x" + digest):
        answer = await client.get(f"/artifacts/{name}")
        assert answer.status_code == 200
        assert answer.content == BYTES
        assert answer.headers["content-length"] == str(len(BYTES))
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["etag"] == f'"{digest}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=1000000-", 1_000_000, len(BYTES)),
        ("bytes=-5", len(BYTES) - 5, len(BYTES)),
        ("bytes=-99999999", 0, len(BYTES)),
        ("bytes=5-99999999", 5, len(BYTES)),
        ("bytes=0-", 0, len(BYTES)),
    ],
)
async def test_a_part(client, digest, asked, start, stop) -> None:
    answer = await client.get(f"/artifacts/{digest}", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == BYTES[start:stop]
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(BYTES)}"
    assert answer.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize(
    "asked", ["bytes=5-4", "bytes=0-1,4-5", "lines=0-1", "bytes=", "bytes=-", "bytes=a-b", "x"]
)
async def test_what_is_not_understood_gives_the_whole(client, digest, asked) -> None:
    answer = await client.get(f"/artifacts/{digest}", headers={"Range": asked})
    assert (answer.status_code, len(answer.content)) == (200, len(BYTES))


@pytest.mark.parametrize("asked", [f"bytes={len(BYTES)}-", "bytes=999999999-", "bytes=-0"])
async def test_beyond_the_end(client, digest, asked) -> None:
    answer = await client.get(f"/artifacts/{digest}", headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(BYTES)}"
    assert answer.json()["code"] == "range_unsatisfiable"


async def test_caches(client, digest) -> None:
    etag = f'"{digest}"'
    known = await client.get(f"/artifacts/{digest}", headers={"If-None-Match": etag})
    assert (known.status_code, known.content) == (304, b"")
    part = {"Range": "bytes=0-9", "If-Range": etag}
    assert (await client.get(f"/artifacts/{digest}", headers=part)).status_code == 206
    stale = {"Range": "bytes=0-9", "If-Range": '"old"'}
    assert (await client.get(f"/artifacts/{digest}", headers=stale)).status_code == 200


async def test_head_and_empty(client, digest, market, tmp_path) -> None:
    head = await client.head(f"/artifacts/{digest}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(BYTES))
    name = hashlib.sha256(b"").hexdigest()
    (tmp_path / name).touch()
    market.files[name] = tmp_path / name
    empty = await client.get(f"/artifacts/{name}")
    assert (empty.status_code, empty.content) == (200, b"")
    answer = await client.get(f"/artifacts/{name}", headers={"Range": "bytes=0-"})
    assert answer.status_code == 416


async def test_nothing_is_read_for_a_client_that_hung_up(digest, market) -> None:
    gone, sent = trio.Event(), []

    async def receive() -> dict[str, object]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)
        if "body" in message:
            gone.set()
            await trio.testing.wait_all_tasks_blocked()

    scope = {"method": "GET", "headers": []}
    await send_file(scope, receive, send, market.files[digest])
    assert len(sent) == 2  # the head and one piece


async def test_what_is_not_there(client, digest, market) -> None:
    missing = await client.get(f"/artifacts/{'00' * 32}")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    for wrong in ("x", "ab" * 31, "ab" * 33, "..%2f..%2fetc%2fpasswd"):
        answer = await client.get(f"/artifacts/{wrong}")
        assert answer.status_code in (400, 404)
    market.files[digest].unlink()
    gone = await client.get(f"/artifacts/{digest}")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_ranges_against_slices(size: int, first: int, last: int) -> None:
    data = bytes(range(size))
    for text, wanted in (
        (f"bytes={first}-{last}", data[first : last + 1] if first <= last else data),
        (f"bytes={first}-", data[first:]),
        (f"bytes=-{last}", data[-last:] if last else b""),
    ):
        try:
            found = parse_range(text, size)
        except RangeUnsatisfiable:
            sent = b""
        else:
            sent = data if found is None else data[found.start : found.stop]
        assert sent == wanted


@given(st.text(max_size=40), st.integers(0, 100))
def test_any_text_is_a_range_or_none(text: str, size: int) -> None:
    try:
        found = parse_range(text, size)
    except RangeUnsatisfiable:
        return
    assert found is None or 0 <= found.start < found.stop <= size
