"""Expired credit of a prepaid limit is written off: once, and no more than was left of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.limits.test_limiter import Place, limit, lived, money

from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind
from inferworks.clock import SimClock
from inferworks.limits.limiter import LimitReachedError


def prepaid(amount: int) -> Limit:
    """Return a prepaid limit."""
    customer = Scope(ScopeKind.CUSTOMER, "acme")
    return limit(amount, Measure.MONEY, scope=customer, spent_before=0)


def test_what_has_expired_unused_is_used_up(tmp_path: Path) -> None:
    """So much is written off as the calls have not used; a second time changes nothing."""
    of = prepaid(1000)

    async def scenario(place: Place, clock: SimClock) -> None:
        hold = await place.hold(money(100), of)
        hold.end(money(60))
        await place.limiter.write_off([(of, 400)])
        held, settled = place.budget(of)
        assert settled == 340
        await place.limiter.write_off([(of, 400)])
        await place.limiter.write_off([(of, 300)])
        assert place.budget(of) == (held, settled)
        with pytest.raises(LimitReachedError):
            await place.hold(money(601), of)
        (await place.hold(money(600), of)).end(money(600))

    place = lived(tmp_path, scenario)
    assert place.budget(of) == (0, 1000)


def test_credit_that_was_used_is_not_written_off(tmp_path: Path) -> None:
    """Calls had used it before it expired."""
    of = prepaid(1000)

    async def scenario(place: Place, clock: SimClock) -> None:
        hold = await place.hold(money(500), of)
        hold.end(money(500))
        await place.limiter.write_off([(of, 400)])

    assert lived(tmp_path, scenario).budget(of) == (0, 500)


def test_it_is_written_off_at_a_gateway_that_served_no_call(tmp_path: Path) -> None:
    """The first draw comes later, and finds it gone."""
    of = prepaid(1000)

    async def scenario(place: Place, clock: SimClock) -> None:
        await place.limiter.write_off([(of, 1000)])
        with pytest.raises(LimitReachedError):
            await place.hold(money(1), of)

    lived(tmp_path, scenario)


def test_an_amount_that_is_lowered_is_kept_by_what_is_in_hand_too(tmp_path: Path) -> None:
    """Credit is paid back: a gateway that has drawn it spends none of it from then on."""
    of = limit(1000, Measure.MONEY)
    less = limit(500, Measure.MONEY, revision=2)

    async def scenario(place: Place, clock: SimClock) -> None:
        for number in range(4):
            (await place.hold(money(100), of, call=f"call_{number}")).end(money(100))
        assert place.budget(of)[0] > 100, "more is in hand than one call takes"
        (await place.hold(money(100), less)).end(money(100))
        with pytest.raises(LimitReachedError):
            await place.hold(money(1), less)

    assert lived(tmp_path, scenario).budget(of) == (0, 500)
