"""Books to export: small enough to read, and with everything in them that may trouble a reader."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from inferworks.accounts.plan import (
    Graduated,
    PercentOff,
    PerUnit,
    Price,
    PricePlan,
    Terms,
    Tier,
)
from inferworks.books.accounting.policy import load_policy
from inferworks.books.calendar.span import Span
from inferworks.books.exports.base import Books, books_of
from inferworks.books.statement.computation import Inputs, compute, shipped_rules
from inferworks.books.statement.invariants import validate
from inferworks.ids import CustomerId
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Tokens
from inferworks.purpose import Purpose
from inferworks.testing.books import (
    a_charge,
    a_shift,
    a_step,
    a_usage,
    an_activity,
    an_interval,
)
from inferworks.units import NS_PER_SECOND, Unit

ROOT = Path(__file__).parents[3]
CHECKERS = ROOT / ".venv-checkers"
START_NS = int(dt.datetime(2026, 11, 1, tzinfo=dt.UTC).timestamp()) * NS_PER_SECOND
MONTH = (START_NS, START_NS + 30 * 86_400 * NS_PER_SECOND)
ODD_ISSUER = 'Ünusual "Cloud", Inc.; west: 2\\'

CHECKED_BY = {"hledger", "bean_check"}
"""The fixtures that start a checker."""

Check = Callable[[Path], "subprocess.CompletedProcess[str]"]
"""Runs a checker on a file."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count what asks a checker among the slow tests: each file that is checked is a process."""
    for item in items:
        if isinstance(item, pytest.Function) and CHECKED_BY & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)


def at(seconds: int) -> int:
    """Nanoseconds of the moment `seconds` after the first of the month."""
    return START_NS + seconds * NS_PER_SECOND


def some_facts(customers: Sequence[str]) -> Facts:
    """Every customer makes one call of its own length; a replica is busy, loads and idles."""
    usages = tuple(
        msgspec.structs.replace(
            a_usage(
                f"call-{name}",
                customer=name,
                tokens=Tokens(input=1_234_567 + 11 * n, output=765_432 + 7 * n),
                purpose=Purpose.SERVE_FREE if name == "freda" else Purpose.SERVE_PAID,
                sent_bytes=30 + n,
            ),
            opened_ns=at(100 + n),
            closed_ns=at(101 + n),
        )
        for n, name in enumerate(customers)
    )
    busy = [(usage.call_id, 10 + n, 0, 3) for n, usage in enumerate(usages)]
    return Facts(
        usages=usages,
        steps=(a_step(0, at(100), 300 * NS_PER_SECOND, busy),),
        capacity=an_interval(
            (at(0), at(800)),
            {State.ACTIVE: 300 * NS_PER_SECOND, State.IDLE: 500 * NS_PER_SECOND},
        ),
        activities=(an_activity("descent", "node-1", (at(800), at(900)), 100 * NS_PER_SECOND),),
    )


def many_terms(name: str) -> PricePlan:
    """A plan with a tier, a fee, a discount and a minimum."""
    tiers = (Tier(1_000_000, 9_000_000), Tier(None, 7_000_000))
    terms = Terms(
        currency="USD",
        prices=(
            Price(Unit.INPUT_TOKENS, Graduated(tiers), included=1_000),
            Price(Unit.OUTPUT_TOKENS, PerUnit(11_000_001)),
            Price(Unit.REQUESTS, PerUnit(1)),
        ),
        subscription_pico=25 * 10**12,
        minimum_pico=500 * 10**12,
        discounts=(PercentOff(1, 7),),
    )
    return PricePlan(CustomerId(name), 0, terms)


def some_books(
    customers: Sequence[str] = ("acme", "freda", "Zed-9"), more: Sequence[PricePlan] = ()
) -> Books:
    """A month with a machine, a web server, a person, a credit, an odd issuer and what nobody drives."""
    span = Span(*MONTH)
    charges = [
        a_charge("machine", "1010.00", MONTH),
        a_charge("web", "71.37", MONTH, category="Web", resource="web-1"),
        a_charge("credit", "-10.01", MONTH, category="Web", resource="web-1"),
        a_charge("odd", "0.123456789012", MONTH, category="Databases", provider=ODD_ISSUER),
        a_charge("nothing", "0.00", MONTH, category="Web", resource="web-1"),
        a_shift("repair", "512.25", MONTH, node="node-1"),
    ]
    plans = [
        PricePlan.per_million(CustomerId(name), 0, "USD", f"8.1{n}", "120.25")
        for n, name in enumerate(customers)
        if name != "freda"
    ]
    customers = (*customers, *(plan.customer for plan in more))
    plans = [*plans, *more]
    computation = compute(
        Inputs(
            charges, some_facts(customers), plans, load_policy("gaap"), "USD", span, shipped_rules()
        )
    )
    validate(computation)
    return books_of(computation, "Example Inference")


@pytest.fixture(scope="session")
def books() -> Books:
    """Books as `some_books` makes them."""
    return some_books()


@pytest.fixture(scope="session")
def hledger() -> Check:
    """`hledger check --strict`, or a skip where there is none."""
    program = shutil.which("hledger")
    if program is None:
        pytest.skip(f"there is no hledger: {_why('hledger')}")
    return lambda path: _run([program, "-f", str(path), "check", "--strict", "ordereddates"])


@pytest.fixture(scope="session")
def bean_check() -> Iterator[Check]:
    """`bean-check` in a process of its own, one for all files; or a skip where there is none."""
    if not (CHECKERS / "bin" / "bean-check").exists():
        pytest.skip(f"there is no beancount: {_why('beancount')}")
    command = [str(CHECKERS / "bin" / "python"), str(Path(__file__).with_name("bean_checker.py"))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        asked, answers = process.stdin, process.stdout
        assert asked is not None
        assert answers is not None

        def check(path: Path) -> subprocess.CompletedProcess[str]:
            asked.write(f"{path}\n")
            status, said = json.loads(answers.readline())
            return subprocess.CompletedProcess([*command, str(path)], status, "", said)

        yield check


def _why(checker: str) -> str:
    """Last line of the log of `make checkers`: the reason why there is no checker."""
    told = CHECKERS / f"{checker}.log"
    lines = told.read_text().split("\n") if told.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "nobody has run make checkers")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
