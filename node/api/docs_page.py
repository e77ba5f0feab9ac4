"""The page at /docs: one self-contained HTML file from the command table, nothing loaded."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from node import __version__
from node.api.commands import COMMANDS, Command
from node.api.errors import MEANINGS
from node.api.params import metadata

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1a1a1a;background:#fff}code,pre{font:14px/1.4 ui-monospace,monospace}"
    "pre{background:#f4f4f4;padding:.75rem;overflow-x:auto}"
    "table{border-collapse:collapse;width:100%}"
    "td,th{border-bottom:1px solid #ddd;padding:.3rem .6rem;text-align:left;vertical-align:top}"
    "h2{margin-top:2.5rem}"
)


def docs_page() -> str:
    """The whole page."""
    commands = "".join(map(_command, COMMANDS))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>tmnode {escape(__version__)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>tmnode {escape(__version__)}</h1>{_INTRODUCTION}{commands}{_errors()}</body></html>"
    )


def _command(command: Command[Any]) -> str:
    method = f" · JSON-RPC <code>{escape(command.method)}</code>" if command.method else ""
    notes = " Needs the market role." if command.needs_market else ""
    notes += " Needs an API key or the local account." if command.needs_account else ""
    return (
        f'<h2 id="{command.name}">{escape(command.name)}</h2>'
        f"<p><code>{command.verb} {escape(command.path)}</code>{method}</p>"
        f"<p>{escape(command.summary)}{notes}</p>{_fields(command)}"
    )


def _fields(command: Command[Any]) -> str:
    described = metadata(command.params)
    rows = [
        (f"<code>{name}</code>", _place(command, name), _text(field))
        for name, field in described.items()
    ]
    return _table(("parameter", "where", "meaning"), rows) if rows else ""


def _place(command: Command[Any], name: str) -> str:
    if name in command.path_fields:
        return "path"
    if name in command.headers:
        return f"header <code>{escape(command.headers[name])}</code>"
    return "body" if command.in_body else "query"


def _text(field: Any) -> str:
    example = json.dumps(field["examples"][0], ensure_ascii=False)
    return f"{escape(field['description'])} E.g. <code>{escape(example)}</code>"


def _errors() -> str:
    rows = [
        (
            f'<code id="{code}">{code}</code>',
            str(meaning.status),
            str(meaning.rpc_code),
            escape(meaning.title),
        )
        for code, meaning in MEANINGS.items()
    ]
    table = _table(("code", "HTTP", "JSON-RPC", "meaning"), rows)
    return f'<h2 id="errors">Errors</h2>{_ERRORS}{table}'


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


_INTRODUCTION = (
    "<p>Buy GPU work, follow it, fetch what came out. Amounts are decimal strings of CPC, times"
    ' are Unix seconds. Everything below is described for programs in <a href="/openapi.json">'
    "/openapi.json</a> and, but for downloads and health, also a JSON-RPC 2.0 method at"
    " <code>POST /rpc</code>: alone, as a notification, or up to 100 in a batch.</p>"
    '<pre>curl -s http://127.0.0.1:8080/tasks -H "Content-Type: application/json" -d \'{\n'
    '  "challenge_type": "synthetic",\n'
    '  "payload": {"seed": "1234abcd5678ef90", "matrix_size": 1024, "iterations": 100},\n'
    '  "reward": "10.0"}\'</pre>'
)
_ERRORS = (
    "<p>Over HTTP an error is <code>application/problem+json</code>:"
    " <code>{type, title, status, code, detail, field, remedy}</code>. Over JSON-RPC its"
    " <code>data</code> is <code>{code, field, remedy}</code>.</p>"
)
