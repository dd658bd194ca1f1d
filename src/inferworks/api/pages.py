"""The two pages for people: what this is (`/`), and the reference of the API (`/docs`).

Somebody pastes the address into a browser: to see whether it is there, what the base URL is, how a call is
made. Both pages are whole in one answer, without a script, a picture or anything from elsewhere, and say so
to the browser (`content-security-policy`), so nothing that gets into them could run. They are open to all
like `/openapi.json`, from which the reference is drawn, and say nothing of models, keys or customers.

Rejected. Swagger UI or Redoc: a megabyte of somebody else's script, from another host, for tables.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from inferworks import __version__
from inferworks.api.context import AppContext, Endpoint
from inferworks.http.server import Exchange

HOME: Final = "/"
REFERENCE: Final = "/docs"

_Json = Mapping[str, Any]
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;"
    "color:#1c2330;background:#fff}code,pre{font:14px/1.5 ui-monospace,monospace;background:#f3f5f8}"
    "code{padding:.1em .3em}pre{padding:.8rem;overflow-x:auto}pre code{padding:0}"
    "table{border-collapse:collapse;width:100%;margin:.5rem 0}"
    "td,th{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;"
    "border-bottom:1px solid #dde2ea}"
    "summary{cursor:pointer;padding:.3rem 0}h2{margin-top:2rem}a{color:#0b57a4}"
    "@media(prefers-color-scheme:dark){body{color:#dfe5ee;background:#14181f}"
    "code,pre{background:#222935}td,th{border-color:#333c4a}a{color:#7db7f5}}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = (
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'".encode(),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
    (b"vary", b"host, x-forwarded-proto"),
)
_HTML: Final = b"text/html; charset=utf-8"
_HOST: Final = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,255}")
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_DEEPEST: Final = 4
"""Depth to which a type is written out where it is used."""


async def home(exchange: Exchange, _context: AppContext) -> None:
    """Serve the page that says where the API begins."""
    # the address that the browser was given, as far as the request tells and nothing odd is in it
    host = exchange.headers.get(b"host", b"")
    scheme = "https" if exchange.headers.get(b"x-forwarded-proto") == b"https" else "http"
    url = f"{scheme}://{host.decode()}/v1" if _HOST.fullmatch(host) else "/v1"
    curl = (
        f"curl {url}/chat/completions \\\n"
        '  -H "Authorization: Bearer $INFERWORKS_API_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        '  -d \'{"model": "MODEL", "messages": [{"role": "user", "content": "Hello"}]}\''
    )
    body = (
        "<h1>Inferworks</h1>"
        "<p>This is an API for foundation models, in the dialects of OpenAI, Anthropic and Stability. "
        "It needs an API key, which whoever runs it makes for you.</p>"
        f"<table><tr><th>base URL for OpenAI's clients</th><td><code>{escape(url)}</code></td></tr>"
        "<tr><th>base URL for Anthropic's clients</th>"
        f"<td><code>{escape(url.removesuffix('/v1'))}</code></td></tr></table>"
        f"<pre><code>{escape(curl)}</code></pre>"
        "<p><code>GET /v1/models</code> lists the models.</p>"
        '<ul><li><a href="/docs">The reference of the API</a></li>'
        '<li><a href="/openapi.json">The same as OpenAPI</a></li>'
        '<li><a href="/health">How the gateway does</a></li></ul>'
    )
    await exchange.respond(200, _page("Inferworks", body), _HTML, _HEADERS)


def reference(document: _Json) -> Endpoint:
    """The endpoint of a page that tells what the OpenAPI `document` does."""
    about = escape(document["info"]["description"])
    parts = [
        f"<h1>The API</h1><p>Inferworks {escape(__version__)}. {about}</p>",
        "<p>A key goes into <code>Authorization: Bearer iw_...</code> or <code>x-api-key</code>. ",
        'The same as OpenAPI 3.1: <a href="/openapi.json">/openapi.json</a>.</p>',
    ]
    schemas = document["components"]["schemas"]
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                parts += _operation(path, method, item[method], schemas)
    parts.append("<h2>Types</h2>")
    for name in sorted(schemas):
        head = f"<summary><code>{escape(_short(name))}</code></summary>"
        parts.append(f'<details id="{escape(_anchor(name))}">{head}')
        parts += _fields(schemas[name])
        parts.append("</details>")
    data = _page("Inferworks: the API", "".join(parts))

    async def endpoint(exchange: Exchange, _context: AppContext) -> None:
        """The reference of the API."""
        await exchange.respond(200, data, _HTML, _HEADERS)

    return endpoint


def _page(title: str, body: str) -> bytes:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    ).encode()


def _operation(path: str, method: str, operation: _Json, schemas: _Json) -> Iterator[str]:
    open_to_all = operation.get("security") == []
    yield f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}"
    yield " Needs no key.</p>" if open_to_all else "</p>"
    rows = [
        (p["name"], _type(p.get("schema", {})), p.get("description", ""))
        for p in operation.get("parameters", ())
    ]
    if rows:
        yield f"<details><summary>Headers</summary>{_table(rows)}</details>"
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<details><summary>Body, <code>{escape(media)}</code></summary>"
        schema = content.get("schema", {})
        yield from _fields(schemas.get(schema.get("$ref", "").rpartition("/")[2], schema))
        yield "</details>"
    told = operation["responses"].get("200", {}).get("headers", {})
    if told:
        rows = [
            (name, _type(h.get("schema", {})), h.get("description", "")) for name, h in told.items()
        ]
        yield f"<details><summary>Headers of the answer</summary>{_table(rows)}</details>"


def _fields(schema: _Json) -> Iterator[str]:
    """The fields of an object, or what else a schema is."""
    if "properties" not in schema:
        yield f"<p>{_type(schema)}</p>"
        return
    required = set(schema.get("required", ()))
    yield _table(
        (name, _type(part), "required" if name in required else part.get("description", ""))
        for name, part in schema["properties"].items()
    )


def _table(rows: Any) -> str:
    cells = (
        f"<tr><td><code>{escape(name)}</code></td><td>{kind}</td><td>{escape(words)}</td></tr>"
        for name, kind, words in rows
    )
    return f"<table>{''.join(cells)}</table>"


def _type(schema: _Json, depth: int = 0) -> str:
    """A schema in a few words, with links to the types that it names."""
    if depth > _DEEPEST:
        return "..."
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{escape(_anchor(name))}">{escape(_short(name))}</a>'
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(part, depth + 1) for part in schema["anyOf"]))
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}), depth + 1)}"
    return escape(kind if isinstance(kind, str) else " or ".join(kind))


def _short(name: str) -> str:
    """The name of a type, less the module that it is in."""
    return name.rpartition(".")[2]


def _anchor(name: str) -> str:
    return "type-" + re.sub(r"[^A-Za-z0-9_-]", "-", name)
