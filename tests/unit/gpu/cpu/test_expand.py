import numpy as np
import pytest
from Crypto.Cipher import ChaCha20

from gpu.errors import KernelFailed

KEY = bytes(range(32))


def expanded(backend, count, *, key=KEY, stream=0, step=0, **options):
    out = backend.empty(1, count)
    backend.expand(out, key, stream, step, **options)
    return bytes(backend.download(out))


def test_block_of_the_rfc(backend, vectors):
    case = vectors["chacha20_rfc8439_2_3_2"]
    nonce = bytes.fromhex(case["nonce"])
    words = np.frombuffer(bytes.fromhex(case["block"]), "<u4").tolist()
    stream, step = (int.from_bytes(nonce[i : i + 4], "little") for i in (0, 4))
    result = expanded(
        backend, 16, key=bytes.fromhex(case["key"]), stream=stream, step=step, first=16
    )
    assert list(result) == [word * 241 >> 32 for word in words]


def test_reference_maps_words_as_the_vectors_do(reference, vectors):
    for case in vectors["word_mapping"]:
        word = int(case["word"], 16)
        assert reference.residue(word) == case["residue"]
        assert reference.nonzero(word) == case["nonzero"]


@pytest.mark.parametrize("nonzero", [False, True])
def test_a_long_stream_against_a_library(backend, nonzero):
    count = 300_001
    nonce = (3).to_bytes(4, "little") + (77).to_bytes(4, "little") + bytes(4)
    stream = ChaCha20.new(key=KEY, nonce=nonce).encrypt(bytes(4 * count))
    words = np.frombuffer(stream, "<u4").astype(np.uint64)
    expected = (1 + (words * 240 >> 32) if nonzero else words * 241 >> 32).astype(np.uint8)
    assert expanded(backend, count, stream=3, step=77, nonzero=nonzero) == expected.tobytes()


def test_reference_gives_the_same_stream(backend, reference):
    expected = reference.residues(KEY, 2, 9, 200)
    assert list(expanded(backend, 200, stream=2, step=9)) == expected


def test_every_start_and_length_is_a_part_of_the_whole(backend):
    whole = expanded(backend, 600)
    for first in (*range(40), 127, 128, 129, 255):
        for count in (1, 15, 16, 17, 127, 128, 129, 300):
            assert expanded(backend, count, first=first) == whole[first : first + count]


def test_elements_beyond_the_32_bit_range(backend):
    far = expanded(backend, 40, first=2**33 + 5)
    counter = (2**33 + 5) // 16
    cipher = ChaCha20.new(key=KEY, nonce=bytes(12))
    cipher.seek(64 * counter)
    words = np.frombuffer(cipher.encrypt(bytes(4 * 64)), "<u4").astype(np.uint64)
    assert far == (words * 241 >> 32).astype(np.uint8).tobytes()[5:45]


def test_fills_whole_rows_of_a_matrix(backend):
    matrix = backend.empty(10, 30)
    for start in (0, 4, 8):
        rows = backend.tile(matrix, slice(start, min(start + 4, 10)), slice(0, 30))
        backend.expand(rows, KEY, 0, 0, first=30 * start)
    assert bytes(backend.download(matrix)) == expanded(backend, 300)


def test_refuses_what_it_cannot_fill(backend):
    with pytest.raises(KernelFailed, match="31 bytes"):
        backend.expand(backend.empty(1, 8), bytes(31), 0, 0)
    with pytest.raises(KernelFailed, match="writable"):
        backend.expand(backend.upload(bytes(8), 1, 8), KEY, 0, 0)
    with pytest.raises(KernelFailed, match="no gaps"):
        backend.expand(backend.tile(backend.empty(4, 8), slice(0, 4), slice(0, 4)), KEY, 0, 0)
    with pytest.raises(KernelFailed, match="bad argument"):
        backend.expand(backend.empty(1, 8), KEY, 0, 0, first=2**36)
