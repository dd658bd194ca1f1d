"""The bills of a seeded world: exports in parts, grown, restated, amended, taken back, late and missing.

Three suppliers send FOCUS files. The first exports accounts of all sorts, with commitments that are paid
ahead, drawn on and left unused. The second bills every period, and may forget to: a missing bill is
accrued. The third bills calls at its API (`world_calls.py`). `Suppliers` is the world's own record,
independent of the books: the files in force, and the accruals when a period was closed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from random import Random
from typing import Final, Protocol, TypeAlias

from msgspec.structs import replace
from tests.support.world_disk import Disk, killed

from inferworks.books.accounting.basis import COMMITMENT
from inferworks.books.accruals.api_estimates import API_CATEGORY
from inferworks.books.accruals.expected_bills import LAST, Billed, Expected, Ground, in_the_books
from inferworks.books.bills.base import bill_file
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge, is_accrual, is_provisional
from inferworks.books.closing.prior_period import charges_in
from inferworks.books.deliveries.canonical import FOCUS, delivery_of, line_of
from inferworks.books.deliveries.decide import Answer, Fate
from inferworks.books.deliveries.landing import Closed
from inferworks.books.deliveries.record import Outcome, State
from inferworks.books.period import Period
from inferworks.catalog.billing import shipped_billing
from inferworks.money import parse_pico
from inferworks.testing.books import a_charge

PERIOD_NS: Final = 1_000
ROUNDING: Final = "(rounding)"
"""Resource name under which an account's rounding is summed."""
_ACCOUNT: Final = "BillingAccountId"
_EXPORTER, _BILLER, API = "B Cloud", "A Cloud", "OpenAI, LLC"
_COMMITTED: Final = (("Used", "Committed"), ("Unused", "Committed"), ("", "Standard"))
"""Kinds of commitment line (CommitmentDiscountStatus, PricingCategory); the last one buys the commitment.
"""
_ALWAYS = Span(0, 2**62)


def period_at(at_ns: int) -> Period:
    """The period of a moment."""
    start_ns = at_ns - at_ns % PERIOD_NS
    return Period(start_ns, start_ns + PERIOD_NS, f"p{start_ns // PERIOD_NS:02d}")


class Export:
    """An account of a supplier: the files that stand, and their lines."""

    def __init__(self, issuer: str, span: Span) -> None:
        self.issuer, self.span = issuer, span
        self.files: dict[str, tuple[Charge, ...]] = {}

    @property
    def lines(self) -> list[Charge]:
        """The lines of all files."""
        return [line for lines in self.files.values() for line in lines]

    @property
    def total_pico(self) -> int:
        """The exact total, rounded once."""
        exact = sum((Decimal(line.exact or 0) * 10**12 for line in self.lines), Decimal(0))
        return int(exact.to_integral_value(ROUND_HALF_EVEN))

    @property
    def cost_pico(self) -> int:
        """Cost of the lines: the effective cost of commitment lines, the billed cost of others."""
        ahead = (
            line.amount_pico - line.effective_pico
            for line in self.lines
            if line.effective_pico is not None
        )
        return self.total_pico - sum(ahead)

    def by_resource(self) -> dict[str, int]:
        """Return the cost of each resource, and the sum of roundings; zero costs are left out."""
        sums = Counter[str]()
        for line in self.lines:
            sums[line.resource_id or ""] += line.amount_pico
        sums[ROUNDING] = self.total_pico - sum(sums.values())
        return {name: pico for name, pico in sums.items() if pico}


class Suppliers:
    """Statements of the suppliers who send bills."""

    def __init__(self, dice: Random) -> None:
        self.expected = Expected(_BILLER, dice.choice([LAST, "5.000000000001"]))
        self.exports: dict[str, Export] = {}
        self.asked: dict[str, tuple[str, tuple[Charge, ...]]] = {}
        """The files that left a question: account and lines."""
        self.sealed: dict[str, int] = {}
        """Accrued amount of each period by name, as it was closed."""

    @property
    def billed_pico(self) -> int:
        """Sum billed by all accounts."""
        return sum(export.total_pico for export in self.exports.values())

    @property
    def cost_pico(self) -> int:
        """Cost of all bills in the time of use."""
        return sum(export.cost_pico for export in self.exports.values())

    def ends_ns(self) -> list[int]:
        """Return the end of each account's time."""
        return [export.span.end_ns for export in self.exports.values()]

    def bill_of(self, period: Period) -> Export | None:
        """The bill of a period that stands."""
        export = self.exports.get(period.name)
        return export if export and export.files else None

    def seal(self, period: Period, now_ns: int) -> None:
        """Note the accruals of a close."""
        is_missing = period in self.missing(now_ns)
        self.sealed[period.name] = self._accrued_pico(period) if is_missing else 0

    def missing(self, now_ns: int) -> list[Period]:
        """The periods that have begun and have no bill."""
        periods = map(period_at, range(0, now_ns, PERIOD_NS))
        return [period for period in periods if not self.bill_of(period)]

    def standing_pico(self, now_ns: int) -> int:
        """Return the accrual for missing bills: as closed, or else as the last bill before."""
        return sum(self._standing_pico(period) for period in self.missing(now_ns))

    def _standing_pico(self, period: Period) -> int:
        sealed = self.sealed.get(period.name)
        return self._accrued_pico(period) if sealed is None else sealed

    def _accrued_pico(self, period: Period) -> int:
        """Return the accrual of a period: the stated amount, or that of the last bill before `period`."""
        if self.expected.method != LAST:
            return parse_pico(self.expected.method)
        before = self._before(period)
        return sum(line.amount_pico for line in before[-1].lines) if before else 0

    def _before(self, period: Period) -> list[Export]:
        earlier = map(period_at, range(0, period.start_ns, PERIOD_NS))
        return [export for one in earlier if (export := self.bill_of(one))]

    @property
    def here(self) -> Collection[tuple[str, str]]:
        """The bills that stand, as accruals know them."""
        return {
            (_BILLER.casefold(), name)
            for name, export in self.exports.items()
            if export.issuer == _BILLER and export.files
        }

    def billed(self, supplier: str, month: Period) -> Billed:
        """Return the supplier's bills before `month`."""
        exports = self._before(month)
        lines = [line for export in exports for line in export.lines]
        return Billed(_BILLER, [period_at(export.span.start_ns) for export in exports], lines)


class BilledWorld(Protocol):
    """Part of a world (`worlds.World`) that bills need."""

    random: Random
    disk: Disk
    suppliers: Suppliers
    cursors: dict[str, int]
    sealed: tuple[object, Sequence[Charge]] | None
    """Charges under closed periods, and the head of the ledger after which they were read."""

    @property
    def now_ns(self) -> int:
        """Time that the machines have reached."""
        ...

    def name(self, kind: str) -> str:
        """A name that nothing else has."""
        ...


def accrued(world: BilledWorld, span: Span) -> list[Charge]:
    """The accruals of `span`, as the command line has them."""
    ledger, suppliers = world.disk.ledger, world.suppliers
    sealed = list(filter(is_accrual, sealed_charges(world)))
    missing = [(suppliers.expected, period) for period in suppliers.missing(world.now_ns)]
    closed = [period.span for period in ledger.periods().closed]
    return in_the_books(missing, suppliers, sealed, closed, _GROUND, span)


def sealed_charges(world: BilledWorld) -> Sequence[Charge]:
    """The estimates and accruals that closed periods stand with; read once after each record."""
    ledger = world.disk.ledger
    head = ledger.head()
    if world.sealed is None or world.sealed[0] != head:
        found = (charge for charges in charges_in(ledger, _ALWAYS) for charge in charges)
        world.sealed = head, [c for c in found if is_accrual(c) or is_provisional(c)]
    return world.sealed[1]


_GROUND = Ground((), lambda _: False, shipped_billing(), (), "USD")


def account_of(charge: Charge) -> str:
    """The account that a line of FOCUS is of; empty for other lines."""
    return dict(charge.other).get(_ACCOUNT, "")


Event: TypeAlias = Callable[[BilledWorld], str | None]


def export(world: BilledWorld) -> str:
    """A first export of an account, whole or in two parts, some lines finer than 10^-12."""
    dice = world.random
    start_ns = dice.randint(0, world.now_ns + 300)
    account = world.name("account")
    world.suppliers.exports[account] = Export(
        _EXPORTER, Span(start_ns, start_ns + dice.randint(2, 1_500))
    )
    said = []
    for part in range(1 + (dice.random() < 0.3)):
        name = f"{account}-part-{part:05d}"
        lines = tuple(_line(world, account) for _ in range(dice.randint(1, 2)))
        _land(world, account, name, lines, {Fate.NEW, Fate.PART}, series=(account, name))
        said.append(f"{name} with {len(lines)} lines")
    return ", ".join(said)


def api_bills(world: BilledWorld) -> str:
    """Bill some time of calls at an external API, or nothing for it."""
    dice = world.random
    start_ns = dice.randint(0, world.now_ns)
    account = world.name("api")
    world.suppliers.exports[account] = Export(API, Span(start_ns, start_ns + dice.randint(1, 900)))
    lines = [_line(world, account) for _ in range(dice.randint(1, 2))]
    if dice.random() < 0.2:
        lines = [replace(lines[0], amount_pico=0, exact="0")]
    _land(world, account, f"{account}.csv", tuple(lines), {Fate.NEW})
    return f"{account} with {len(lines)} lines"


def supplier_bills(world: BilledWorld) -> str | None:
    """A period that has begun has its bill, early, late, or of nothing."""
    missing = world.suppliers.missing(world.now_ns)
    if not missing:
        return None
    period = world.random.choice(missing)
    exports = world.suppliers.exports
    exports.setdefault(period.name, Export(_BILLER, period.span))
    lines = tuple(_line(world, period.name) for _ in range(world.random.randint(1, 3)))
    if world.random.random() < 0.1:
        lines = (replace(lines[0], amount_pico=0, exact="0"),)
    name = world.name("invoice")
    _land(world, period.name, name, lines, {Fate.NEW})
    return f"{name} for {period.name}"


def amend(world: BilledWorld) -> str | None:
    """An export comes again with the number of its invoice."""
    found = _single(world)
    if found is None:
        return None
    account, lines = found
    name = world.name("amended")
    numbered = tuple(replace(line, invoice=f"INV-{account}") for line in lines)
    _land(world, account, name, numbered, {Fate.DUPLICATE})
    return f"{account} again, with its number"


def grow(world: BilledWorld) -> str | None:
    """An export comes again with one line more, its next revision; and as it was, which changes nothing."""
    found = _single(world)
    if found is None:
        return None
    account, lines = found
    longer = (*lines, _line(world, account))
    _land(world, account, world.name("longer"), longer, {Fate.REVISION})
    _land(world, account, world.name("shorter"), lines, {Fate.DUPLICATE, Fate.OLDER})
    return f"{account} grows to {len(longer)} lines"


def restate(world: BilledWorld) -> str | None:
    """An export comes again with another amount: with an answer it stands instead, without it is asked."""
    found = _single(world)
    if found is None:
        return None
    account, lines = found
    other = (*lines[:-1], _with_amount(lines[-1], world.random.randint(-(10**15), 10**16)))
    answer = world.random.choice([None, None, Answer.REPLACE])
    name = world.name("restated")
    outcome = _land(world, account, name, other, {Fate.REVISION}, answer)
    return f"{name} of {account}, {'asked' if outcome.questions else 'replaces'}"


def restate_killed(world: BilledWorld) -> str | None:
    """We are killed while an export is restated: all of the revision is there, or nothing."""
    found = _single(world)
    if found is None:
        return None
    account, lines = found
    other = (*lines[:-1], _with_amount(lines[-1], world.random.randint(-(10**15), 10**16)))
    name, closed = world.name("killed"), _closed(world)
    done = killed(
        world.disk,
        world.random,
        lambda: str(_outcome(world, name, other, Answer.REPLACE, closed, ("", ""))),
    )
    landed = any(one.file == name for one in world.disk.books.imports())
    if landed:
        world.suppliers.exports[account].files = {name: other}
    return f"{name} of {account}, {'not killed' if done else 'killed'}, {landed=}"


def settle(world: BilledWorld) -> str | None:
    """A file that is asked for stays out, or comes with an answer."""
    open_ = [q for q in world.disk.books.questions() if q.file in world.suppliers.asked]
    if not open_:
        return None
    asked = world.random.choice(open_)
    account, lines = world.suppliers.asked[asked.file]
    if world.random.random() < 0.5:
        world.disk.books.settle(asked.number, "a draft", "ann", 1)
        return f"{asked.file} stays out"
    fates = {Fate.NEW, Fate.PART, Fate.REVISION, Fate.DUPLICATE}
    _land(world, account, asked.file, lines, fates, Answer.REPLACE)
    return f"{asked.file} of {account} comes with an answer"


def void(world: BilledWorld) -> str | None:
    """An import is taken back, also of a closed period."""
    stands = {name for export in world.suppliers.exports.values() for name in export.files}
    found = [
        one
        for one in world.disk.books.imports()
        if one.state is State.IN_FORCE and one.file in stands
    ]
    if not found:
        return None
    gone = world.random.choice(found)
    world.disk.books.void(gone.number, "not ours", _closed(world), "ann", 1)
    del world.suppliers.exports[gone.delivery.account].files[gone.file]
    return f"{gone.file} of {gone.delivery.account} taken back"


def time_passes(world: BilledWorld) -> str:
    """Let the next period begin after a while in which nothing is served."""
    ahead_ns = world.random.randint(0, PERIOD_NS)
    world.cursors = {name: at_ns + ahead_ns for name, at_ns in world.cursors.items()}
    return f"it is {world.now_ns}"


BILL_EVENTS: Final[tuple[tuple[int, Event], ...]] = (
    (2, time_passes),
    (4, export),
    (6, supplier_bills),
    (2, api_bills),
    (2, amend),
    (4, grow),
    (4, restate),
    (2, restate_killed),
    (20, settle),
    (4, void),
)
"""Events of exports, with their weights beside the other events."""


def _land(
    world: BilledWorld,
    account: str,
    name: str,
    lines: tuple[Charge, ...],
    fates: Collection[Fate],
    answer: Answer | None = None,
    series: tuple[str, str] = ("", ""),
) -> Outcome:
    """Import a file, and note the result: it is one of `fates`, or a question where it is ambiguous."""
    outcome = _outcome(world, name, lines, answer, _closed(world), series)
    if outcome.questions:
        if answer is not None or Fate.REVISION not in fates:
            raise AssertionError(f"{name}: asked {outcome.questions}")
        world.suppliers.asked[name] = account, lines
        return outcome
    [told] = outcome.deliveries
    if told.fate not in fates:
        raise AssertionError(f"{name}: is {told.fate}, must be one of {sorted(fates)}")
    files = world.suppliers.exports[account].files
    if told.fate is Fate.REVISION:
        stay = {file: _outside(there, lines) for file, there in files.items() if answer}
        files.clear()
        files.update((file, there) for file, there in stay.items() if there)
    if told.fate in (Fate.NEW, Fate.PART, Fate.REVISION):
        files[name] = lines
    return outcome


def _outside(there: Sequence[Charge], lines: Sequence[Charge]) -> tuple[Charge, ...]:
    """Return the lines of `there` that `lines` do not replace."""
    start_ns = min(line.period_start_ns for line in lines)
    end_ns = max(line.period_end_ns for line in lines)
    abouts = {line_of(delivery_of(FOCUS, line), line).about for line in lines}
    return tuple(
        one
        for one in there
        if (one.period_start_ns < start_ns or end_ns < one.period_end_ns)
        and line_of(delivery_of(FOCUS, one), one).about not in abouts
    )


def _outcome(
    world: BilledWorld,
    name: str,
    lines: Sequence[Charge],
    answer: Answer | None,
    closed: Closed,
    series: tuple[str, str],
) -> Outcome:
    sha256 = bill_file(name, name.encode()).sha256
    books = world.disk.books
    books.stage(FOCUS, (replace(one, file=name, file_sha256=sha256) for one in lines), series)
    [outcome] = books.land(answer, closed, "ann", 1)
    return outcome


def _closed(world: BilledWorld) -> Closed:
    periods = world.disk.ledger.periods().closed
    return Closed(periods[0].start_ns, periods[-1].end_ns) if periods else Closed()


def _single(world: BilledWorld) -> tuple[str, tuple[Charge, ...]] | None:
    """An account of which one file stands, and its lines."""
    found = [name for name, one in world.suppliers.exports.items() if len(one.files) == 1]
    if not found:
        return None
    account = world.random.choice(found)
    [lines] = world.suppliers.exports[account].files.values()
    return account, lines


def _line(world: BilledWorld, account: str) -> Charge:
    """A line of an account, within its time."""
    dice, one = world.random, world.suppliers.exports[account]
    start_ns = dice.randint(one.span.start_ns, one.span.end_ns - 1)
    line = a_charge("", "0", (start_ns, dice.randint(start_ns + 1, one.span.end_ns)))
    line = replace(
        line,
        issuer=one.issuer,
        invoice=f"{account}/",
        line="",
        resource_id=f"vm-{dice.randint(0, 2)}" if one.issuer == _BILLER else world.name("vm"),
        other=((_ACCOUNT, account),),
    )
    if one.issuer == API:
        line = replace(line, provider=API, service_category=API_CATEGORY)
    line = _with_amount(line, dice.randint(-(10**15), 10**16))
    return _committed(world, line) if one.issuer == _EXPORTER and dice.random() < 0.4 else line


def _committed(world: BilledWorld, line: Charge) -> Charge:
    """Make `line` one of a commitment: its purchase costs nothing; its use does, or its rest."""
    dice = world.random
    status, pricing = dice.choice(_COMMITTED)
    told = {COMMITMENT: f"plan-{dice.randint(0, 1)}", "CommitmentDiscountStatus": status}
    other = tuple(sorted({**dict(line.other), **told, "PricingCategory": pricing}.items()))
    if not status:
        return replace(line, charge_category="Purchase", effective_pico=0, other=other)
    billed = line if dice.random() < 0.2 else replace(line, amount_pico=0, exact="0")
    return replace(billed, effective_pico=dice.randint(0, 10**13), other=other)


def _with_amount(line: Charge, quadrillionths: int) -> Charge:
    """`line` at an amount that may be finer than 10^-12."""
    exact = Decimal(quadrillionths).scaleb(-15)
    pico = int((exact * 10**12).to_integral_value(ROUND_HALF_EVEN))
    return replace(line, amount_pico=pico, exact=format(exact, "f"))
