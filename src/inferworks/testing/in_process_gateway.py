"""A whole gateway in one process, on a loopback port: everything real but its disk and its upstreams.

    async with open_gateway_over(StubProvider()) as gateway:
        answer = await gateway.chat({"model": A_MODEL, "messages": [...]})
        (usage,) = await gateway.usages()

Accounts and journal are the stubs of their seams, the provider is the caller's; HTTP, keys, limiter, meter,
routing and the response writer are those of production. Leaving it stops the server and checks that nothing
is left: no connection, no running call, no call counted at an offer, no opened call without its Usage.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from inferworks.accounts.customer import Customer
from inferworks.accounts.key import ANY_SOURCE, Grant, mint
from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.stores.stub import StubAccounts
from inferworks.api.app import admit, app
from inferworks.api.call_limits import NO_LIMITS, CallLimits
from inferworks.api.concurrency import REFUSE_AT_ONCE, ConcurrencyLimiter, Fairness
from inferworks.api.context import AppContext
from inferworks.api.cors import Cors
from inferworks.api.errors import refusals
from inferworks.api.pricing import Lists, PricingTable
from inferworks.api.questions import Questions
from inferworks.clock import SystemClock
from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.offer import Offer
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.providers.openai import openai_provider
from inferworks.cloud.routing.health import Health
from inferworks.cloud.routing.policy import RoutePolicy
from inferworks.cloud.routing.route import Router
from inferworks.errors import JournalError, UserError
from inferworks.http.client import HttpClient, Origin
from inferworks.http.server import HttpServer, Limits
from inferworks.ids import CustomerId, ModelId
from inferworks.meter.call_recorder import Meter, Watch
from inferworks.meter.journal import Journal
from inferworks.meter.stores.stub import MemoryStore
from inferworks.meter.usage import Usage
from inferworks.meter.used import Used, used_by
from inferworks.observe.access import RefusedRequest
from inferworks.observe.calls import CallMetrics
from inferworks.observe.exposition import exposition
from inferworks.observe.gauges import Gauges
from inferworks.observe.registry import Registry
from inferworks.observe.table import CALLS
from inferworks.observe.traces import Traces
from inferworks.observe.transcripts import Transcripts
from inferworks.purpose import Purpose
from inferworks.testing.exposition import parse_exposition
from inferworks.testing.facts import A_PEPPER
from inferworks.testing.providers import A_MODEL, make_offer
from inferworks.testing.upstream import Answer, FakeUpstream, open_upstream
from inferworks.testing.upstreams.vendors import OPENAI, VLLM, Vendor

A_CUSTOMER = CustomerId("acme")
CHAT = "/v1/chat/completions"
_END_OF_TIME_NS = 1 << 62
_WAIT_S = 10.0

Headers = Mapping[str, str]


class Answered(msgspec.Struct, frozen=True):
    """An answer as a client sees it; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    """Body without the framing of chunks."""
    whole: bool
    """The body came to its end, by its own account."""

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)

    @property
    def events(self) -> list[bytes]:
        """The data of the events of a stream."""
        return [event[6:] for event in self.body.split(b"\n\n") if event.startswith(b"data: ")]


@dataclass
class ListedModels:
    """Models and offers that stay as they are put."""

    ready: dict[ModelId, Sequence[Offer]] = field(default_factory=dict)

    def models(self) -> Sequence[ModelId]:
        """Every model."""
        return list(self.ready)

    def offers(self, model: ModelId) -> Sequence[Offer]:
        """The offers of `model`."""
        return self.ready.get(model, ())

    def status(self) -> Mapping[str, str]:
        """Return nothing: there are no replicas of our own."""
        return {}


@dataclass
class StoredUse:
    """Reader of what customers have used, by the calls in a store of journals."""

    store: MemoryStore

    def used(
        self, customer: CustomerId, edges_ns: Sequence[int], *, by_key: bool, most_rows: int
    ) -> list[Used]:
        """Return what `customer` has used in each interval; UserError beyond `most_rows` calls of all."""
        with self.store.reads() as reads:
            usages = list(reads.usages(edges_ns[0], edges_ns[-1]))
        if len(usages) > most_rows:
            raise UserError(f"{len(usages)} rows would have to be read, and {most_rows} may be")
        return used_by(usages, customer, edges_ns, by_key=by_key)


@dataclass
class InProcessGateway:
    """A running gateway, the client's view of it (`chat`, `ask`) and the books' (`usages`)."""

    context: AppContext
    catalogue: ListedModels
    accounts: StubAccounts
    store: MemoryStore
    server: HttpServer
    port: int
    secret: str
    """The secret of a key of `A_CUSTOMER` that may serve, train and report all of that."""
    failures: list[BaseException] = field(default_factory=list)
    """Exceptions that escaped from handlers."""

    @property
    def url(self) -> str:
        """Base URL of the API."""
        return f"http://127.0.0.1:{self.port}/v1"

    def new_key(
        self,
        purpose: Purpose = Purpose.SERVE_PAID,
        *allowed: Purpose,
        customer: CustomerId = A_CUSTOMER,
        **rights: Any,
    ) -> tuple[str, str]:
        """Another key, and its customer if need be: its id and its secret. `rights` as in `Grant`."""
        if customer not in {known.id for known in self.accounts.customers()}:
            self.accounts.add_customer(Customer(customer, 1))
        key, secret = mint(
            customer, 1, Grant(purpose=purpose, allowed=allowed, **rights), pepper=A_PEPPER
        )
        self.accounts.add_key(key)
        self.context.keyring.refresh()
        return key.id, secret

    def revoke(self, key_id: str) -> None:
        """Revoke a key."""
        self.accounts.revoke_key(key_id, 2)
        self.context.keyring.refresh()

    async def usages(self) -> list[Usage]:
        """Every Usage on record, in the order of their calls."""
        await self.context.journal.durable()
        return self.stored_usages()

    def stored_usages(self) -> list[Usage]:
        """Every Usage that is durable at this very moment."""
        with self.store.reads() as reads:
            return list(reads.usages(0, _END_OF_TIME_NS))

    async def chat(
        self, body: object, *, headers: Headers | None = None, secret: str | None = None
    ) -> Answered:
        """Ask for a chat completion; `body` is sent as it is when it is bytes, else as JSON."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.ask("POST", CHAT, data, headers=headers, secret=secret)

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: Headers | None = None,
        secret: str | None = None,
    ) -> Answered:
        """Ask on a connection of its own; without `secret` with the default key, `""` for none."""
        reader, writer = await self.connect()
        try:
            writer.write(self.request(method, path, body, headers=headers, secret=secret))
            async with asyncio.timeout(_WAIT_S):
                return parse_answer(await reader.read())
        finally:
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    def request(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        headers: Headers | None = None,
        secret: str | None = None,
    ) -> bytes:
        """The bytes of a request after which the connection is closed."""
        fields = {"host": "localhost", "connection": "close", "content-length": str(len(body))}
        secret = self.secret if secret is None else secret
        if secret:
            fields["authorization"] = f"Bearer {secret}"
        lines = [f"{name}: {value}\r\n" for name, value in {**fields, **(headers or {})}.items()]
        return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1") + body

    async def alone(self) -> None:
        """Wait until no client is connected and no call runs."""
        async with asyncio.timeout(_WAIT_S):
            while self.server.connections or self.server.running:  # noqa: ASYNC110 sets no event
                await asyncio.sleep(0.002)


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a gateway under test."""

    origin: Origin | None = None
    store: MemoryStore | None = None
    calls_at_once: int = 1000
    calls_per_key: int = 0
    fairness: Fairness = REFUSE_AT_ONCE
    limits: Limits | None = None
    call_limits: Callable[[PricingTable], CallLimits] | None = None
    policy: RoutePolicy | None = None
    lists: Lists | None = None
    traces: Traces | None = None
    transcripts: Transcripts | None = None
    answer_headers: bool = True
    cors: Sequence[str] = ()
    on_refused: Callable[[RefusedRequest], object] | None = None


@asynccontextmanager
async def open_gateway_over(
    *providers: Provider, **settings: Any
) -> AsyncIterator[InProcessGateway]:
    """Run a gateway whose `A_MODEL` is offered by each of `providers`, in this order, at an origin.

    `settings` as in `GatewaySettings`.
    """
    its = GatewaySettings(**settings)
    clock = SystemClock()
    routing = its.policy or RoutePolicy()
    store = its.store or MemoryStore()
    journal = Journal(store)
    journal.start()
    accounts, secret = _accounts()
    offers = [
        make_offer(offer_id=f"offer-{number}", provider=provider.name, origin=its.origin)
        for number, provider in enumerate(providers)
    ]
    catalogue = ListedModels({A_MODEL: offers})
    calls = CallMetrics(catalogue.models)
    pricing = PricingTable(accounts, lambda: its.lists)
    questions = Questions()
    context = AppContext(
        keyring=KeyRing(accounts, A_PEPPER),
        limiter=ConcurrencyLimiter(its.calls_at_once, its.calls_per_key, its.fairness),
        meter=Meter(journal, clock, checkpoint_s=0.01, watch=_both(calls, its.traces)),
        journal=journal,
        catalogue=catalogue,
        providers={provider.name: provider for provider in providers},
        router=Router(Health(clock.carried()), lambda _: routing),
        clock=clock,
        board=Registry(clock.now_ns(), Gauges, calls),
        tariffs=pricing,
        usage=StoredUse(store),
        questions=questions,
        limits=NO_LIMITS if its.call_limits is None else its.call_limits(pricing),
        traces=its.traces,
        transcripts=its.transcripts,
        answer_headers=its.answer_headers,
        on_refused=its.on_refused,
        cors=Cors(its.cors) if its.cors else None,
    )
    failures: list[BaseException] = []
    server = HttpServer(
        app(context),
        limits=its.limits or Limits(),
        admit=admit(context),
        refusal=refusals(context.cors),
        on_error=failures.append,
    )
    port = await server.start("127.0.0.1", 0)
    try:
        yield InProcessGateway(context, catalogue, accounts, store, server, port, secret, failures)
    finally:
        await server.stop(drain_s=1.0)
        questions.close()
        with suppress(*(JournalError,) if store.broken else ()):
            journal.close()
    _check_nothing_is_left(context, store, offers)


@asynccontextmanager
async def open_gateway(
    *answers: Answer, running_usage: bool = False, vendor: Vendor | None = None, **settings: Any
) -> AsyncIterator[tuple[InProcessGateway, FakeUpstream]]:
    """A gateway before an upstream that speaks OpenAI's dialect over HTTP and follows `answers`.

    It is OpenAI, or an engine of vLLM's, which tells its usage as it goes, unless a `vendor` is named.
    """
    vendor = vendor or (VLLM if running_usage else OPENAI)
    async with open_upstream(*answers, vendor=vendor) as upstream:
        with closing(HttpClient()) as client:
            provider = openai_provider(
                client, NoCredential(), name="openai", running_usage=running_usage
            )
            async with open_gateway_over(provider, origin=upstream.origin, **settings) as gateway:
                yield gateway, upstream


def parse_answer(data: bytes) -> Answered:
    """The answer in `data`, all that a server sent before it closed; ValueError when it is none."""
    head, _, rest = data.partition(b"\r\n\r\n")
    start, *lines = head.decode("latin-1").split("\r\n")
    fields = [line.partition(": ") for line in lines]
    headers = {name.lower(): value for name, _, value in fields}
    if headers.get("transfer-encoding") == "chunked":
        body, whole = _unchunked(rest)
    else:
        body, whole = rest, len(rest) == int(headers["content-length"])
    return Answered(int(start.split(" ")[1]), headers, body, whole)


def _unchunked(data: bytes) -> tuple[bytes, bool]:
    """The body in chunked `data`, as far as it came, and whether it came to its end."""
    pieces: list[bytes] = []
    while data:
        size, _, rest = data.partition(b"\r\n")
        if size == b"0":
            return b"".join(pieces), rest == b"\r\n"
        length = int(size, 16) if rest else 0
        pieces.append(rest[:length])
        data = rest[length + 2 :]
    return b"".join(pieces), False


def _accounts() -> tuple[StubAccounts, str]:
    """Accounts with one customer and one key, and the key's secret."""
    accounts = StubAccounts()
    accounts.add_customer(Customer(A_CUSTOMER, 1))
    key, secret = mint(
        A_CUSTOMER,
        1,
        Grant(
            allowed=(Purpose.TRAIN_INFERENCE, Purpose.TRAIN_GRADIENT),
            sources=(ANY_SOURCE,),
            ours=True,
        ),
        pepper=A_PEPPER,
    )
    accounts.add_key(key)
    return accounts, secret


def _check_nothing_is_left(
    context: AppContext, store: MemoryStore, offers: Sequence[Offer]
) -> None:
    assert context.limiter.running == 0, "a call still holds a place"
    health = context.router.health
    assert not any(map(health.running, offers)), "a call is still counted at its offer"
    if not store.broken:
        with store.reads() as reads:
            assert list(reads.opened_unclosed()) == [], "an opened call has no Usage"
            usages = list(reads.usages(0, _END_OF_TIME_NS))
        served = sum("/" not in usage.call_id for usage in usages)  # the others were reported
        # the calls that the metrics count
        assert isinstance(context.board, Registry), "every gateway of ours has one"
        text = exposition(context.board.calls.families()).decode()
        assert int(parse_exposition(text or "\n").sum(CALLS.name)) == served, (
            "not every call on record is counted"
        )


def _both(calls: CallMetrics, traces: Traces | None) -> Watch:
    """Return a watch that counts each finished call, and makes its spans if traces are given."""

    def watch(usage: Usage) -> None:
        calls.take(usage)
        if traces is not None:
            traces.take(usage)

    return watch
