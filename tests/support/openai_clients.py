"""The official `openai` client before a gateway, and the forms that arrive upstream."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from openai import AsyncOpenAI

from inferworks.http.multipart import read_parts
from inferworks.testing.in_process_gateway import InProcessGateway
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import FakeUpstream

Run = Callable[[Coroutine[Any, Any, None]], None]
SAID = "Grüß Gott"


def client_of(gateway: InProcessGateway) -> AsyncOpenAI:
    """A client as anybody would make it, but that it does not try again."""
    return AsyncOpenAI(base_url=gateway.url, api_key=gateway.secret, max_retries=0)


def rename(gateway: InProcessGateway, name: str) -> None:
    """The upstream has another name for the model."""
    gateway.catalogue.ready[A_MODEL] = [
        msgspec.structs.replace(offer, upstream_model=name)
        for offer in gateway.catalogue.ready[A_MODEL]
    ]


def form_at(upstream: FakeUpstream) -> dict[str, bytes]:
    """The one form that arrived, the last value of each name."""
    (received,) = upstream.received
    parts = read_parts(received.body, received.headers[b"content-type"])
    return {part.name: received.body[part.start : part.end] for part in parts}
