"""Start and stop of the platform: a Config becomes running parts.

`open_platform` reads from top to bottom as the start does; leaving it stops everything in the opposite
order: first the server, so that running answers finish, then the fleet, the journal and the folder's lock.
`open_worker` is the start of one of several processes that serve for it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
    suppress,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inferworks.accounts.customer import Customer, customer_id
from inferworks.accounts.key import mint
from inferworks.accounts.keyring import KeyRing
from inferworks.accounts.pepper import Pepper
from inferworks.accounts.stores.base import Accounts
from inferworks.accounts.stores.sqlite import FollowedAccounts, SqliteAccounts
from inferworks.api.concurrency import ConcurrencyLimiter
from inferworks.api.context import AppContext, Others
from inferworks.api.cors import Cors
from inferworks.api.drain import DrainLimits, Drains
from inferworks.api.pricing import PricingTable
from inferworks.api.questions import Questions
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
from inferworks.http.server import HttpServer, Sweep
from inferworks.ids import ModelId
from inferworks.meter.call_recorder import Meter
from inferworks.meter.journal import Journal
from inferworks.meter.lakes.detect import lake_at
from inferworks.meter.shipping.receive import Receiver
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Usage
from inferworks.observe.registry import Board
from inferworks.observe.transcripts import Transcripts
from inferworks.supervise import Supervisor, Work, ending
from inferworks.units import NS_PER_SECOND
from inferworks.wiring.accounts import follow_accounts, open_last_known, pepper_of, sync_of
from inferworks.wiring.channel import Start
from inferworks.wiring.holder import Holder
from inferworks.wiring.limits import SHARED_PATIENCE_S, Left, limiting
from inferworks.wiring.machine import divided, fit, start_threads, this_machine
from inferworks.wiring.model_catalog import Catalogue, OwnReplicas
from inferworks.wiring.observing import (
    HolderParts,
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
from inferworks.wiring.reload import Apply, ConfigSource, reloading
from inferworks.wiring.replicas import check_engine, new_token, own_provider, running_fleet
from inferworks.wiring.scrub import scrubbing
from inferworks.wiring.service import Service
from inferworks.wiring.serving import Serving
from inferworks.wiring.share import check_shares, workers_of
from inferworks.wiring.shipping import Written, node_of, shipping
from inferworks.wiring.storage import close_former, close_left_open, open_journal, sealing
from inferworks.wiring.used import FolderUse
from inferworks.wiring.webhooks import Endpoint, endpoint_of
from inferworks.wiring.workers import Workers, listeners

FIRST_CUSTOMER = "default"
_LOOK_S = 1.0
_KEYS_S = 0.5
"""Interval of looks at the keys: a revoked one is refused everywhere within a second."""

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
    workers: int = 1
    """Processes that serve calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """Parts of a process that serves calls, whether it is the whole gateway or one of its workers."""

    config: Config
    folder: DataFolder
    clock: Clock
    supervisor: Supervisor
    planner: Planner
    observing: Observing
    board: Board | None
    """Metrics of the whole gateway."""
    journal: Journal
    """Journal of its calls."""
    reports: Journal
    """First journal of the folder, which has the reports of others."""
    receiver: Receiver
    """Receiver of what nodes ship, into the first journal too."""
    pepper: Pepper
    replicas: OwnReplicas
    token: str
    """Token that our own replicas ask for."""
    endpoint: Endpoint | None = None
    """Receiver of webhooks."""
    number: int = 0
    """Number of the worker that it is, from 1; 0 where one process is all."""
    workers: int = 1
    others: Callable[[], Others] = Others
    spares: Sequence[socket.socket] = ()
    """Listening sockets to be closed when no client is accepted any more."""


@asynccontextmanager
async def open_platform(
    config: Config, environment: Mapping[str, str], source: ConfigSource | None = None
) -> AsyncIterator[Platform]:
    """Run the platform while the block runs. UserError when it cannot start; nothing is then left.

    With `source` its changes are taken up while it runs. With several workers this process holds the data
    folder, and they serve (`wiring.workers`).
    """
    check_engine(config)
    workers = workers_of(config)
    folder = DataFolder(Path(config.data.folder))
    planner = Planner(environment, folder)
    plan = await planner.plan(config)
    node = node_of(config)
    check_shares(config, workers)
    endpoint = endpoint_of(config.webhooks, environment)
    lake = lake_at(config.lake.url or str(folder.lake))
    clock = SystemClock()
    supervisor = Supervisor(clock)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ending(supervisor.pulse(clock)))
        sockets = stack.enter_context(_ports(config.gateway.host, config.gateway.port, workers))
        metrics_socket = stack.enter_context(metrics_port(config.observe))
        own = config.admin
        admin_sockets = (
            stack.enter_context(_ports(own.host, own.port, 1, "admin.port")) if own.enabled else ()
        )
        lock = stack.enter_context(folder.hold())
        accounts = stack.enter_context(closing(open_last_known(config)))
        turn = threading.Lock()
        observing = await stack.enter_async_context(
            _observing(config, environment, folder, supervisor)
        )
        journal = stack.enter_context(open_journal(folder, turn, observing.commits, node))
        writer = supervisor.task("journal", partial(_watch, journal), vital=True)
        await stack.enter_async_context(ending(writer))
        left_open = await close_left_open(journal, folder, clock)
        left_open += await close_former(journal, folder, clock, workers if workers > 1 else 0, node)
        await stack.enter_async_context(sealing(config.lake, lake, folder, clock, turn, supervisor))
        written = Written(journal, turn, workers if workers > 1 else 0)
        ships = shipping(config.ship, environment, folder, written, clock, supervisor)
        await stack.enter_async_context(ships)
        receiver = stack.enter_context(closing(Receiver(folder.journal, turn)))
        stack.enter_context(scrubbing(config.scrub, folder, lake, supervisor))
        token = new_token()
        fleet = await stack.enter_async_context(
            running_fleet(config, folder, journal, clock, supervisor, token)
        )
        pepper = pepper_of(accounts, folder, config, environment)
        if config.store.url and not config.gateway.key_pepper:
            _log.warning(
                "gateways that share accounts need the same pepper, and this one has it in a file of "
                "its own: copy %s to each of them, or set gateway.key_pepper",
                folder.pepper,
            )
        secret = first_key(accounts, clock, pepper)
        accounts.close()  # whoever serves has others
        for bound in admin_sockets:
            from inferworks.wiring.admin import administering  # loads the books

            admin = administering(bound, config, pepper, clock, _report, supervisor)
            await stack.enter_async_context(admin)
        if workers > 1:
            whole = await planner.with_found(config)
            board = observing.board
            crew = Workers(whole, sockets, fleet, token, board, supervisor, written.told)
            observing.parts = HolderParts(journal, fleet, supervisor)
            observing.tell(left_open)
            shown = showing_metrics(metrics_socket, board and crew, _report, supervisor)
            await stack.enter_async_context(shown)
            port = int(sockets[0].getsockname()[1])
            await stack.enter_async_context(crew.running(lock))

            async def apply_to_all(changed: Config) -> None:
                check_shares(changed, workers)
                whole = await planner.with_found(changed)
                _said(await planner.plan(whole))
                await crew.configure(whole)

            apply: Apply = apply_to_all
        else:
            process = Process(
                config=config,
                folder=folder,
                clock=clock,
                supervisor=supervisor,
                planner=planner,
                observing=observing,
                board=observing.board,
                journal=journal,
                reports=journal,
                receiver=receiver,
                pepper=pepper,
                replicas=fleet,
                token=token,
                endpoint=endpoint,
            )
            serve = _serving(process, plan, sockets[0], metrics_socket, left_open)
            served = await stack.enter_async_context(serve)
            port, apply = served.port, served.apply
        _said(plan)
        reload = await stack.enter_async_context(reloading(source, config, apply, supervisor))
        url = f"http://{_authority(config.gateway.host, port)}/v1"
        folder.tell(url, workers if workers > 1 else 0)
        models = Catalogue(plan, fleet).models()
        yield Platform(url, models, folder, secret, reload, supervisor, workers)


@asynccontextmanager
async def open_worker(
    start: Start, sockets: Sequence[socket.socket], environment: Mapping[str, str], holder: Holder
) -> AsyncIterator[Serving]:
    """Serve as one of the workers of a gateway while the block runs, from the socket of its number.

    First it closes the calls that its predecessor left open.
    """
    config, clock = start.config, SystemClock()
    folder = DataFolder(Path(config.data.folder))
    planner = Planner(environment, folder)
    plan = await planner.plan(config)
    supervisor = holder.supervisor
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ending(supervisor.pulse(clock)))
        observing = await stack.enter_async_context(
            _observing(config, environment, folder, supervisor)
        )
        reports = Journal(SqliteStore(folder.journal, is_shared=True))
        reports.start()
        stack.enter_context(closing(reports))
        own = folder.worker_journal(start.number)
        journal = stack.enter_context(
            open_journal(folder, threading.Lock(), observing.commits, node_of(config), own)
        )
        for name, each in (("journal", journal), ("reports", reports)):
            writer = supervisor.task(name, partial(_watch, each), vital=True)
            await stack.enter_async_context(ending(writer))
        left_open = await close_left_open(journal, folder, clock, reports)
        receiver = stack.enter_context(closing(Receiver(folder.journal)))
        with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
            pepper = pepper_of(accounts, folder, config, environment)
        process = Process(
            config=config,
            folder=folder,
            clock=clock,
            supervisor=supervisor,
            planner=planner,
            observing=observing,
            board=holder if observing.board else None,
            journal=journal,
            reports=reports,
            receiver=receiver,
            pepper=pepper,
            replicas=holder,
            token=start.token,
            endpoint=endpoint_of(config.webhooks, environment),
            number=start.number,
            workers=start.workers,
            others=holder.others,
            spares=sockets,
        )
        bound = sockets[start.number - 1].dup()
        serving = await stack.enter_async_context(_serving(process, plan, bound, None, left_open))
        holder.own = observing.board
        yield serving


@asynccontextmanager
async def _observing(
    config: Config, environment: Mapping[str, str], folder: DataFolder, supervisor: Supervisor
) -> AsyncIterator[Observing]:
    """The observers of a process while the block runs."""
    async with AsyncExitStack() as stack:
        traces = await stack.enter_async_context(tracing(config.observe, environment))
        transcripts = Transcripts(folder.transcripts, config.observe.transcript_bytes, supervisor)
        stack.enter_context(closing(transcripts))
        yield Observing(config.observe, SystemClock(), transcripts, traces)


@asynccontextmanager
async def _serving(
    process: Process,
    plan: Plan,
    bound: socket.socket,
    metrics_socket: socket.socket | None,
    left_open: list[Usage],
) -> AsyncIterator[Serving]:
    """Serve calls from the socket `bound` by `plan` while the block runs."""
    config, folder, clock = process.config, process.folder, process.clock
    supervisor, observing, journal = process.supervisor, process.observing, process.journal
    async with AsyncExitStack() as stack:
        client = stack.enter_context(closing(HttpClient()))
        followed = stack.enter_context(closing(follow_accounts(config)))
        lookups = stack.enter_context(closing(FollowedAccounts(folder.accounts)))
        synced_ns, sync = lookups.synced_ns(), sync_of(config)
        keyring = KeyRing(
            followed,
            process.pepper,
            config.gateway.keys_stale_s,
            lookups=lookups,
            sync=sync,
            age_s=0.0 if synced_ns is None else (clock.now_ns() - synced_ns) / NS_PER_SECOND,
        )
        stack.enter_context(closing(keyring))
        await start_threads()
        fitted = fit(config.gateway, divided(this_machine(), process.workers))
        _log.log(logging.WARNING if fitted.lowered else logging.INFO, "limits fit %s", fitted.text)
        limiter = ConcurrencyLimiter(
            fitted.calls, config.gateway.max_calls_per_key, plan.fairness, clock
        )
        leave = config.leave
        drains = Drains(DrainLimits(leave.drains, leave.drain_s, leave.drain_bytes))
        tariffs = PricingTable(followed, lambda: process.planner.rates.newest)
        left = Left(left_open, process.number, process.workers)
        pricing = (followed, tariffs)
        kept = await stack.enter_async_context(
            limiting(config.store, folder, pricing, clock, supervisor, left, process.endpoint)
        )
        access = stack.enter_context(access_log(config.log, tariffs, supervisor))
        observing.access = access
        every_s, watch = config.meter.checkpoint_s, observing.watch
        meter = Meter(journal, clock, checkpoint_s=every_s, watch=watch)
        stack.push_async_callback(_all_told, journal)
        health = Health(clock.carried(), plan.breaker)
        own = own_provider(client, process.token)
        if observing.traces is not None and config.observe.traces_to_replicas:
            own = TracedProvider(own, observing.traces.traceparent)

        shipments = Shipments(process.receiver)
        questions = stack.enter_context(closing(Questions()))
        cors = Cors(config.gateway.cors_origins) if config.gateway.cors_origins else None

        def context(catalogue: Catalogue, providers: Mapping[str, Provider]) -> AppContext:
            router = Router(health, catalogue.policy)
            parts = (keyring, limiter, meter, journal, catalogue, providers, router, clock)
            return AppContext(
                *parts,
                shipments=shipments,
                drains=drains,
                board=process.board,
                tariffs=tariffs,
                usage=FolderUse(folder, config.lake.url),
                questions=questions,
                limits=kept.calls,
                traces=observing.traces,
                transcripts=observing.transcripts,
                cors=cors,
                answer_headers=config.observe.answer_headers,
                report_back_ns=round(config.meter.report_days * 86_400) * NS_PER_SECOND,
                supervisor=supervisor,
                on_refused=None if access is None else access.take,
                reports=process.reports,
                others=process.others,
            )

        service = stack.enter_context(Service(plan, process.replicas, own, context))
        server = HttpServer(
            service,
            limits=fitted.limits,
            admit=service.admit,
            refusal=heard_refusal(access, clock, cors),
            on_error=_report,
            sweep=Sweep(supervisor),
        )
        parts = (limiter, health, journal, service, server, supervisor)
        observing.parts = Parts(*parts, kept, config.observe.limit_series)
        observing.tell(left_open)
        looks = supervisor.every(_KEYS_S, "keys", keyring.look)
        await stack.enter_async_context(ending(looks))
        if sync is not None:
            patience_s = SHARED_PATIENCE_S
            syncs = supervisor.every(
                _KEYS_S, "shared-accounts", keyring.sync, patience_s=patience_s
            )
            await stack.enter_async_context(ending(syncs))
        looks = supervisor.every(_LOOK_S, "prices", partial(to_thread, tariffs.refresh))
        await stack.enter_async_context(ending(looks))
        await stack.enter_async_context(
            showing_metrics(metrics_socket, process.board, _report, supervisor)
        )
        listen = _listening(config, server, bound, limiter, process.spares)
        port = await stack.enter_async_context(listen)

        async def apply(changed: Config) -> None:
            fresh = _said(await process.planner.plan(changed))
            service.put(fresh)
            health.use(fresh.breaker)
            limiter.use(fresh.fairness)

        yield Serving(service, server, port, apply)


def _said(plan: Plan) -> Plan:
    """`plan`, with its warnings in the log."""
    for warning in plan.warnings:
        _log.warning("%s", warning)
    return plan


async def _all_told(journal: Journal) -> None:
    """Wait until all that has ended is on record, or kept, and whoever watches calls has been told."""
    with suppress(JournalError):
        await journal.durable()


async def _watch(journal: Journal, work: Work) -> None:
    """See to it that the journal's writer runs, without which no call can be served; else JournalError."""
    while journal.alive:
        work.succeeded()
        await asyncio.sleep(_LOOK_S)
    raise JournalError("the journal's writer has ended")


@contextmanager
def _ports(
    host: str, port: int, workers: int, setting: str = "--port"
) -> Iterator[list[socket.socket]]:
    """The port to listen on, which `setting` chooses, taken before anything is written.

    A socket for each worker.
    """
    try:
        sockets = listeners(host, port, workers)
    except socket.gaierror as error:
        raise ConfigError(f"gateway.host: {host!r} cannot be found: {error.strerror}") from error
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {_authority(host, port)}: {error.strerror}; stop what uses it or choose "
            f"another with {setting}"
        ) from error
    with ExitStack() as stack:
        for bound in sockets:
            stack.enter_context(closing(bound))
        yield sockets


def first_key(accounts: Accounts, clock: Clock, pepper: Pepper) -> str | None:
    """The secret of a first key, if there was none yet."""
    if accounts.has_keys():
        return None
    with accounts.transaction():
        if accounts.has_keys():  # another gateway that shares the accounts was sooner
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
    config: Config,
    server: HttpServer,
    bound: socket.socket,
    limiter: ConcurrencyLimiter,
    spares: Sequence[socket.socket],
) -> AsyncIterator[int]:
    """Have `server` listen; leaving says so at `/readyz` for a while, then lets running answers finish."""
    port = await server.listen(bound)
    try:
        yield port
    finally:
        limiter.closing = True
        await asyncio.sleep(config.gateway.drain_wait_s)
        for spare in spares:
            spare.close()
        dropped = await server.stop(config.gateway.drain_s)
        if dropped:
            _log.warning("dropped %d calls that did not finish in time", dropped)


def _report(error: BaseException) -> None:
    _log.error("a handler failed", exc_info=error)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
