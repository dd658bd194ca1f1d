"""Azure OpenAI over real HTTP: OpenAI's answers behind Azure's addresses, keys and content filter.

Answers and faults are those of `testing.upstream`. A request with neither the key nor the token is refused
with 401; a deployment's path without `api-version` is not found. A stream of a chat begins with
an event that has no choice, and every choice is annotated.

Sources: https://learn.microsoft.com/azure/ai-foundry/openai/reference,
https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager

from inferworks.http.server import Exchange
from inferworks.testing.upstream import FakeUpstream
from inferworks.testing.upstreams.chat import Chat
from inferworks.testing.upstreams.script import Answer, Body, Wire
from inferworks.testing.upstreams.scripted_server import opened

KEY = "3a1b2c3d4e5f60718293a4b5c6d7e8f9"
TOKEN = "eyJ0eXAi.EXAMPLE.c2ln"  # noqa: S105 it opens nothing
API_VERSION = "2024-10-21"

_PATH = re.compile(r"/openai/(?:v1|deployments/[^/]+)(/.+)")
_SAFE = {"hate": {"filtered": False, "severity": "safe"}}
_PROMPT = [{"prompt_index": 0, "content_filter_results": _SAFE}]
_DENIED = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid "
    "key for an active subscription and use a correct regional API endpoint for your resource."
)


class FakeAzure(FakeUpstream):
    """The handler and its memory; `open_azure` gives it a port."""

    base_path = "/openai/v1"

    def __init__(self, answers: Sequence[Answer]) -> None:
        super().__init__(answers)
        self.queries: list[str] = []

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request as the script says, if it may ask."""
        self.queries.append(exchange.query)
        key, token = (exchange.headers.get(name) for name in (b"api-key", b"authorization"))
        is_deployment = exchange.path.startswith("/openai/deployments/")
        is_dated = not is_deployment or exchange.query == f"api-version={API_VERSION}"
        if key != KEY.encode() and token != b"Bearer " + TOKEN.encode():
            await exchange.respond(401, _error("401", _DENIED))
        elif not _PATH.fullmatch(exchange.path) or not is_dated:
            await exchange.respond(404, _error("404", "Resource not found"))
        else:
            await super().handle(exchange)

    def operation(self, path: str) -> str:
        """Return the operation behind the deployment in `path`."""
        found = _PATH.fullmatch(path)
        return found[1] if found else path

    def wire(self, operation: str) -> Wire | None:
        """OpenAI's wire; that of chats is annotated."""
        return _AnnotatedChat() if operation == "/chat/completions" else super().wire(operation)


def open_azure(*answers: Answer) -> AbstractAsyncContextManager[FakeAzure]:
    """A `FakeAzure` on a free port while the block runs; its origin is that of the v1 API."""
    return opened(FakeAzure(answers or (Answer(),)))


class _AnnotatedChat(Chat):
    """OpenAI's chats with the results of the content filter, as Azure writes them."""

    def whole(self, answer: Answer, request: Body) -> Body:
        body = super().whole(answer, request)
        choices = [{**choice, "content_filter_results": _SAFE} for choice in body["choices"]]
        return {**body, "choices": choices, "prompt_filter_results": _PROMPT}

    def events(self, answer: Answer, request: Body) -> Iterator[Body]:
        empty: Body = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
        yield {**empty, "prompt_filter_results": _PROMPT}
        for event in super().events(answer, request):
            choices = [{**choice, "content_filter_results": _SAFE} for choice in event["choices"]]
            yield {**event, "choices": choices}


def _error(code: str, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()
