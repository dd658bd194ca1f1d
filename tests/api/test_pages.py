"""The two pages for people: whole in one answer, with nothing in them that could run."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Coroutine
from html.parser import HTMLParser
from typing import Any

import pytest

from inferworks.api.app import FORMS, ROUTES
from inferworks.api.openapi import PATH as OPENAPI
from inferworks.api.openapi import document, template
from inferworks.cloud.providers.stub import StubProvider
from inferworks.testing.in_process_gateway import Answered, open_gateway_over
from inferworks.testing.providers import A_MODEL

Run = Callable[[Coroutine[Any, Any, None]], None]
VOID = {"meta", "br"}


class Elements(HTMLParser):
    """The elements of a page, each closed in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """An element ends: the one that began last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text between elements."""
        self.text += data


def page(answer: Answered) -> Elements:
    """The page in an answer, which is one that may be shown by a browser without care."""
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    text = answer.body.decode()
    (style,) = re.findall("<style>(.*?)</style>", text)
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{allowed}'" in policy
    assert "unsafe" not in policy
    found = Elements()
    found.feed(text)
    assert found.open == []
    for tag, attributes in found.seen:
        assert tag not in {"script", "img", "link", "iframe", "form", "object"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src"):
            assert (attributes.get(name) or "/").startswith(("/", "#"))
    return found


def ask(run: Run, path: str, **headers: str) -> Answered:
    """Answer of a page to a request without a key."""
    answers = []

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            answers.append(await gateway.ask("GET", path, headers=fields, secret=""))
            head = await gateway.ask("HEAD", path, secret="")
            assert (head.status, head.body) == (200, b"")
            assert await gateway.usages() == []

    run(main())
    return answers[0]


def test_the_first_page_has_the_base_url_and_links_that_lead_somewhere(run: Run) -> None:
    """The first page has the address that the browser was given, but no model and no key."""
    answer = ask(run, "/", x_forwarded_proto="https")
    found = page(answer)
    assert "https://localhost/v1" in found.text
    assert A_MODEL not in found.text
    links = {attributes["href"] for tag, attributes in found.seen if tag == "a"}
    assert links == {"/docs", "/openapi.json", "/health"}


@pytest.mark.parametrize("host", ["<script>alert(1)</script>", 'a"b', "x y", "é", "h" * 300])
def test_a_host_that_is_none_is_not_shown(run: Run, host: str) -> None:
    """Nothing that a request says gets into the page unless it is a name and a port."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            reader, writer = await gateway.connect()
            head = f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
            writer.write(head.encode("latin-1"))
            data = await reader.read()
            writer.close()
            assert b"script>" not in data
            assert host.encode("latin-1") not in data

    run(main())


def test_the_reference_has_every_operation_and_type(run: Run) -> None:
    """The reference is drawn from the whole OpenAPI document, and its links lead to existing types."""
    found = page(ask(run, "/docs"))
    described = document(ROUTES, FORMS)
    for path, methods in ROUTES.items():
        for method in set(methods) - {"HEAD"}:
            assert path == OPENAPI or f"{method} {template(path)}" in found.text
    ids = {attributes.get("id") for _, attributes in found.seen}
    links = {attributes["href"] or "" for tag, attributes in found.seen if tag == "a"}
    assert {link for link in links if link.startswith("#")} <= {f"#{name}" for name in ids}
    assert len(ids) >= len(described["components"]["schemas"])
    for name in ("messages", "max_completion_tokens", "x-inferworks-purpose"):
        assert name in found.text


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/v1/chat/completions", "/v1 is in it twice"),
        ("/chat/completions", "did you mean /v1/chat/completions?"),
        ("/v1", "the API begins at /v1, see /docs"),
        ("/nothing", "Invalid URL (POST /nothing)"),
    ],
)
def test_a_wrong_base_url_is_hinted_at(run: Run, path: str, hint: str) -> None:
    """The 404 says what was probably meant."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            answer = await gateway.ask("POST", path, b"{}")
            assert answer.status == 404
            assert hint in answer.json["error"]["message"]

    run(main())


def test_healthz_is_livez(run: Run) -> None:
    """`/healthz` is for those who expect that name."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            for path in ("/healthz", "/livez"):
                answer = await gateway.ask("GET", path, secret="")
                assert (answer.status, answer.json["status"]) == (200, "ok")

    run(main())
