"""Vouchers: what no cloud bills, typed by hand."""

from __future__ import annotations

from tests.support.own_bills import DAY_NS, VOUCHERS, problems, read

from inferworks.books.charge import NaturalClass
from inferworks.money import format_pico


def test_a_voucher_is_a_charge_with_hints() -> None:
    """A month or a day, what was bought, and the columns that decide its pool."""
    cage, refund = read(VOUCHERS)
    assert (cage.period_end_ns - cage.period_start_ns, refund.period_end_ns % DAY_NS) == (
        30 * DAY_NS,
        0,
    )
    assert (cage.natural_class, cage.provider) == (NaturalClass.COLOCATION, "Hall Two Ltd")
    assert (cage.service_category, cage.resource_id) == ("Compute", "gpu-3")
    assert dict(cage.other) == {"team": "infra"}
    assert format_pico(refund.amount_pico) == "-35.00"
    assert refund.period_end_ns - refund.period_start_ns == DAY_NS


def test_every_bad_cell_of_a_voucher_is_reported() -> None:
    """Period, class, amount and an id that stands twice."""
    bad = VOUCHERS.replace("2026-11,", "2026-13,").replace("other", "fun").replace("V-2", "V-1")
    lines = problems(bad.replace("-35.00", "much"))
    columns = [line.split("column ")[1].split(":")[0] for line in lines]
    assert columns == ["period", "natural_class", "amount", "id"]
