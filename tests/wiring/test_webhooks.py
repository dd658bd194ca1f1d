"""Webhooks over real HTTP: signed, without redirects, to an address that may be used."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from inferworks.clock import SystemClock
from inferworks.config import Webhooks
from inferworks.errors import ConfigError, UpstreamError
from inferworks.http.client import HttpClient, Origin
from inferworks.http.server import Exchange, HttpServer
from inferworks.limits.outbox import NotTakenError
from inferworks.limits.warnings import LimitWarning
from inferworks.webhooks import verify
from inferworks.wiring.webhooks import HttpReceiver, endpoint_of

SECRET, NEXT = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "A" * 44
ENVIRONMENT = {"SECRET": SECRET, "NEXT": NEXT, "SHORT": "whsec_abc"}
WARNING = LimitWarning("warning_1", "account", '{"type":"limit.warning"}', 1, 1)


def settings(url: str, *secrets: str, ca_file: str = "") -> Webhooks:
    """Return settings."""
    return Webhooks(url=url, secrets=secrets or ("env:SECRET",), ca_file=ca_file)


async def delivered(
    path: str, *, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> Exchange:
    """Deliver a warning to a server that answers so, and return what came."""
    came: list[Exchange] = []

    async def handle(exchange: Exchange) -> None:
        came.append(exchange)
        await exchange.respond(status, b"{}", headers=headers)

    def report(error: BaseException) -> None:
        raise error

    server = HttpServer(handle, on_error=report)
    port = await server.start("127.0.0.1", 0)
    url = f"http://127.0.0.1:{port}{path}"
    endpoint = endpoint_of(settings(url, "env:NEXT", "env:SECRET"), ENVIRONMENT)
    assert endpoint is not None
    try:
        with closing(HttpClient()) as client:
            await HttpReceiver(client, endpoint, SystemClock()).take(WARNING)
    finally:
        await server.stop(drain_s=0.0)
    assert len(came) == 1
    return came[0]


@pytest.mark.parametrize("path", ["", "/", "/hooks/limits"])
def test_a_warning_is_posted_with_signatures_of_all_secrets(path: str) -> None:
    """A receiver that knows either secret believes it."""
    came = asyncio.run(delivered(path))
    assert (came.method, came.path) == ("POST", path or "/")
    headers = {name.decode(): value.decode() for name, value in came.headers.items()}
    for secret in (SECRET, NEXT):
        assert verify(headers, came.body, [secret]) == "warning_1"
    assert came.body == WARNING.body.encode()
    assert headers["content-type"] == "application/json"


def test_another_answer_than_2xx_is_a_failure() -> None:
    """A redirect is not followed; `retry-after` and 410 are understood."""
    target = ((b"location", b"http://127.0.0.1:1/elsewhere"),)
    with pytest.raises(NotTakenError, match="answers 307"):
        asyncio.run(delivered("/", status=307, headers=target))
    with pytest.raises(NotTakenError) as busy:
        asyncio.run(delivered("/", status=503, headers=((b"retry-after", b"120"),)))
    assert (busy.value.after_s, busy.value.is_final) == (120, False)
    with pytest.raises(NotTakenError) as gone:
        asyncio.run(delivered("/", status=410))
    assert gone.value.is_final


def test_a_receiver_that_is_away_is_an_upstream_error() -> None:
    """A failure to connect is one like any other: it is tried again."""
    endpoint = endpoint_of(settings("http://127.0.0.1:1/"), ENVIRONMENT)
    assert endpoint is not None

    async def run() -> None:
        with closing(HttpClient()) as client:
            await HttpReceiver(client, endpoint, SystemClock()).take(WARNING)

    with pytest.raises(UpstreamError, match="could not connect"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (settings("http://hooks.example.com/"), "would show messages on their way; use https"),
        (settings("https://user@hooks.example.com/"), "no user, query or fragment"),
        (settings("https://hooks.example.com/?token=x"), "no user, query or fragment"),
        (Webhooks(url="https://hooks.example.com/"), "name where the secret is kept"),
        (settings("https://hooks.example.com/", "env:NONE"), "variable NONE is not set"),
        (settings("https://hooks.example.com/", "whsec_abc"), "secrets are not allowed"),
        (settings("https://hooks.example.com/", "env:SHORT"), "env:SHORT: a webhook's secret is"),
        (settings("https://hooks.example.com/", ca_file="/none.pem"), "/none.pem cannot be used"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(given: Webhooks, match: str) -> None:
    """The line names the setting and shows no secret."""
    with pytest.raises(ConfigError, match=match) as refusal:
        endpoint_of(given, ENVIRONMENT)
    assert "\n" not in str(refusal.value)
    assert "whsec_abc" not in str(refusal.value)


def test_no_address_is_no_webhook(tmp_path: Path) -> None:
    """Nothing is sent anywhere, and no secret is asked for."""
    assert endpoint_of(Webhooks(), {}) is None
    endpoint = endpoint_of(settings("https://hooks.example.com"), ENVIRONMENT)
    assert endpoint is not None
    assert endpoint.origin == Origin("hooks.example.com", 443, tls=True, base_path="")
    assert SECRET not in repr(endpoint)
