"""Price plans as TOML files that a person can read, write and sign. `docs/prices.md` shows each kind."""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Callable
from math import gcd
from typing import Any

import msgspec

from inferworks.accounts.plan import (
    AmountOff,
    Discount,
    Graduated,
    Package,
    PercentOff,
    PerUnit,
    Price,
    Scheme,
    Terms,
    Tier,
    Volume,
)
from inferworks.errors import UserError
from inferworks.ids import ModelId
from inferworks.misfit import misfit
from inferworks.money import Rate, parse_pico
from inferworks.units import NS_PER_SECOND, Unit

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something with a price: one unit, or a million of them."""

    up_to: int | None = None
    per_million: str | None = None
    each: str | None = None


class _Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int
    price: str


class _Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    unit: Unit
    models: tuple[ModelId, ...] = ()
    included: int = 0
    per_million: str | None = None
    each: str | None = None
    graduated: tuple[_Row, ...] | None = None
    volume: tuple[_Row, ...] | None = None
    package: _Package | None = None


class _Discount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    percent: str | None = None
    amount: str | None = None


class WrittenTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Terms as people write them: exact decimal numbers as text."""

    currency: str
    name: str = ""
    subscription: str = "0"
    minimum: str = "0"
    price: tuple[_Price, ...] = ()
    discount: tuple[_Discount, ...] = ()


class _PlanFile(WrittenTerms, frozen=True, kw_only=True):
    effective: Any = None
    """A TOML date or date-time."""


class PlanFile(msgspec.Struct, frozen=True):
    """Content of a plan file: terms and their start; None where it leaves that open."""

    terms: Terms
    effective_ns: int | None


def utc_midnight_ns(day: dt.date) -> int:
    """Return the start of `day` in UTC, in epoch nanoseconds."""
    return (day - _EPOCH.date()).days * 86_400 * NS_PER_SECOND


def read_plan(
    text: str, name: str, midnight_ns: Callable[[dt.date], int] = utc_midnight_ns
) -> PlanFile:
    """The plan in the TOML `text` of the file `name`; a date in it begins at `midnight_ns`.

    UserError, one line that begins with `name`, when it does not parse, has a field we do not know, or
    an amount that is no exact decimal number.
    """
    try:
        tables = tomllib.loads(text)
        file = msgspec.convert(tables, _PlanFile)
        return PlanFile(terms_of(file), _moment_ns(file.effective, midnight_ns))
    except msgspec.ValidationError as error:
        raise UserError(f"{name}: {misfit(error, tables, _PlanFile)}") from error
    except (tomllib.TOMLDecodeError, UserError) as error:
        raise UserError(f"{name}: {error}") from error


def terms_of(written: WrittenTerms) -> Terms:
    """Return the terms that are written; UserError when an amount is no exact decimal number."""
    return Terms(
        currency=written.currency,
        prices=tuple(
            Price(row.unit, _scheme(row, written.currency), row.models, row.included)
            for row in written.price
        ),
        subscription_pico=parse_pico(written.subscription),
        minimum_pico=parse_pico(written.minimum),
        discounts=tuple(map(_discount, written.discount)),
        name=written.name,
    )


def _scheme(row: _Price, currency: str) -> Scheme:
    """The one scheme that `row` names; UserError when it names none, or several."""
    schemes: list[Scheme] = []
    if row.per_million is not None or row.each is not None:
        flat = _Row(per_million=row.per_million, each=row.each)
        schemes.append(PerUnit(_pico(flat, row.unit, currency)))
    if row.graduated is not None:
        schemes.append(Graduated(_tiers(row.graduated, row.unit, currency)))
    if row.volume is not None:
        schemes.append(Volume(_tiers(row.volume, row.unit, currency)))
    if row.package is not None:
        schemes.append(Package(row.package.size, parse_pico(row.package.price)))
    if len(schemes) != 1:
        raise UserError(f"{row.unit}: give one of per_million, each, graduated, volume and package")
    return schemes[0]


def _tiers(rows: tuple[_Row, ...], unit: Unit, currency: str) -> tuple[Tier, ...]:
    return tuple(Tier(row.up_to, _pico(row, unit, currency)) for row in rows)


def _pico(row: _Row, unit: Unit, currency: str) -> int:
    """Picounits per unit."""
    match row.per_million, row.each:
        case str(text), None:
            return Rate.per_million(text, currency).pico_per_unit
        case None, str(text):
            return parse_pico(text)
    raise UserError(f"{unit}: give either per_million or each")


def _discount(row: _Discount) -> Discount:
    match row.percent, row.amount:
        case str(text), None:
            part = parse_pico(text)
            whole = parse_pico("100")
            # `part` of `whole`, in lowest terms
            common = gcd(part, whole)
            return PercentOff(part // common, whole // common)
        case None, str(text):
            return AmountOff(parse_pico(text))
    raise UserError("discount: give either percent or amount")


def _moment_ns(moment: object, midnight_ns: Callable[[dt.date], int]) -> int | None:
    """Nanoseconds since 1970-01-01 UTC; a date begins at midnight, a time without zone is UTC."""
    if moment is None:
        return None
    if not isinstance(moment, dt.date):
        raise UserError(f"effective: {moment!r} is no date; write 2026-12-01 without quotes")
    if not isinstance(moment, dt.datetime):
        return midnight_ns(moment)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - _EPOCH) // dt.timedelta(microseconds=1) * (NS_PER_SECOND // 10**6)
