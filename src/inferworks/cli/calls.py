"""Views of calls for operators: read from the journal and the lake, priced, summed by any field.

The journal has every call in the moment in which it ends: so `status`, `top` and `logs` work on the machine
of the data folder without a key, a configuration or a log, and show the same calls as the books. Calls that
others have reported are left out, for they were not made here. Sums hold counts and no calls.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import click

from inferworks.accounts.stores.base import PriceReads
from inferworks.accounts.stores.stub import StubAccounts
from inferworks.api.pricing import PricingTable, cost_of
from inferworks.cli.options import Command
from inferworks.cli.show import counted
from inferworks.config import Config
from inferworks.folder import DataFolder
from inferworks.meter.archive.journal import UnsealedReader
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.lakes.detect import lake_at
from inferworks.meter.usage import Outcome, Usage
from inferworks.money import PICO, round_pico
from inferworks.observe.access import Cost
from inferworks.units import NS_PER_SECOND
from inferworks.wiring.accounts import read_accounts
from inferworks.wiring.rates import ListRates

_STEP: Final = 1.05
"""Ratio between neighbouring buckets of times: a twentieth more."""
_STATUS: Final = re.compile("0|[1-5]([0-9][0-9]|xx)")
_CALL: Final = re.compile("call_[0-9a-f]*")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


KEYS: Mapping[str, Callable[[Usage], str]] = {
    "model": lambda usage: usage.model,
    "customer": lambda usage: usage.customer,
    "key": lambda usage: usage.key_id,
    "offer": lambda usage: usage.legs[-1].offer if usage.legs else "",
}
"""Fields by which calls can be summed."""


class Span(click.ParamType):  # type: ignore[type-arg]  # no parameters where click is older
    """A stretch of time up to now: `30s`, `15m`, `1h`, `7d`; in nanoseconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The nanoseconds of `value`."""
        if isinstance(value, int):
            return value
        number, unit = str(value)[:-1], str(value)[-1:]
        if not (number.isascii() and number.isdecimal() and len(number) < 7 and unit in _UNITS_S):
            self.fail(f"{value!r} is no time; write one like 30s, 15m, 1h or 7d", param, ctx)
        return int(number) * _UNITS_S[unit] * NS_PER_SECOND


def span_text(since_ns: int) -> str:
    """`since_ns` in the largest unit that it is a whole number of: `day`, `15 minutes`."""
    seconds = since_ns // NS_PER_SECOND
    for unit_s, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % unit_s == 0:
            number = seconds // unit_s
            return unit if number == 1 else f"{number} {unit}s"
    return counted(seconds, "second")


def filter_options(command: Command) -> Command:
    """`--model`, `--customer`, `--status`, `--outcome` and `--call`: which calls are shown."""
    for option in reversed(
        (
            click.option("--model", metavar="NAME", help="Only calls of this model."),
            click.option("--customer", metavar="ID", help="Only calls of this customer."),
            click.option(
                "--status",
                metavar="CODE",
                help="Only this HTTP status, or 4xx, 5xx and the like; 0 where none was given.",
            ),
            click.option(
                "--outcome",
                type=click.Choice([str(o) for o in Outcome]),
                help="Only calls that ended so.",
            ),
            click.option(
                "--call", metavar="ID", help="Only this call, or calls whose id begins so."
            ),
        )
    ):
        command = option(command)
    return command


def wanted(
    model: str | None,
    customer: str | None,
    status: str | None,
    outcome: str | None,
    call: str | None,
) -> Callable[[Usage], bool]:
    """Return the filter for `filter_options`; BadParameter for a malformed one."""
    if status is not None and not _STATUS.fullmatch(status):
        raise click.BadParameter(
            f"{status!r} is no HTTP status; write 404 or 4xx", param_hint="--status"
        )
    if call is not None and not _CALL.fullmatch(call):
        raise click.BadParameter(
            f"{call!r} is no call's id, nor how one begins; write one like call_019a2f",
            param_hint="--call",
        )
    begins = "000" if status == "0" else (status or "").removesuffix("xx")

    def is_wanted(usage: Usage) -> bool:
        return (
            (model is None or usage.model == model)
            and (customer is None or usage.customer == customer)
            and (status is None or f"{usage.status:03d}".startswith(begins))
            and (outcome is None or usage.outcome == outcome)
            and (call is None or usage.call_id.startswith(call))
        )

    return is_wanted


def here(usages: Iterable[Usage]) -> Iterator[Usage]:
    """Yield the usages of calls made here, and not reported by others."""
    return (usage for usage in usages if "/" not in usage.call_id)


def calls_between(config: Config, start_ns: int, end_ns: int) -> Iterator[Usage]:
    """The calls that were opened in the interval, wherever they are kept."""
    folder = DataFolder(Path(config.data.folder))
    lake = LakeReader(lake_at(config.lake.url or str(folder.lake)), *folder.journals())
    return here(lake.calls(start_ns, end_ns))


class Arrivals:
    """Calls of the journals of a folder as they end: each `new` yields those since the one before."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._rows: dict[Path, int] = {}

    def new(self, most: int) -> list[Usage]:
        """The newest calls that were not given yet, `most` at most, in the order in which they ended."""
        found: list[Usage] = []
        journals = self._folder.written_journals()
        for journal in journals:
            seen = self._rows.get(journal, 0)
            with UnsealedReader(journal) as reader:
                newest = reader.newest_row()
                found += here(reader.arrived(seen, most)) if newest > seen else ()
            self._rows[journal] = newest  # smaller where the last rows were sealed meanwhile
        if len(journals) > 1:
            found.sort(key=lambda usage: usage.closed_ns)
        return found[max(0, len(found) - most) :]


@contextmanager
def priced(config: Config) -> Iterator[Cost]:
    """Open a function that prices calls, by the price plans and list prices that are known now."""
    folder = DataFolder(Path(config.data.folder))
    rates = ListRates(folder.price_books)
    rates.now()
    with ExitStack() as stack:
        accounts: PriceReads = StubAccounts()
        if folder.accounts.exists():
            accounts = stack.enter_context(read_accounts(config))
        tariffs = PricingTable(accounts, lambda: rates.newest)
        yield lambda usage: cost_of(usage, tariffs)


class Sum:
    """Sums over some calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.errors: Counter[str] = Counter()
        self.input_tokens = self.output_tokens = 0
        self.cost_pico: Counter[str] = Counter()
        """Cost by currency."""
        self.unpriced = 0
        """Calls that used something and whose cost is unknown."""
        self._durations: Counter[int] = Counter()
        self._first: Counter[int] = Counter()

    def take(self, usage: Usage, cost: tuple[int, str] | None) -> None:
        """Add one call."""
        self.calls += 1
        self.outcomes[usage.outcome] += 1
        if usage.outcome is not Outcome.ANSWERED:
            self.errors[usage.error_code or str(usage.outcome)] += 1
        else:
            self._durations[_step_of(usage.closed_ns - usage.opened_ns)] += 1
            if usage.first_byte_ns is not None:
                self._first[_step_of(usage.first_byte_ns - usage.opened_ns)] += 1
        self.input_tokens += usage.tokens.input
        self.output_tokens += usage.tokens.output
        if cost is not None:
            self.cost_pico[cost[1]] += cost[0]
        elif usage.tokens.input or usage.tokens.output:
            self.unpriced += 1

    @property
    def failed(self) -> int:
        """The calls that failed, by an upstream's fault or ours."""
        return self.outcomes[Outcome.FAILED] + self.outcomes[Outcome.CRASHED]

    def duration_ms(self, share: float) -> float | None:
        """The time within which this share of the answered calls ended; None without any."""
        return _quantile_ms(self._durations, share)

    def first_ms(self, share: float) -> float | None:
        """The same of the time to the first byte."""
        return _quantile_ms(self._first, share)

    def as_json(self) -> dict[str, object]:
        """Everything, for `--json`."""
        return {
            "calls": self.calls,
            "outcomes": {str(outcome): number for outcome, number in sorted(self.outcomes.items())},
            "errors": dict(self.errors.most_common()),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": {c: round_pico(pico, places=12) for c, pico in sorted(self.cost_pico.items())},
            "unpriced_calls": self.unpriced,
            "duration_ms": {"p50": self.duration_ms(0.5), "p95": self.duration_ms(0.95)},
            "ttft_ms": {"p50": self.first_ms(0.5), "p95": self.first_ms(0.95)},
        }


def sums_by(usages: Iterable[Usage], cost: Cost, key: Callable[[Usage], str]) -> dict[str, Sum]:
    """Sum `usages` by `key`, most calls first."""
    sums: dict[str, Sum] = defaultdict(Sum)
    for usage in usages:
        sums[key(usage)].take(usage, cost(usage))
    return dict(sorted(sums.items(), key=lambda item: (-item[1].calls, item[0])))


COLUMNS: Final = "CALLS REFUSED FAILED IN OUT COST P50 P95"
"""The columns of a sum, beside its name."""


def row_of(name: str, one: Sum) -> tuple[str, ...]:
    """A line of a table of sums."""
    return (
        name or "(none)",
        short(one.calls),
        short(one.outcomes[Outcome.REFUSED]),
        short(one.failed),
        short(one.input_tokens),
        short(one.output_tokens),
        cost_text(one),
        time_text(one.duration_ms(0.5)),
        time_text(one.duration_ms(0.95)),
    )


def cost_text(one: Sum) -> str:
    """Return the cost of calls, for people: `-` where nothing is known."""
    return " + ".join(money(pico, c) for c, pico in sorted(one.cost_pico.items())) or "-"


def money(pico: int, currency: str) -> str:
    """An amount for people, to four digits behind the point where it is small."""
    return f"{round_pico(pico, places=2 if pico >= 100 * PICO else 6 if pico < PICO else 4)} {currency}"


def short(number: int) -> str:
    """A count in six characters at most."""
    for limit, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if number >= limit:
            return f"{number / limit:.1f}{unit}"
    return f"{number:,}" if number < 100_000 else f"{number / 1000:.0f}k"


def time_text(ms: float | None) -> str:
    """A time in six characters at most."""
    if ms is None:
        return "-"
    if ms < 9.95:
        return f"{ms:.1f}ms"
    return f"{ms:.0f}ms" if ms < 995 else f"{ms / 1000:.1f}s"


def _step_of(time_ns: int) -> int:
    return math.ceil(math.log(max(time_ns, 1), _STEP))


def _quantile_ms(counts: Counter[int], share: float) -> float | None:
    rank = math.ceil(counts.total() * share)
    seen = 0
    for step in sorted(counts):
        seen += counts[step]
        if seen >= rank:
            return round(float(_STEP ** (step - 0.5)) / 1e6, 3)
    return None
