"""Vertex AI over real HTTP: Gemini in OpenAI's dialect, and Anthropic's models in theirs.

Both require a valid token and their own path, else they refuse as Google does. A request for Claude is
checked as Vertex does, then converted to Anthropic's own API and answered by its fake.

Sources: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/overview,
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from inferworks.http.server import Exchange
from inferworks.testing.upstream import Answer, FakeUpstream
from inferworks.testing.upstreams.anthropic import FakeAnthropic, MessageAnswer
from inferworks.testing.upstreams.scripted_server import opened

TOKEN = "ya29.EXAMPLE"  # noqa: S105 it opens nothing
_PLACE = "/v1/projects/my-project/locations/europe-west1"
_GEMINI = f"{_PLACE}/endpoints/openapi"
_CLAUDE = f"{_PLACE}/publishers/anthropic/models"
_PREDICT = re.compile(rf"{_CLAUDE}/([^/:]+):(rawPredict|streamRawPredict)")
VERSIONS = ("vertex-2023-10-16", "2026-10-21")
"""The versions of Anthropic's API, by the names that Vertex has for them."""
_COUNT = "count-tokens"
_STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND"}


class FakeGemini(FakeUpstream):
    """The OpenAI-compatible endpoint; `open_gemini` gives it a port."""

    base_path = _GEMINI
    token = TOKEN
    """The token that is good; it may be changed while it runs."""

    def operation(self, path: str) -> str:
        """Return the operation behind the location in `path`."""
        return path.removeprefix(_GEMINI)

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request as the script says, if it may ask."""
        flaw = _denied(exchange, self.token)
        if flaw is None and exchange.path != f"{_GEMINI}/chat/completions":
            flaw = (404, f"{exchange.path} was not found.")
        if flaw is None and "/" not in json.loads(exchange.body)["model"]:
            flaw = (400, "Invalid publisher model.")
        if flaw is not None:
            await _refuse(exchange, *flaw)
            return
        await super().handle(exchange)


class FakeVertexClaude(FakeAnthropic):
    """Anthropic's models on Vertex; `open_vertex_claude` gives it a port."""

    base_path = _CLAUDE
    token = TOKEN

    def __init__(self, messages: Sequence[MessageAnswer]) -> None:
        super().__init__(messages)
        self.versions: list[str] = []

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request as the script says, if it is as Vertex wants it."""
        flaw = _denied(exchange, self.token) or _claude_flaw(exchange)
        if flaw is not None:
            await _refuse(exchange, *flaw)
            return
        found = _PREDICT.fullmatch(exchange.path)
        assert found is not None, "its flaw is known"
        body = json.loads(exchange.body)
        self.versions.append(body.pop("anthropic_version"))
        is_count = found[1] == _COUNT
        exchange.path = "/v1/messages/count_tokens" if is_count else "/v1/messages"
        exchange.headers = {**exchange.headers, b"anthropic-version": b"2023-06-01"}
        exchange.body = json.dumps(body if is_count else {**body, "model": found[1]}).encode()
        await super().handle(exchange)


def open_gemini(*answers: Answer) -> AbstractAsyncContextManager[FakeGemini]:
    """A `FakeGemini` on a free port while the block runs; with no answers it answers well."""
    return opened(FakeGemini(answers or (Answer(),)))


def open_vertex_claude(*messages: MessageAnswer) -> AbstractAsyncContextManager[FakeVertexClaude]:
    """A `FakeVertexClaude` on a free port while the block runs; with no answers it answers well."""
    return opened(FakeVertexClaude(messages or (MessageAnswer(),)))


def _denied(exchange: Exchange, token: str) -> tuple[int, str] | None:
    if exchange.headers.get(b"authorization") == b"Bearer " + token.encode():
        return None
    return 401, "Request had invalid authentication credentials."


def _claude_flaw(exchange: Exchange) -> tuple[int, str] | None:
    """Return Vertex's own status and reason to refuse a request, or None."""
    found = _PREDICT.fullmatch(exchange.path)
    if found is None:
        return 404, f"{exchange.path} was not found."
    body = json.loads(exchange.body)
    if body.get("anthropic_version") not in VERSIONS:
        return 400, "anthropic_version: Field required"
    if ("model" in body) != (found[1] == _COUNT):
        return 400, "model: Extra inputs are not permitted"
    if body.get("stream", False) != (found[2] == "streamRawPredict"):
        return 400, "stream: must agree with the method"
    return None


async def _refuse(exchange: Exchange, status: int, message: str) -> None:
    body: object = {"error": {"code": status, "message": message, "status": _STATUS[status]}}
    body = [body] if exchange.path.startswith(_GEMINI) else body  # its OpenAI endpoint wraps it
    await exchange.respond(status, json.dumps(body).encode())
