"""Shipments at the hub's door: few at once, and everything that may be wrong with one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from inferworks.api.shipping import Shipments
from inferworks.clock import SystemClock
from inferworks.errors import CallError, JournalError, RecordError, ShippingError, UpstreamError
from inferworks.http.client import HttpClient, Origin
from inferworks.http.server import Exchange, HttpServer
from inferworks.meter.shipping.receive import Receiver, Taken
from inferworks.meter.shipping.shipment import Position, Run, Shipment, beginning
from inferworks.secrets import Secret, SecretReference
from inferworks.wiring.shipping import HttpHub

RUN = Run("edge-7", "0" * 32)
QUESTION = Shipment(1, RUN, 0, beginning(RUN).digest, ())


class Failing(Receiver):
    """A receiver that raises, or waits for `goes_on`."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(Path("nowhere"))
        self.error = error
        self.goes_on = threading.Event()

    def receive(self, shipment: Shipment, now_ns: int) -> Taken:
        """Raise, or wait."""
        if self.error is not None:
            raise self.error
        self.goes_on.wait(10)
        return Taken(beginning(shipment.run))


async def delivered(
    receiver: Receiver, shipment: Shipment = QUESTION, times: int = 1
) -> list[Position | BaseException]:
    """The answers to `shipment`, delivered so many times at once over HTTP."""
    shipments = Shipments(receiver)

    async def handle(exchange: Exchange) -> None:
        try:
            taken = await shipments.take(exchange, "edge-7", 1)
        except CallError as error:
            body = msgspec.json.encode({"error": {"message": error.message}})
            more = [] if error.retry_after_s is None else [(b"retry-after", b"0")]
            await exchange.respond(error.status, body, b"application/json", more)
        else:
            await exchange.respond(200, msgspec.json.encode(taken.position))

    server = HttpServer(handle)
    port = await server.start("127.0.0.1", 0)
    secret = Secret(SecretReference("env", "KEY"), "iw_key")
    with closing(HttpClient()) as client:
        hub = HttpHub(client, Origin.parse(f"http://127.0.0.1:{port}"), secret, SystemClock())
        tasks = [asyncio.ensure_future(hub.deliver(shipment)) for _ in range(times)]
        if times > 1:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert isinstance(receiver, Failing)
            receiver.goes_on.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    await server.stop(drain_s=0.0)
    return list(found)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            JournalError("the disk is full"),
            UpstreamError,
            "503: The hub cannot write .* disk is full",
        ),
        (RecordError("a bad record"), ShippingError, "400: a bad record"),
        (ShippingError("upgrade"), ShippingError, "409: upgrade"),
    ],
)
def test_errors_reach_the_node(error: Exception, kind: type[Exception], words: str) -> None:
    """Trouble of the hub is for later; a fault of the shipment is for people."""
    [found] = asyncio.run(delivered(Failing(error)))
    with pytest.raises(kind, match=words):
        raise found if isinstance(found, BaseException) else AssertionError(found)


def test_few_are_taken_at_once() -> None:
    """A third shipment beside two others is refused for now."""
    found = asyncio.run(delivered(Failing(), times=3))
    refused = [one for one in found if isinstance(one, UpstreamError)]
    assert len(refused) == 1
    assert "429" in str(refused[0])
    assert found.count(beginning(RUN)) == 2


def test_a_key_ships_for_its_node_alone() -> None:
    """Another node's name is refused, with the command for its key."""
    other = msgspec.structs.replace(QUESTION, run=Run("edge-8", "0" * 32))
    [found] = asyncio.run(delivered(Failing(), other))
    assert isinstance(found, ShippingError)
    assert "403" in str(found)
    assert "--ship edge-8" in str(found)


@pytest.mark.parametrize("body", [b"{}", b"\xff", b'{"at": -1, "digest": ""}', b"<html>"])
def test_an_answer_of_something_else(body: bytes) -> None:
    """An address that is no hub is named, and tried again later."""

    async def ask(respond: Callable[[Exchange], object]) -> None:
        server = HttpServer(respond)  # type: ignore[arg-type]
        port = await server.start("127.0.0.1", 0)
        secret = Secret(SecretReference("env", "KEY"), "iw_key")
        with closing(HttpClient()) as client:
            hub = HttpHub(client, Origin.parse(f"http://127.0.0.1:{port}"), secret, SystemClock())
            with pytest.raises(UpstreamError, match="is no hub"):
                await hub.deliver(QUESTION)
        await server.stop(drain_s=0.0)

    async def respond(exchange: Exchange) -> None:
        await exchange.respond(200, body)

    asyncio.run(ask(respond))
