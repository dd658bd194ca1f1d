"""The demo from end to end: plan, run, meter, bill, close.

    prepare      the calls, decided before the first one              (scenario, planner)
    open up      customers, price plans, keys                         (accounts)
    live         platform, traffic and trainer, all of it real        (processes, traffic, training)
    bill         bills for exactly that span, made up and labelled    (bills)
    close        import and closing as for any books                  (books)
    check        calls sent equal calls metered; cost billed equals cost allocated

The checks are made here and not only in tests: a demo that prints a wrong figure is worse than one that
stops.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import msgspec
import uvloop

from inferworks.accounts.customer import Customer
from inferworks.accounts.key import Grant, mint
from inferworks.accounts.pepper import Pepper, load_pepper
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.base import Accounts
from inferworks.books.accounting.policy import load_policy
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.repository.store import BookStore
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.statement import Statement, close_span
from inferworks.clock import Clock, SystemClock
from inferworks.demo.bills import CURRENCY, DATASETS, LOGS, NODE, write_bills
from inferworks.demo.processes import run_trainer, running_platform
from inferworks.demo.scenario import (
    CALLS_PER_SECOND,
    LAB,
    PARTIES,
    SAMPLE_QUESTION,
    Ending,
    PlannedCall,
    planned,
    planned_from,
    price_of,
)
from inferworks.demo.stored import StoredBytes, watch
from inferworks.demo.traffic import Answered, Caller
from inferworks.demo.training import TRAINER_SOURCE, Trained
from inferworks.errors import BooksError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.facts import Facts
from inferworks.meter.reader import JournalReader
from inferworks.meter.usage import NO_TOKENS, Outcome, Tokens
from inferworks.metering import report
from inferworks.planner.workload import fit, read_trace, seconds_text, squeeze, thin
from inferworks.purpose import Purpose
from inferworks.units import NS_PER_SECOND

MODEL = "inferworks-tiny"
POLICY = "gaap"
_CONTEXT_TOKENS = 1000
"""Most tokens of a prompt with its answer; the model's context less the chat template."""
_ROLLOUTS = 32
_TRAINING_PERCENT = 30
"""Share of the seconds of traffic that the gradient descent may take, in percent."""
_OPERATIONS = CustomerId("operations")
"""Customer whose key reports the storage that keeps the service running; it makes no calls."""


ImportBill: TypeAlias = Callable[[Path, BookStore], None]
"""Importer of one bill file of any known kind."""


class Settings(msgspec.Struct, frozen=True):
    """Options of the command line."""

    seconds: int
    """Seconds of traffic."""
    calls: int | None
    seed: int
    trace: Path | None


class Plan(msgspec.Struct, frozen=True):
    """The calls to send, and where they come from, in words."""

    calls: tuple[PlannedCall, ...]
    about: str


class Price(msgspec.Struct, frozen=True):
    """Price of a customer, in picounits per token."""

    customer: CustomerId
    about: str
    input_pico: int
    output_pico: int


class LiveRun(msgspec.Struct, frozen=True):
    """Results of the run itself."""

    span: Span
    """Whole seconds that hold the platform's life."""
    sample: Answered
    answers: tuple[Answered, ...]
    trained: Trained


class DemoResult(msgspec.Struct, frozen=True):
    """Everything there is to show."""

    settings: Settings
    plan: Plan
    prices: tuple[Price, ...]
    live: LiveRun
    calls_sent: int
    calls_answered: int
    usage_records: int
    outcomes: Mapping[str, int]
    """Usage records by how their calls ended."""
    tokens: Tokens
    charges: tuple[Charge, ...]
    statement: Statement


class Watcher(Protocol):
    """Receiver of the demo's progress."""

    def stage(self, text: str) -> None:
        """Something new begins."""
        ...

    def expect(self, calls: int) -> None:
        """Announce the number of calls to be sent."""
        ...

    def sent(self) -> None:
        """One of them has ended."""
        ...


def prepare(settings: Settings) -> Plan:
    """Decide every call. UserError when the trace cannot be read."""
    count = settings.calls or settings.seconds * CALLS_PER_SECOND
    if settings.trace is None:
        about = f"{count} calls of a made-up mix, at random over {settings.seconds} seconds"
        return Plan(planned(count, settings.seconds, settings.seed), about)
    whole = read_trace(settings.trace)
    sample = squeeze(thin(whole, count, settings.seed), settings.seconds * NS_PER_SECOND)
    fitted, scale = fit(sample, _CONTEXT_TOKENS)
    about = (
        f"{len(sample.arrivals):,} of the {len(whole.arrivals):,} requests of {whole.name}, a uniform "
        f"sample (seed {settings.seed}); {seconds_text(whole.length_ns)} squeezed into "
        f"{settings.seconds}; every length times {float(scale):.3f} to fit the model's context"
    )
    return Plan(planned_from(fitted, settings.seed), about)


def run(
    settings: Settings,
    plan: Plan,
    folder: DataFolder,
    accounts: Accounts,
    import_bill: ImportBill,
    watcher: Watcher,
) -> DemoResult:
    """Run the demo in `folder`, which is empty. InferworksError when anything is not as it must be."""
    clock = SystemClock()
    prices = tuple(
        Price(party.id, party.about, *price_of(party, plan.calls, settings.seconds))
        for party in PARTIES
    )
    pepper = load_pepper(accounts, folder.pepper)
    secrets = open_accounts(accounts, prices, pepper, clock.now_ns())
    live = uvloop.run(_live(_Run(settings, plan, folder, secrets, watcher, clock)))
    watcher.stage("Importing the bills, closing the span")
    charges = import_bills(folder, live.span, import_bill)
    with JournalReader(folder.journal) as journal:
        facts = journal.facts(*live.span)
    statement = close_span(
        Inputs(charges, facts, tuple(accounts.plans()), load_policy(POLICY), CURRENCY, live.span)
    )
    planned_whole = sum(call.ending is Ending.ANSWERED for call in plan.calls)
    result = DemoResult(
        settings=settings,
        plan=plan,
        prices=prices,
        live=live,
        calls_sent=1 + len(plan.calls) + live.trained.rollouts,
        calls_answered=1 + planned_whole + live.trained.rollouts,
        usage_records=len(facts.usages),
        outcomes=dict(sorted(Counter(usage.outcome.value for usage in facts.usages).items())),
        tokens=sum((usage.tokens for usage in facts.usages), NO_TOKENS),
        charges=charges,
        statement=statement,
    )
    check(result, facts)
    return result


def open_accounts(
    accounts: Accounts, prices: Sequence[Price], pepper: Pepper, now_ns: int
) -> Mapping[CustomerId, str]:
    """Make the customers with their plans and keys; the secrets, by customer."""
    secrets = {}
    purposes = {party.id: (party.purpose, ()) for party in PARTIES} | {
        LAB: (Purpose.TRAIN_INFERENCE, (Purpose.TRAIN_GRADIENT, Purpose.DATA_PREP)),
        _OPERATIONS: (Purpose.SUPPORT, ()),
    }
    reporting = {
        LAB: (TRAINER_SOURCE, _stored_by(LAB)),
        _OPERATIONS: (_stored_by(_OPERATIONS),),
    }
    paid = {p.customer: (p.input_pico, p.output_pico) for p in prices if p.output_pico}
    for customer, (purpose, allowed) in purposes.items():
        price = paid.get(customer)
        plan = None if price is None else PricePlan.per_token(customer, now_ns, CURRENCY, *price)
        accounts.add_customer(Customer(customer, now_ns), plan)
        sources = reporting.get(customer, ())
        grant = Grant(purpose=purpose, allowed=allowed, sources=sources, ours=bool(sources))
        key, secrets[customer] = mint(customer, now_ns, grant, pepper=pepper)
        accounts.add_key(key)
    return secrets


class _Run(NamedTuple):
    """Inputs of the run."""

    settings: Settings
    plan: Plan
    folder: DataFolder
    secrets: Mapping[CustomerId, str]
    watcher: Watcher
    clock: Clock


async def _live(inputs: _Run) -> LiveRun:
    """Run the platform, send the traffic, train beside it, report the storage, stop."""
    main = asyncio.current_task()
    assert main is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    start_ns = inputs.clock.now_ns()
    inputs.watcher.stage("Starting the platform")
    try:
        async with running_platform(inputs.folder) as url:
            sample, answers, trained = await _work(inputs, url)
            inputs.watcher.stage("Stopping the platform")
    except BaseExceptionGroup as group:
        raise _first(group) from group
    # whole seconds: bills are written to the second
    start_s, end_s = start_ns // NS_PER_SECOND, -(-inputs.clock.now_ns() // NS_PER_SECOND)
    span = Span(start_s * NS_PER_SECOND, end_s * NS_PER_SECOND)
    return LiveRun(span, sample, answers, trained)


async def _work(inputs: _Run, url: str) -> tuple[Answered, tuple[Answered, ...], Trained]:
    """Call and train while the platform runs."""
    datasets = inputs.folder.path / DATASETS
    datasets.mkdir()
    options = {
        "url": url,
        "model": MODEL,
        "dataset": str(datasets / "rollouts.npy"),
        "node": NODE,
        "seconds": str(max(1.0, inputs.settings.seconds * _TRAINING_PERCENT / 100)),
        "rollouts": str(_ROLLOUTS),
        "seed": str(inputs.settings.seed),
    }
    question = PlannedCall(-1, PARTIES[0].id, 0, SAMPLE_QUESTION, False, 160, exact=False)
    async with _watching_files(inputs, datasets, url):
        with closing(Caller(url, MODEL, inputs.secrets)) as caller:
            sample = await caller.send(question)
            inputs.watcher.stage("Calling and training")
            inputs.watcher.expect(len(inputs.plan.calls))
            async with asyncio.TaskGroup() as group:
                training = group.create_task(
                    run_trainer(inputs.folder.path, inputs.secrets[LAB], options)
                )
                traffic = group.create_task(caller.send_all(inputs.plan.calls, inputs.watcher.sent))
    return sample, traffic.result(), training.result()


@asynccontextmanager
async def _watching_files(inputs: _Run, datasets: Path, url: str) -> AsyncIterator[None]:
    """Measure the files while the block runs, and report them when the block has ended well."""

    def operations() -> list[Path]:
        """Return the files of the journal, the step traces and the logs."""
        folder = inputs.folder
        return [*folder.path.glob("*.db*"), *folder.spool.iterdir(), *folder.path.glob("*.log")]

    stores = {
        LAB: StoredBytes(DATASETS, Purpose.DATA_PREP, lambda: list(datasets.iterdir())),
        _OPERATIONS: StoredBytes(LOGS, Purpose.SUPPORT, operations),
    }
    watching = asyncio.create_task(watch(tuple(stores.values()), inputs.clock))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
    for customer, store in stores.items():
        store.sample(inputs.clock.now_ns())
        event = store.event(_stored_by(customer))
        await asyncio.to_thread(report, [event], url, inputs.secrets[customer])


def _stored_by(customer: CustomerId) -> str:
    """Return the source under which the files that `customer` keeps are reported."""
    return f"demo.{customer}"


def import_bills(folder: DataFolder, span: Span, import_bill: ImportBill) -> tuple[Charge, ...]:
    """Make the bills of `span`, import them as anybody's, and read the charges back."""
    with BookStore(folder.books, currency=CURRENCY) as store:
        for path in write_bills(folder.path, span):
            import_bill(path, store)
        return tuple(store.charges(*span))


def check(result: DemoResult, facts: Facts) -> None:
    """BooksError unless every call was metered once and every picounit billed was allocated."""
    statement = result.statement
    billed_pico = sum(charge.amount_pico for charge in result.charges)
    answered = {usage.call_id for usage in facts.usages if usage.outcome is Outcome.ANSWERED}
    live = result.live
    whole = {answer.call_id for answer in (live.sample, *live.answers) if answer.whole}
    _must(
        result.usage_records == result.calls_sent,
        f"{result.calls_sent} calls were sent, but {result.usage_records} usage records were written",
    )
    _must(whole <= answered, f"{len(whole - answered)} answered calls have no usage record")
    _must(statement.allocated_pico == statement.billed_pico == billed_pico,
          f"billed {billed_pico}, in the statement {statement.billed_pico}, allocated "
          f"{statement.allocated_pico} picounits")  # fmt: skip


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BooksError(f"the demo does not add up: {otherwise}")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group; the others are mostly its consequences."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
