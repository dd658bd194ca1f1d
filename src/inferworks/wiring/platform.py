"""Start and stop of the platform: a Config becomes running parts.

`open_platform` reads from top to bottom as the start does; leaving it stops everything in the opposite
order: first the server, so that running answers finish, then the fleet, the journal and the folder's lock.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inferworks.accounts.customer import Customer, customer_id
from inferworks.accounts.key import mint
from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.pepper import Pepper
from inferworks.accounts.stores.base import Accounts
from inferworks.accounts.stores.sqlite import FollowedAccounts, SqliteAccounts
from inferworks.api.admission import ConcurrencyLimiter
from inferworks.api.context import AppContext
from inferworks.api.cors import Cors
from inferworks.api.drain import DrainLimits, Drains
from inferworks.api.pricing import PricingTable
from inferworks.api.shipping import Shipments
from inferworks.clock import Clock, SystemClock
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.providers.traced import TracedProvider
from inferworks.cloud.routing.health import Health
from inferworks.cloud.routing.route import Router
from inferworks.config import Config
from inferworks.errors import ConfigError, JournalError
from inferworks.folder import DataFolder
from inferworks.http.client import HttpClient
from inferworks.http.server import HttpServer, Sweep, bind
from inferworks.ids import ModelId
from inferworks.meter.call_recorder import Meter
from inferworks.meter.journal import Journal
from inferworks.meter.lakes.detect import lake_at
from inferworks.meter.shipping.receive import Receiver
from inferworks.observe.transcripts import Transcripts
from inferworks.supervise import Supervisor, Work, ending
from inferworks.units import NS_PER_SECOND
from inferworks.wiring.accounts import pepper_of
from inferworks.wiring.machine import fit, start_threads, this_machine
from inferworks.wiring.model_catalog import Catalogue
from inferworks.wiring.observing import (
    Observing,
    Parts,
    access_log,
    heard_refusal,
    metrics_port,
    showing_metrics,
    tracing,
)
from inferworks.wiring.plan import Plan
from inferworks.wiring.planner import Planner
from inferworks.wiring.reload import ConfigSource, reloading
from inferworks.wiring.replicas import check_engine, new_token, own_provider, running_fleet
from inferworks.wiring.scrub import scrubbing
from inferworks.wiring.service import Service
from inferworks.wiring.shipping import node_of, shipping
from inferworks.wiring.storage import close_left_open, open_journal, sealing

FIRST_CUSTOMER = "default"
_LOOK_S = 1.0

_log = logging.getLogger("inferworks")


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform while it runs."""

    url: str
    """Base URL of the API."""
    models: Sequence[ModelId]
    folder: DataFolder
    first_key: str | None
    """The secret of the key that the very first start made; kept nowhere else."""
    reload: Callable[[], None]
    """Look at the configuration now, changed or not."""
    supervisor: Supervisor
    """Knows how the work beside the calls does."""


@asynccontextmanager
async def open_platform(
    config: Config, environment: Mapping[str, str], source: ConfigSource | None = None
) -> AsyncIterator[Platform]:
    """Run the platform while the block runs. UserError when it cannot start; nothing is then left.

    With `source` its changes are taken up while it runs.
    """
    check_engine(config)
    folder = DataFolder(Path(config.data.folder))
    planner = Planner(environment, folder)
    plan = await planner.plan(config)
    node = node_of(config)
    lake = lake_at(config.lake.url or str(folder.lake))
    clock = SystemClock()
    supervisor = Supervisor(clock)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ending(supervisor.pulse(clock)))
        gateway_socket = stack.enter_context(_port(config.gateway.host, config.gateway.port))
        metrics_socket = stack.enter_context(metrics_port(config.observe))
        stack.enter_context(folder.hold())
        accounts = stack.enter_context(closing(SqliteAccounts(folder.accounts)))
        turn = threading.Lock()
        traces = await stack.enter_async_context(tracing(config.observe, environment))
        transcripts = Transcripts(folder.transcripts, config.observe.transcript_bytes, supervisor)
        stack.enter_context(closing(transcripts))
        observing = Observing(config.observe, clock, transcripts, traces)
        journal = stack.enter_context(open_journal(folder, turn, observing.commits, node))
        writer = supervisor.task("journal", partial(_watch, journal), vital=True)
        await stack.enter_async_context(ending(writer))
        left_open = await close_left_open(journal, folder, clock)
        await stack.enter_async_context(sealing(config.lake, lake, folder, clock, turn, supervisor))
        ships = shipping(config.ship, environment, folder, (journal, turn), clock, supervisor)
        await stack.enter_async_context(ships)
        receiver = stack.enter_context(closing(Receiver(folder.journal, turn)))
        stack.enter_context(scrubbing(config.scrub, folder, lake, supervisor))
        client = stack.enter_context(closing(HttpClient()))
        token = new_token()
        fleet = await stack.enter_async_context(
            running_fleet(config, folder, journal, clock, supervisor, token)
        )
        pepper = pepper_of(accounts, folder, config, environment)
        first_key = _first_key(accounts, clock, pepper)
        followed, lookups = (
            stack.enter_context(closing(FollowedAccounts(folder.accounts))) for _ in range(2)
        )
        keyring = KeyRing(followed, pepper, config.gateway.keys_stale_s, lookups=lookups)
        stack.enter_context(closing(keyring))
        await start_threads()
        fitted = fit(config.gateway, this_machine())
        _log.log(logging.WARNING if fitted.lowered else logging.INFO, "limits fit %s", fitted.text)
        most = fitted.calls
        of_a_key = config.gateway.max_calls_per_key or most - most // 4  # leave room for the others
        limiter = ConcurrencyLimiter(most, of_a_key)
        leave = config.leave
        drains = Drains(DrainLimits(leave.drains, leave.drain_s, leave.drain_bytes))
        tariffs = PricingTable(followed, lambda: planner.rates.newest)
        access = stack.enter_context(access_log(config.log, tariffs, supervisor))
        observing.access = access
        every_s, watch = config.meter.checkpoint_s, observing.watch
        meter = Meter(journal, clock, checkpoint_s=every_s, watch=watch)
        health = Health(clock.carried(), plan.breaker)
        own = own_provider(client, token)
        if traces is not None and config.observe.traces_to_replicas:
            own = TracedProvider(own, traces.traceparent)

        shipments = Shipments(receiver)
        cors = Cors(config.gateway.cors_origins) if config.gateway.cors_origins else None

        def context(catalogue: Catalogue, providers: Mapping[str, Provider]) -> AppContext:
            router = Router(health, catalogue.policy)
            parts = (keyring, limiter, meter, journal, catalogue, providers, router, clock)
            return AppContext(
                *parts,
                shipments=shipments,
                drains=drains,
                board=observing.board,
                tariffs=tariffs,
                traces=traces,
                transcripts=transcripts,
                cors=cors,
                answer_headers=config.observe.answer_headers,
                report_back_ns=round(config.meter.report_days * 86_400) * NS_PER_SECOND,
                supervisor=supervisor,
                on_refused=None if access is None else access.take,
            )

        service = stack.enter_context(Service(plan, fleet, own, context))
        server = HttpServer(
            service,
            limits=fitted.limits,
            admit=service.admit,
            refusal=heard_refusal(access, clock, cors),
            on_error=_report,
            sweep=Sweep(supervisor),
        )
        observing.parts = Parts(limiter, health, journal, service, server, supervisor)
        observing.tell(left_open)
        looks = supervisor.every(_LOOK_S, "keys", keyring.look)
        await stack.enter_async_context(ending(looks))
        looks = supervisor.every(_LOOK_S, "prices", partial(to_thread, tariffs.refresh))
        await stack.enter_async_context(ending(looks))
        await stack.enter_async_context(
            showing_metrics(metrics_socket, observing.board, _report, supervisor)
        )
        port = await stack.enter_async_context(_listening(config, server, gateway_socket, limiter))

        async def apply(changed: Config) -> None:
            fresh = _said(await planner.plan(changed))
            service.put(fresh)
            health.use(fresh.breaker)

        _said(plan)
        reload = await stack.enter_async_context(reloading(source, config, apply, supervisor))
        url = f"http://{_authority(config.gateway.host, port)}/v1"
        folder.tell(url)
        yield Platform(
            url, service.context.catalogue.models(), folder, first_key, reload, supervisor
        )


def _said(plan: Plan) -> Plan:
    """`plan`, with its warnings in the log."""
    for warning in plan.warnings:
        _log.warning("%s", warning)
    return plan


async def _watch(journal: Journal, work: Work) -> None:
    """See to it that the journal's writer runs, without which no call can be served; else JournalError."""
    while journal.alive:
        work.succeeded()
        await asyncio.sleep(_LOOK_S)
    raise JournalError("the journal's writer has ended")


@contextmanager
def _port(host: str, port: int) -> Iterator[socket.socket]:
    """The port to listen on, taken before anything is written."""
    try:
        bound = bind(host, port)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {_authority(host, port)}: {error.strerror}; stop what uses it or choose "
            "another with --port"
        ) from error
    with closing(bound):
        yield bound


def _first_key(accounts: Accounts, clock: Clock, pepper: Pepper) -> str | None:
    """The secret of a first key, if there was none yet."""
    if accounts.has_keys():
        return None
    now_ns = clock.now_ns()
    customer = Customer(customer_id(FIRST_CUSTOMER), now_ns)
    if not accounts.has_customer(customer.id):
        accounts.add_customer(customer)
    key, secret = mint(customer.id, now_ns, pepper=pepper, name="made by the first start")
    accounts.add_key(key)
    return secret


@asynccontextmanager
async def _listening(
    config: Config, server: HttpServer, bound: socket.socket, limiter: ConcurrencyLimiter
) -> AsyncIterator[int]:
    """Have `server` listen; leaving says so at `/readyz` for a while, then lets running answers finish."""
    port = await server.listen(bound)
    try:
        yield port
    finally:
        limiter.closing = True
        await asyncio.sleep(config.gateway.drain_wait_s)
        dropped = await server.stop(config.gateway.drain_s)
        if dropped:
            _log.warning("dropped %d calls that did not finish in time", dropped)


def _report(error: BaseException) -> None:
    _log.error("a handler failed", exc_info=error)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
