"""Write tables of the docs from the code: in docs/protocol.md every message and every wait, in
docs/api.md the ends of a task, in docs/operations.md every state, in docs/devchain.md the gas,
parameters and limits of the development chain's own transactions, and in docs/economics.md every
parameter of a network, from its sample.

python docs/tables.py            rewrite the tables
python docs/tables.py --check    exit 1 if they are not what the code says
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from node.client.following import COMES_TO, GOALS  # noqa: E402 - after the path is known
from node.deadlines import STATES  # noqa: E402
from node.market.phases import ENDS, STATUS_OF  # noqa: E402

SAMPLE = ROOT / "configs" / "devnet.toml"
WAITS = ("node/roles", "node/market", "p2p")
"""Where waits and bounds are part of the protocol; those of one carrier's inside are not."""
ENDINGS = {"_S": "s", "_MS": "ms"}
LIMITS = (
    "node/l1/escrow/forms.py",
    "node/l1/escrow/rows.py",
    "node/l1/escrow/gas.py",
    "node/l1/devchain/bonds.py",
    "node/verification/inline.py",
    "node/verification/onchain.py",
)
"""Where the market's transactions have their limits."""


class Message(NamedTuple):
    """A message as its class says it."""

    type_id: int
    name: str
    bound: int
    meaning: str


def trees(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """The sources directly in these folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).glob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text())


def messages() -> Iterator[Message]:
    """Every registered message."""
    for _, tree in trees("node/wire"):
        for item in tree.body:
            if isinstance(item, ast.ClassDef) and item.decorator_list:
                values = dict(_constants(item.body))
                first = (ast.get_docstring(item) or "").split("\n\n")[0].replace("\n", " ")
                yield Message(values["TYPE_ID"], item.name, values["MAX_BYTES"], first)


def answers() -> dict[str, str]:
    """What each request is answered by: the annotation of the handler that is served for it."""
    found = {}
    for _, tree in trees("node/roles"):
        for item in ast.walk(tree):
            if isinstance(item, ast.ClassDef):
                handlers = {f.name: f for f in item.body if isinstance(f, ast.AsyncFunctionDef)}
                found |= dict(_served(item, handlers))
    return found


def _served(
    item: ast.ClassDef, handlers: dict[str, ast.AsyncFunctionDef]
) -> Iterator[tuple[str, str]]:
    for call in ast.walk(item):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "serve":
            request, handler = call.args
            returns = handlers[handler.attr].returns if isinstance(handler, ast.Attribute) else None
            if isinstance(request, ast.Name) and returns is not None:
                yield request.id, ast.unparse(returns)


def waits() -> Iterator[tuple[str, str, str]]:
    """Constants that are times: where, value, what the text below them says."""
    for path, tree in trees(*WAITS):
        for item, text in zip(tree.body, [*tree.body[1:], None], strict=True):
            for name, value in _constants([item]):
                ending = next((end for end in ENDINGS if name.endswith(end)), None)
                if ending and not name.startswith("_"):
                    place = f"{path.with_suffix('')}".replace("/", ".")
                    yield f"`{place}.{name}`", f"{_shown(value)} {ENDINGS[ending]}", _said(text)


def _constants(body: list[ast.stmt]) -> Iterator[tuple[str, object]]:
    for item in body:
        targets = [item.target] if isinstance(item, ast.AnnAssign) else getattr(item, "targets", [])
        for target in targets:
            if isinstance(target, ast.Name) and target.id.strip("_").isupper() and item.value:
                try:
                    yield target.id, eval(ast.unparse(item.value), {"__builtins__": {}})
                except NameError:
                    continue  # made of other constants: said there


def _said(text: ast.stmt | None) -> str:
    is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    return " ".join(str(text.value.value).split()) if is_text else ""


def _shown(value: object) -> str:
    return " to ".join(map(_shown, value)) if isinstance(value, tuple) else f"{value:,}"


def parameters() -> Iterator[tuple[str, str, str, str]]:
    """Every key of the sample of a network file: key, value, unit, what its comment says."""
    section, said = "", ""
    for line in SAMPLE.read_text().splitlines():
        if line.startswith("#"):
            said += line.removeprefix("#")
        elif " = " in line:
            key, value = line.split(" = ", 1)
            meaning, _, rest = re.sub(r" (Default: .*|Required)\.$", "", said).partition(" Unit: ")
            yield (
                f"`{section}.{key}`",
                value.strip('"') or '""',
                rest.strip(" .") or "–",
                meaning.strip(),
            )
            said = ""
        else:
            section, said = line.strip("[]") or section, ""


def limits() -> Iterator[str]:
    """Every state of everything, when it ends by itself, and in what."""
    for thing, states in STATES.items():
        for state, limit in states.items():
            yield f"| {thing} | `{state}` | {limit.after} | {limit.then} |"


def ends() -> Iterator[str]:
    """The phases in which a task stays, what they mean, and which goals it has reached."""
    for phase, meaning in ENDS.items():
        status = STATUS_OF[phase]
        last = COMES_TO[phase] if status == "completed" else ""
        reached = GOALS[: GOALS.index(last) + 1] if last else ()
        goals = ", ".join(f"`{goal}`" for goal in reached) or "none"
        yield f"| `{phase}` | `{status}` | {goals} | {meaning} |"


def tables() -> dict[str, dict[str, str]]:
    """The text of each table by its page and its name in the page."""
    answered = answers()
    rows = [
        f"| {one.type_id} | `{one.name}` | {_code(answered.get(one.name))} | {one.bound:,} "
        f"| {one.meaning} |"
        for one in sorted(messages())
    ]
    head = (
        "| id | message | answered by | bytes at most | meaning |\n| --- | --- | --- | ---: | --- |"
    )
    times = [f"| {place} | {value} | {text} |" for place, value, text in waits()]
    time_head = "| constant | value | meaning |\n| --- | --- | --- |"
    keys = [f"| {key} | {value} | {unit} | {text} |" for key, value, unit, text in parameters()]
    key_head = "| key | devnet | unit | meaning |\n| --- | --- | --- | --- |"
    limit_head = "| thing | state | ends by itself after | in |\n| --- | --- | --- | --- |"
    end_head = "| phase | `status` | reached for who waits | meaning |\n| --- | --- | --- | --- |"
    return {
        "api": {"ends": _table(end_head, list(ends()))},
        "protocol": {"messages": _table(head, rows), "waits": _table(time_head, times)},
        "economics": {"parameters": _table(key_head, keys)},
        "operations": {"limits": _table(limit_head, list(limits()))},
        "devchain": chain_tables(),
    }


def chain_tables() -> dict[str, str]:
    """The same for the page of the development chain."""
    limits, gas = [], []
    for name in LIMITS:
        body = ast.parse((ROOT / name).read_text()).body
        for item, text in zip(body, [*body[1:], None], strict=True):
            for constant, value in _constants([item]):
                if constant == "BASE_GAS" and isinstance(value, dict):
                    gas = [f"| `{kind}` | {units:,} |" for kind, units in value.items()]
                elif isinstance(value, int) and not constant.startswith("_"):
                    limits.append(f"| `{constant}` | {value:,} | {_said(text)} |")
    head = "| constant | value | meaning |\n| --- | ---: | --- |"
    return {
        "gas": _table("| type | base gas |\n| --- | ---: |", gas),
        "limits": _table(head, limits),
        "parameters": _table(head.replace("constant", "field"), list(_parameters())),
    }


def _parameters() -> Iterator[str]:
    tree = ast.parse((ROOT / "node/l1/escrow/views.py").read_text())
    for item in tree.body:
        if isinstance(item, ast.ClassDef) and item.name == "MarketParameters":
            for line, text in zip(item.body, [*item.body[1:], None], strict=True):
                if isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Constant):
                    value = f"{line.value.value:,}"
                    yield f"| `{ast.unparse(line.target)}` | {value} | {_said(text)} |"


def _code(name: str | None) -> str:
    return f"`{name}`" if name else "–"


def _table(head: str, rows: list[str]) -> str:
    return "\n".join([head, *rows]) + "\n"


def main() -> int:
    """Rewrite the pages, or check them."""
    changed = [_rewrite(ROOT / "docs" / f"{page}.md", texts) for page, texts in tables().items()]
    return int("--check" in sys.argv and any(changed))


def _rewrite(path: Path, texts: dict[str, str]) -> bool:
    """Whether the page was not as it should be; it is written unless it is only to be checked."""
    page = before = path.read_text()
    for name, text in texts.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        head, _, rest = page.partition(begin)
        page = head + begin + text + end + rest.partition(end)[2]
    if "--check" not in sys.argv:
        path.write_text(page)
    return page != before


if __name__ == "__main__":
    sys.exit(main())
