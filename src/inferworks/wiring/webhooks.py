"""Webhooks of a running gateway: warnings of limits, sent to the address of the configuration.

The address is the operator's and no caller can name one. It has TLS unless it is in this network, and no
redirect is followed: a receiver cannot send our messages elsewhere.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final, NamedTuple

from inferworks.clock import Clock
from inferworks.config import Webhooks
from inferworks.errors import ConfigError
from inferworks.files import TEXT_BYTES, read_bytes
from inferworks.http.client import HttpClient, Origin, Timeouts
from inferworks.limits.outbox import NotTakenError, Outbox
from inferworks.limits.stores.base import LimitsStore
from inferworks.limits.warnings import LimitWarning
from inferworks.secrets import Secret, parse_reference, resolve
from inferworks.supervise import Supervisor, ending
from inferworks.units import NS_PER_SECOND
from inferworks.webhooks import WebhookError, signed, signing_key
from inferworks.wiring.upstreams import is_exposed

_LOOK_S: Final = 1.0
_TIMEOUTS: Final = Timeouts(
    connect_s=5.0, first_byte_s=20.0, between_bytes_s=5.0, answer_s=20.0, idle_s=30.0
)
_GONE: Final = 410


class Endpoint(NamedTuple):
    """Address that webhooks are sent to, and what signs them."""

    origin: Origin
    path: str
    """Rest of the path, after the origin's own: a slash where it has none."""
    secrets: Sequence[Secret]
    tls: ssl.SSLContext | None


def endpoint_of(settings: Webhooks, environment: Mapping[str, str]) -> Endpoint | None:
    """Return where webhooks go; None for nowhere. ConfigError for settings that are not right."""
    if not settings.url:
        return None
    origin = Origin.parse(settings.url)
    if is_exposed(origin):
        raise ConfigError(
            f"webhooks.url: {settings.url} would show messages on their way; use https"
        )
    if not settings.secrets:
        raise ConfigError(
            "webhooks.secrets: name where the secret is kept, as env:INFERWORKS_WEBHOOK_SECRET"
        )
    secrets = [resolve(parse_reference(text), environment) for text in settings.secrets]
    for secret in secrets:
        try:
            signing_key(secret.reveal())
        except WebhookError as error:
            raise ConfigError(f"webhooks.secrets: {secret.reference}: {error}") from None
    path = "" if origin.base_path else "/"
    return Endpoint(origin, path, secrets, _tls(settings.ca_file))


def _tls(ca_file: str) -> ssl.SSLContext | None:
    if not ca_file:
        return None
    try:
        pem = read_bytes(Path(ca_file).expanduser(), TEXT_BYTES).decode("ascii", "ignore")
        return ssl.create_default_context(cadata=pem)
    except OSError as error:
        raise ConfigError(f"webhooks.ca_file: {ca_file} cannot be used: {error}") from error


class HttpReceiver:
    """Receiver of warnings at an address."""

    def __init__(self, client: HttpClient, endpoint: Endpoint, clock: Clock) -> None:
        self._client = client
        self._endpoint = endpoint
        self._clock = clock

    async def take(self, warning: LimitWarning) -> None:
        """Deliver a warning, signed anew; `NotTakenError` unless the receiver answers with 2xx."""
        origin, path, secrets, _ = self._endpoint
        body = warning.body.encode()
        at_s = self._clock.now_ns() // NS_PER_SECOND
        headers = signed(warning.id, at_s, body, [secret.reveal() for secret in secrets])
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        fields += [(b"content-type", b"application/json"), (b"user-agent", b"inferworks")]
        async with self._client.stream("POST", origin, path, fields, body) as response:
            status, after = response.status, response.headers.get(b"retry-after", b"")
        if not 200 <= status < 300:
            after_s = int(after[:9]) if after.isdigit() else 0
            what = f"{origin.authority} answers {status}"
            raise NotTakenError(what, after_s, is_final=status == _GONE)


@asynccontextmanager
async def sending_webhooks(
    endpoint: Endpoint, store: LimitsStore, clock: Clock, supervisor: Supervisor
) -> AsyncIterator[Outbox]:
    """Send warnings out of `store` while the block runs, and close it then."""
    with closing(store), closing(HttpClient(_TIMEOUTS, tls=endpoint.tls)) as client:
        outbox = Outbox(store, HttpReceiver(client, endpoint, clock))

        async def send() -> None:
            await outbox.send()

        task = supervisor.every(_LOOK_S, "webhooks", send)
        async with ending(task):
            yield outbox
