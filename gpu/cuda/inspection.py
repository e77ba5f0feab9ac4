"""What a compiled kernel may hold: only instructions whose result IEEE 754 fixes; and what it uses.

The PTX is what is looked at. Its `.rn` on products and sums also forbids a driver to contract them;
the machine code has approximations only within the sequences that make division and roots exact.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# With a float operand: exact moves, comparisons, and operations that round once, to nearest.
_ROUNDED = r"(add|sub|mul|fma|div|rcp|sqrt)\.rn"
_MOVES = (
    r"(mov|selp|neg|abs|copysign|ld(\.param|\.global(\.nc)?|\.shared|\.local|\.const)?"
    r"|st(\.param|\.global|\.shared|\.local)?)(\.volatile)?(\.v[24])?"
)
_COMPARED = r"setp(\.(eq|ne|lt|le|gt|ge|ltu|leu|gtu|geu|equ|neu|num|nan))(\.(and|or|xor))?"
_FLOAT = r"\.f(32|64)"
_INTEGER = r"\.[su](8|16|32|64)"
_ALLOWED = re.compile(
    rf"(({_ROUNDED}|{_MOVES}|{_COMPARED}){_FLOAT}"
    rf"|cvt\.rn{_FLOAT}{_INTEGER}|cvt\.rzi{_INTEGER}{_FLOAT}"
    r"|cvt\.f64\.f32|cvt\.rn\.f32\.f64)$"
)

# Anything that computes with floats says so in its types; the others are only moved and compared.
_FLOATS = re.compile(r"\.(f16|f16x2|bf16|bf16x2|tf32|f32|f64|e4m3\w*|e5m2\w*)\b")
_FORBIDDEN = re.compile(r"\.(approx|ftz|full|sat)\b|^(atom|red|wmma|tcgen05|wgmma)\b")
_INSTRUCTION = re.compile(r"^\s*(?:@!?%p\d+\s+)?([a-z][\w]*(?:\.[\w:]+)*)[\s;]")

_USED = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores,"
    r" (\d+) bytes spill loads.*?Used (\d+) registers(?:[^\n]*?(\d+) bytes smem)?",
    re.DOTALL,
)


class Usage(NamedTuple):
    """What a thread of a kernel takes, and a block of shared memory."""

    kernel: str
    stack_bytes: int
    spill_bytes: int
    registers: int
    shared_bytes: int


def forbidden(ptx: str) -> list[str]:
    """The instructions that no kernel may hold, each once."""
    found = dict.fromkeys(_instructions(ptx))
    return [
        name
        for name in found
        if _FORBIDDEN.search(name) or (_FLOATS.search(name) and not _ALLOWED.match(name))
    ]


def usages(log: str) -> list[Usage]:
    """What ptxas says about each kernel."""
    return [
        Usage(
            match[1], int(match[2]), int(match[3]) + int(match[4]), int(match[5]),
            int(match[6] or 0),
        )
        for match in _USED.finditer(log)
    ]  # fmt: skip


def _instructions(ptx: str) -> Iterator[str]:
    for line in ptx.splitlines():
        match = _INSTRUCTION.match(line)
        if match is not None:
            yield match[1]
