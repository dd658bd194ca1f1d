"""Shipping in a running gateway: of its own records to a hub, and of others' records into its journal."""

from __future__ import annotations

import asyncio
import ssl
import threading
import zlib
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from inferworks.clock import Clock
from inferworks.config import DEFAULT_NODE, Config, Ship
from inferworks.errors import ConfigError, ShippingError, UpstreamError
from inferworks.files import TEXT_BYTES, read_bytes
from inferworks.folder import DataFolder
from inferworks.http.client import HttpClient, Origin, Timeouts
from inferworks.meter.journal import Journal
from inferworks.meter.shipping.outbox import Outbox
from inferworks.meter.shipping.send import Sender, Settled, Settles, ToldBy, send_in_turn
from inferworks.meter.shipping.shipment import PATH, Position, Shipment
from inferworks.secrets import Secret, parse_reference, resolve
from inferworks.supervise import Supervisor, Work
from inferworks.units import NS_PER_SECOND
from inferworks.wiring.upstreams import is_exposed

_TIMEOUTS: Final = Timeouts(connect_s=5.0, first_byte_s=60.0, between_bytes_s=30.0)
_ANSWER_BYTES: Final = 64 * 1024
_LONGEST_WAIT_S: Final = 60
_LEVEL: Final = 1
"""Level of gzip: a seventh of the size, at 40 MB/s."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_LATER: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same shipment may be taken."""


class HttpHub:
    """The hub at `origin`, which knows us by `secret`."""

    def __init__(self, client: HttpClient, origin: Origin, secret: Secret, clock: Clock) -> None:
        self._client = client
        self._origin = origin
        self._headers = (
            (b"authorization", b"Bearer " + secret.reveal().encode()),
            (b"content-type", b"application/json"),
            (b"content-encoding", b"gzip"),
        )
        self._clock = clock

    async def deliver(self, shipment: Shipment) -> Position:
        """Hand over `shipment`; see `Hub.deliver`. Waits as long as a busy hub asks for, then fails."""
        body = await asyncio.to_thread(_packed, shipment)
        async with self._client.stream("POST", self._origin, PATH, self._headers, body) as response:
            answer = await response.read(_TIMEOUTS.between_bytes_s, _ANSWER_BYTES)
        if response.status == 200:
            try:
                return msgspec.json.decode(answer, type=Position)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                what = f"{self._origin.url} is no hub: {error}"
                raise UpstreamError(what, sent=True) from error
        what = f"the hub {self._origin.url} answers {response.status}: {_words(answer)}"
        if response.status not in _LATER:
            raise ShippingError(what)
        after = response.headers.get(b"retry-after", b"")
        if after.isdigit():
            await self._clock.sleep(min(int(after[:9]), _LONGEST_WAIT_S))
        raise UpstreamError(what, sent=True)


def _packed(shipment: Shipment) -> bytes:
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    return packer.compress(msgspec.json.encode(shipment)) + packer.flush()


def _words(answer: bytes) -> str:
    """Return the message of an error body, or the beginning of what came instead."""
    try:
        return str(msgspec.json.decode(answer)["error"]["message"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return ascii(answer[:200].decode("utf-8", "replace"))


def node_of(config: Config) -> str:
    """Return the name under which this gateway ships; empty when it ships nothing.

    ConfigError when its name is still the one that every machine has.
    """
    if not config.ship.url:
        return ""
    if config.engine.node == DEFAULT_NODE:
        raise ConfigError(
            "ship.url is set: set engine.node, too, to a name that no other node of the hub has"
        )
    return config.engine.node


def hub_of(
    settings: Ship, environment: Mapping[str, str]
) -> tuple[Origin, Secret, ssl.SSLContext | None]:
    """Return address, key and certificates of the hub; ConfigError when they are not right."""
    origin = Origin.parse(settings.url)
    if is_exposed(origin):
        raise ConfigError(
            f"ship.url: {settings.url} would show records and key on their way; use https"
        )
    if not settings.key:
        raise ConfigError("ship.key: name where the key is kept, as env:INFERWORKS_HUB_KEY")
    secret = resolve(parse_reference(settings.key), environment)
    if not settings.ca_file:
        return origin, secret, None
    try:
        pem = read_bytes(Path(settings.ca_file).expanduser(), TEXT_BYTES).decode("ascii", "ignore")
        return origin, secret, ssl.create_default_context(cadata=pem)
    except OSError as error:
        raise ConfigError(f"ship.ca_file: {settings.ca_file} cannot be used: {error}") from error


@dataclass(frozen=True, slots=True)
class Written:
    """Journals of a data folder as they are written: the first by this process, others by its workers."""

    first: Journal
    turn: threading.Lock
    """Lock that the first one's writer takes for each write."""
    workers: int
    """Workers with a journal each; 0 where this process is all."""
    told: MutableMapping[int, int] = field(default_factory=dict)
    """Positions up to which the workers' journals may be shipped, by the workers' numbers."""

    def turn_of(self, folder: DataFolder, path: Path) -> threading.Lock:
        """Return the lock that the writer of the journal at `path` takes in this process."""
        return self.turn if path == folder.journal else threading.Lock()

    def settles(self, folder: DataFolder, path: Path) -> Settles | None:
        """Return what knows how far the journal at `path` may be shipped; None when that is not known yet.

        A worker that is no more has left its journal to this process, and nobody writes it.
        """
        if path == folder.journal:
            return Settled(self.turn, lambda: self.first.is_in_doubt)
        numbers = {folder.worker_journal(one): one for one in range(1, self.workers + 1)}
        if path not in numbers:
            return Settled(threading.Lock(), lambda: False)
        number = numbers[path]
        return ToldBy(partial(self.told.get, number)) if number in self.told else None


@asynccontextmanager
async def shipping(
    settings: Ship,
    environment: Mapping[str, str],
    folder: DataFolder,
    written: Written,
    clock: Clock,
    supervisor: Supervisor,
) -> AsyncIterator[None]:
    """Ship the records of `folder` while the block runs, if a hub is set.

    Each journal is a log of its own, under the one name of the node. They take turns, so that a node with
    many workers asks no more of its hub at once than one with none.
    """
    if not settings.url:
        yield
        return
    origin, secret, tls = hub_of(settings, environment)
    keep_ns = round(settings.keep_days * 86_400) * NS_PER_SECOND
    with ExitStack() as stack:
        client = stack.enter_context(closing(HttpClient(_TIMEOUTS, tls=tls)))
        hub = HttpHub(client, origin, secret, clock)
        senders: dict[Path, Sender] = {}

        def open_outboxes() -> None:
            for path in folder.written_journals():
                settles = written.settles(folder, path) if path not in senders else None
                if settles is not None:
                    outbox = stack.enter_context(Outbox(path, written.turn_of(folder, path)))
                    senders[path] = Sender(outbox, settles, hub, clock, keep_ns)

        async def repeat(work: Work) -> None:
            while True:
                work.begun()
                open_outboxes()
                await send_in_turn(senders.values())
                work.succeeded()
                await clock.sleep(settings.every_s)

        task = supervisor.task("shipping", repeat)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
