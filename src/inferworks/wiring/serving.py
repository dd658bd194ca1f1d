"""The serving part of a gateway, as whoever steers it sees it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from inferworks.config import Config
from inferworks.http.server import HttpServer
from inferworks.wiring.service import Service


@dataclass(frozen=True, slots=True)
class Serving:
    """Serving part of a gateway while it runs."""

    service: Service
    server: HttpServer
    port: int
    apply: Callable[[Config], Coroutine[Any, Any, None]]
    """Serve by another configuration, all of it or, with a UserError, nothing."""
