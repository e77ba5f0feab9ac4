"""The encoding of chain241: fields behind their length, numbers as u32, all little-endian."""


def u32(number: int) -> bytes:
    """Raises OverflowError outside 0 .. 2^32 - 1."""
    return number.to_bytes(4, "little")


def encoded(*fields: bytes | int) -> bytes:
    """ENC: each field behind its u32 length; an integer is a field of four bytes."""
    parts = [u32(field) if isinstance(field, int) else field for field in fields]
    return b"".join(u32(len(part)) + part for part in parts)


def decoded(data: bytes, count: int) -> list[bytes]:
    """The fields of an encoding of exactly `count` fields. Raises ValueError."""
    fields = []
    for _ in range(count):
        size = int.from_bytes(data[:4], "little")
        field, rest = data[4 : 4 + size], data[4 + size :]
        if len(data) < 4 or len(field) != size:
            raise ValueError("the encoding is cut short")
        fields.append(field)
        data = rest
    if data:
        raise ValueError("the encoding has bytes left over")
    return fields
