"""Causes of the difference between two statements' gross margins, exact to the picounit.

Problem. "Cost of revenue rose by 40" is no answer. Was more sold, at another price, with another mix of
models; did caches save work, did machines stand idle, did suppliers charge more, was something booked
late? Cost tools explain a change by varying one factor after the other and so give another answer for
another order, with a remainder ("joint variance") that has no cause.

Decision. Each statement is written as a sum of products of factors, such that the product is the booked
amount on both sides:

    revenue of a unit of a model, to a customer   volume x mix x cache x price
    what a call's use cost, in a pool             volume x mix x cache x bills
    use that no price counts, unused capacity     at the prices of then (volume; idle) x bills

Each product's change is divided among its factors by their Shapley value: what a factor adds, averaged
over all orders in which the factors could have changed. It depends on no order, gives nothing to a factor
that did not change, is negated when the two times are swapped, and sums to the change. It is computed
exactly, as a polynomial in whole numbers, and rounded once for each product by largest remainder, so that
every part of the table, by customer or by cause, sums to what is booked (theorem 20).

The factors. *Volume* is the total quantity sold: tokens, or another unit. *Mix* is the share of a
customer and model. *Cache* is the part of the input that was read from a cache: it is sold cheaper, and
takes no machine time. *Price* is the average revenue of a unit, less discounts. *Bills* is our cost of a
unit: for costs that vary with use (variable cost, and the time of machines), per unit; for all others the
amount. *Idle* is unused capacity at constant cost. To distinguish a more expensive machine from a less
used one, a pool's unused capacity is valued at an index of the cost of the same answers in it then and
now, after Edgeworth and Marshall: with the quantities of both times, so that neither time is the
reference. *Fees* are subscriptions, minimums and expired credit. *Late* are the corrections that each
statement posts for closed periods.

A factor that is unknown on one side (the price of a unit that was not sold) is taken from the other side:
a new customer is volume and mix, not a price that rose from zero.

Rejected. One factor after the other, volume first (its answer is one of many). A joint variance (nobody
can act on it). Machine hours instead of tokens for capacity (a bill in two lines would double them, and
no sealed statement has them): faster machines lower the cost of a token, so bills show them. Causes of
the margin in per cent (a ratio has no additive parts).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeAlias, TypeVar

from inferworks.accounts.directory import Directory, Named
from inferworks.books.allocation.pools import Behaviour, DriverKind
from inferworks.books.analysis.bridge import IDLE_METHOD
from inferworks.books.analysis.change_effects import Cause, Effect, Explained, Part
from inferworks.books.charge import COST_OF_REVENUE
from inferworks.books.revenue.rating import Item
from inferworks.books.statement.computation import Line
from inferworks.books.statement.corrections import Correction
from inferworks.books.statement.invariants import cause_by_cause
from inferworks.books.statement.statement import Statement
from inferworks.catalog.units import BILLABLE, DIRECTIONS, INPUT
from inferworks.ids import CustomerId
from inferworks.money import split
from inferworks.units import Unit


class Factor(NamedTuple):
    """One factor of a product, at the two times: `then` and `now` over `of`, all whole numbers."""

    cause: Cause
    then: int
    now: int
    of: int = 1


def explain_change(now: Statement, then: Statement) -> Explained:
    """Return the causes by which the gross margin of `now` differs from that of `then`, in one currency.

    Pure; the order of rows leaves no trace. BooksError when the causes do not sum to the change.
    """
    sums: dict[tuple[Cause, Part], int] = defaultdict(int)
    for part, sign, factors in _products(_Figures(then), _Figures(now)):
        for cause, pico in effects_of(factors).items():
            sums[cause, part] += sign * pico
    order = {cause: number for number, cause in enumerate(Cause)}
    keys = sorted((key for key in sums if sums[key]), key=lambda key: (order[key[0]], key[1]))
    effects = tuple(Effect(*key, sums[key]) for key in keys)
    called = {**dict(then.names), **dict(now.names)}  # as now, or else as then; no two alike
    directory = Directory(names=tuple(Named(CustomerId(c), 0, name) for c, name in called.items()))
    names = directory.shown(0, {effect.part.customer for effect in effects})
    explained = Explained(then.gross_margin_pico, now.gross_margin_pico, effects, names)
    cause_by_cause(explained.change_pico, (effect.amount_pico for effect in effects))
    return explained


def effects_of(factors: Sequence[Factor]) -> dict[Cause, int]:
    """The change of the product of `factors` divided among their causes, by Shapley value.

    The product must be whole on both sides. The factor `i` adds (now - then) times the mean, over all
    orders, of the others' product; summed by how many of them have changed before it, that is a polynomial.
    What did not change only multiplies it. Each part is within one unit of its exact value; of equal
    remainders the first cause has it.
    """
    exact = dict.fromkeys((factor.cause for factor in factors), 0)
    changed = [factor for factor in factors if factor.then != factor.now]
    unchanged = math.prod(factor.now for factor in factors if factor.then == factor.now)
    count = len(changed)
    orders = [math.factorial(k) * math.factorial(count - 1 - k) for k in range(count)]
    for factor in changed:
        products = [unchanged]  # sums of products, by how many factors have changed
        for other in changed:
            if other is not factor:
                products = [
                    other.then * stays + other.now * changes
                    for stays, changes in zip((*products, 0), (0, *products), strict=True)
                ]
        mean = sum(weight * product for weight, product in zip(orders, products, strict=True))
        exact[factor.cause] += (factor.now - factor.then) * mean
    return _whole(exact, math.factorial(count) * math.prod(factor.of for factor in factors))


def _whole(parts: Mapping[Cause, int], denominator: int) -> dict[Cause, int]:
    """`parts` over `denominator`, rounded to whole numbers that keep their sum; negated parts, negated.

    What is cut off towards zero is handed out by largest remainder. There are always more remainders of
    the right sign than units, so a part of nothing stays nothing.
    """
    whole = {
        cause: abs(part) // denominator * (1 if part > 0 else -1) for cause, part in parts.items()
    }
    missing = sum(parts.values()) // denominator - sum(whole.values())
    unit = 1 if missing > 0 else -1
    rests = {cause: unit * (part - whole[cause] * denominator) for cause, part in parts.items()}
    for cause in sorted(rests, key=lambda cause: (-rests[cause], cause))[: abs(missing)]:
        whole[cause] += unit
    return whole


_Key = TypeVar("_Key", bound=tuple[object, ...])
_Pair: TypeAlias = tuple[int, int]
"""A quantity then and now."""


class _Use(NamedTuple):
    """Key of the use of a pool by calls."""

    pool: str
    customer: str
    model: str
    direction: str
    timed: bool
    """True if it is divided by machine time, of which cached input takes none."""


class _Sale(NamedTuple):
    """Key of the sale of a unit."""

    customer: str
    model: str
    unit: Unit


class _Figures:
    """The amounts and quantities of a statement, without what it books for closed periods."""

    def __init__(self, statement: Statement) -> None:
        self.sold: dict[_Sale, int] = defaultdict(int)
        """Quantity of each unit that was sold."""
        self.earned: dict[_Sale, int] = defaultdict(int)
        """Revenue of each sale in picounits, discounts taken off."""
        self.fees: dict[Part, int] = defaultdict(int)
        self.used: dict[_Use, int] = defaultdict(int)
        self.unused: dict[Part, int] = defaultdict(int)
        self.fixed: dict[Part, int] = defaultdict(int)
        self.late: dict[Part, int] = defaultdict(int)
        self._discounts: dict[tuple[str, str], int] = defaultdict(int)
        booked: list[tuple[int, Statement | Correction]] = [(1, statement)]
        booked += [(-1, correction) for correction in statement.corrections]
        for sign, source in booked:
            for row in source.revenue_rows:
                pico = sign * row.amount_pico
                if row.item is Item.USAGE and row.unit is not None:
                    sale = _Sale(row.customer, row.model, row.unit)
                    self.sold[sale] += sign * row.quantity
                    self.earned[sale] += pico
                elif row.item is Item.DISCOUNT:
                    self._discounts[row.customer, row.model] += pico
                else:
                    self.fees[Part(customer=row.customer)] += pico
            for line in source.lines:
                self._cost(line, sign)
        for correction in statement.corrections:
            costs = (n.amount_pico for n in correction.lines if n.function in COST_OF_REVENUE)
            self.late[Part(period=correction.period.name)] += correction.revenue_pico - sum(costs)
        self._take_discounts_off()
        self.piles: dict[_Pile, int] = defaultdict(int)
        self.totals: dict[str, int] = defaultdict(int)
        self.tokens: dict[tuple[str, str, str], int] = defaultdict(int)
        self.cached: dict[tuple[str, str, str], int] = defaultdict(int)
        for sale, quantity in self.sold.items():
            pile = _pile_of(sale)
            self.piles[pile] += quantity
            self.totals[pile.kind] += quantity
            if sale.unit in DIRECTIONS:
                for direction in (DIRECTIONS[sale.unit], ""):
                    key = (sale.customer, sale.model, direction)
                    self.tokens[key] += quantity
                    self.cached[key] += quantity if sale.unit is Unit.CACHE_READ_TOKENS else 0

    def _cost(self, line: Line, sign: int) -> None:
        target, pico = line.target, sign * line.amount_pico
        if line.function not in COST_OF_REVENUE:
            return
        timed = line.method.startswith(DriverKind.NODE_TIME.value + "/")
        if target.unused is not None or IDLE_METHOD in line.method:
            self.unused[Part(line.pool)] += pico
        elif target.model and (timed or line.behaviour is Behaviour.VARIABLE):
            direction = target.direction or ""
            self.used[_Use(line.pool, target.customer or "", target.model, direction, timed)] += (
                pico
            )
        else:
            self.fixed[Part(line.pool, target.customer or "", target.model or "")] += pico

    def _take_discounts_off(self) -> None:
        """A discount lowers the price of the units it was given on; that on no unit is a fee."""
        units: dict[tuple[str, str], dict[_Sale, int]] = defaultdict(dict)
        for sale, pico in self.earned.items():
            units[sale.customer, sale.model][sale] = abs(pico) if self.sold[sale] else 0
        for key, pico in self._discounts.items():
            if any(units[key].values()):
                for sale, part in split(pico, units[key]).items():
                    self.earned[sale] += part
            else:
                self.fees[Part("", *key)] += pico
        for sale in [sale for sale in self.earned if not self.sold[sale]]:
            self.fees[Part("", sale.customer, sale.model)] += self.earned.pop(sale)
            self.sold.pop(sale)


class _Pile(NamedTuple):
    """Sales of one model to one customer, cached or not."""

    customer: str
    model: str
    what: str
    kind: str
    """Kind of unit: all tokens are one kind, every other unit is its own."""


_TEXT_INPUT = frozenset(
    unit for unit, side in DIRECTIONS.items() if side == INPUT and not BILLABLE[unit].is_modality
)


def _pile_of(sale: _Sale) -> _Pile:
    what = INPUT if sale.unit in _TEXT_INPUT else sale.unit.value
    kind = "tokens" if sale.unit in DIRECTIONS else sale.unit.value
    return _Pile(sale.customer, sale.model, what, kind)


_Product: TypeAlias = tuple[Part, int, tuple[Factor, ...]]
"""Part of the margin, sign (1 for revenue, -1 for cost), and the factors."""


def _products(then: _Figures, now: _Figures) -> Iterator[_Product]:
    """Return both statements as sums of the same products."""
    for sale in sorted({*then.sold, *now.sold}):
        pile = _pile_of(sale)
        parts = then.piles[pile], now.piles[pile]
        sold = then.sold[sale], now.sold[sale]
        earned = then.earned[sale], now.earned[sale]
        factors = (
            *_volume_and_mix(then, now, pile.kind, parts),
            _ratio(Cause.CACHE, sold, parts),
            _ratio(Cause.PRICE, earned, sold),
        )
        yield Part(customer=sale.customer, model=sale.model), 1, factors
    yield from _use_products(then, now)
    for sign, cause, before, after in (
        (1, Cause.FEES, then.fees, now.fees),
        (-1, Cause.BILLS, then.fixed, now.fixed),
        (1, Cause.LATE, then.late, now.late),
    ):
        for part, *amounts in _beside(before, after):
            yield part, sign, (Factor(cause, *amounts),)


def _volume_and_mix(
    then: _Figures, now: _Figures, kind: str, parts: _Pair
) -> tuple[Factor, Factor]:
    """Return the volume factor of a kind, and the mix factor of its part `parts`."""
    totals = then.totals[kind], now.totals[kind]
    return Factor(Cause.VOLUME, *totals), _ratio(Cause.MIX, parts, totals)


class _Counted(NamedTuple):
    """Tokens of a use at one time, those that took machine time, and their cost."""

    tokens: int
    worked: int
    cost_pico: int


def _use_products(then: _Figures, now: _Figures) -> Iterator[_Product]:
    """Yield the products of use by calls and of unused capacity, which each pool's use measures."""
    counted: dict[_Use, tuple[_Counted, _Counted]] = {}
    for use in sorted({*then.used, *now.used}):
        sides = (_counted(use, then), _counted(use, now))
        if not any(side.cost_pico and not side.worked for side in sides):
            counted[use] = sides
    indices = _indices(counted)
    for use, *costs in _beside(then.used, now.used):
        part = Part(use.pool, use.customer, use.model)
        if use not in counted:
            yield part, -1, _at_constant_cost(Cause.VOLUME, costs, indices[use.pool])
            continue
        before, after = counted[use]
        worked = before.worked, after.worked
        tokens = before.tokens, after.tokens
        factors = (
            *_volume_and_mix(then, now, "tokens", tokens),
            _ratio(Cause.CACHE, worked, tokens),
            _ratio(Cause.BILLS, (before.cost_pico, after.cost_pico), worked),
        )
        yield part, -1, factors
    for part, *costs in _beside(then.unused, now.unused):
        yield part, -1, _at_constant_cost(Cause.IDLE, costs, indices[part.pool])


def _counted(use: _Use, figures: _Figures) -> _Counted:
    """Return the tokens and the cost of `use` in one of the statements."""
    key = (use.customer, use.model, use.direction)
    tokens = figures.tokens[key]
    worked = tokens - figures.cached[key] if use.timed else tokens
    return _Counted(tokens, worked, figures.used[use])


def _indices(counted: Mapping[_Use, tuple[_Counted, _Counted]]) -> dict[str, Fraction]:
    """Return by pool the cost of the same answers now, over that of then; 1 where it is unknown.

    Over the uses of both times, at the quantities of both (Edgeworth, Marshall). Rounded to picounits
    below and above the line, so that swapping the times inverts it exactly.
    """
    sums: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for use, (before, after) in counted.items():
        if before.cost_pico and after.cost_pico:
            quantity = before.worked + after.worked
            then_pico, now_pico = sums[use.pool]
            sums[use.pool] = (
                then_pico + before.cost_pico * quantity // before.worked,
                now_pico + after.cost_pico * quantity // after.worked,
            )
    indices: dict[str, Fraction] = defaultdict(lambda: Fraction(1))
    for pool, (then_pico, now_pico) in sums.items():
        if then_pico > 0 and now_pico > 0:
            indices[pool] = Fraction(now_pico, then_pico)
    return indices


def _at_constant_cost(cause: Cause, costs: Sequence[int], index: Fraction) -> tuple[Factor, ...]:
    """A cost that no quantity is known of: as it would be at the cost of then, and what that rose to."""
    then_pico, now_pico = costs
    was, now = index.denominator, index.numerator
    amount = Factor(cause, then_pico * now, now_pico * was, now)
    return amount, Factor(Cause.BILLS, was, now, was)


def _ratio(cause: Cause, part: _Pair, whole: _Pair) -> Factor:
    """The parts of the wholes, then and now; where there was no whole, as at the other time."""
    (then, now), (then_of, now_of) = part, whole
    if not then_of and not now_of:
        return Factor(cause, 0, 0)
    if not then_of or not now_of:
        known, of = (now, now_of) if now_of else (then, then_of)
        return Factor(cause, known, known, of)
    return Factor(cause, then * now_of, now * then_of, then_of * now_of)


def _beside(then: Mapping[_Key, int], now: Mapping[_Key, int]) -> Iterator[tuple[_Key, int, int]]:
    """Every key with the amounts of both times, sorted."""
    for key in sorted({*then, *now}):
        yield key, then.get(key, 0), now.get(key, 0)
