"""The tables of who pays what, in docs/economics.md: what their cells mean in units."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

E = TypeVar("E")
PAGE = Path(__file__).resolve().parents[5] / "docs" / "economics.md"


def rows(name: str, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """A table by its name in the page: the cells of each event by their columns."""
    text = PAGE.read_text().partition(f"<!-- {name}: begin -->\n")[2]
    head, _, *lines = text.partition(f"<!-- {name}: end -->")[0].splitlines()
    names = [cell.strip() for cell in head.strip("|").split("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert names == ["event", *columns]
    assert len({row[0] for row in cells}) == len(cells)
    return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in cells}


class Events(dict[str, E]):
    """What lets the event of each row happen, in the order of the file."""

    def of(self, row: str) -> Callable[[E], E]:
        """Mark a function as a row's."""

        def noted(happens: E) -> E:
            assert row not in self
            self[row] = happens
            return happens

        return noted


def units(cell: str, reward: int, symbols: Mapping[str, int]) -> int:
    """What a cell means for a reward, rounded down; `symbols` are fixed amounts by a letter."""
    if cell == "–":
        return 0
    total = 0
    for term in re.sub(r" ([−+]) ", r" \1", cell).replace(" %", "%").split():
        match = re.fullmatch(rf"([−+]?)([0-9]*)(%|{'|'.join(symbols)})", term)
        assert match, cell
        times = int(match[2] or 1)
        part = reward * times // 100 if match[3] == "%" else times * symbols[match[3]]
        total += -part if match[1] == "−" else part
    return total
