"""The names of lines are on record in books of long ago: what is imported again must get the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from inferworks.books.bills.base import bill_file, no_progress
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.deliveries.canonical import decimal_text
from inferworks.books.repository.store import BookStore

HEADER = (
    "BilledCost,EffectiveCost,BillingCurrency,BillingAccountId,BillingPeriodStart,ChargePeriodStart,"
    "ChargePeriodEnd,ChargeCategory,ChargeDescription,ConsumedQuantity,ConsumedUnit,InvoiceId,"
    "InvoiceIssuerName,ProviderName,PricingUnit,RegionId,ResourceId,ServiceCategory,SubAccountId,Tags,"
    "x_LineId,x_Department,ListCost\n"
)
ROWS = """\
1.50,1.5,USD,a-1,2026-11-01,2026-11-03T00:00:00Z,2026-11-04T00:00:00Z,Usage,hours,24,h,,A Cloud,A,h,eu,\
vm-1,Compute,s-1,"{""team"":""x""}",,,1.50
1.50,1.5,USD,a-1,2026-11-01,2026-11-03T00:00:00Z,2026-11-04T00:00:00Z,Usage,hours,24,h,,A Cloud,A,h,eu,\
vm-1,Compute,s-1,"{""team"":""x""}",,,1.50
6.65679E-09,0.4838709677419368,USD,a-1,2026-11-01T00:00:00+00:00,2026-11-03 01:00,\
2026-11-03T03:30:00.5+01:00,Usage,Cafe\u0301,1e2,,INV-7, A Cloud ,,,,,Storage,,,,,0.10
-0.25,,USD,,,2026-11-30,2026-12-01,Credit,,,,,A Cloud,B,,,,,007,,line-9,sales,-0
"""
TWIN, TWIN_ABOUT, TWIN_CARRIED = (
    "chg_376281f254f117ca133ded57",
    "334458d366626fc9",
    "027ed23471cf13a2",
)
FINE, CREDIT = "chg_556e1de3130f1961516cfe25", "chg_1ff3ca636a8c048743520c88"
KNOWN = [
    (TWIN, TWIN, TWIN_ABOUT, TWIN_CARRIED),
    (FINE, FINE, "eb9095483d0368b8", "904efdc5c5c17053"),
    ("chg_e55886457dba026e2e668f19", TWIN, TWIN_ABOUT, TWIN_CARRIED),
    (CREDIT, CREDIT, "7582ea93055470c1", "3b317f7e2f8d637c"),
    ("c43321c7bcf148f577e8d8d3", b'["","INV-7"]'),
    ("1ff3ca636a8c048743520c88", b'[""]'),
]
"""As the program of November 2026 wrote them."""


def test_lines_have_the_names_that_they_had(tmp_path: Path) -> None:
    """Alike ones, amounts finer than a picounit, decomposed letters, other zones, a line's name."""
    bill = bill_file("a.csv", (HEADER + ROWS).encode())
    charges = FocusBillReader().read(bill, "USD", no_progress)
    with BookStore(tmp_path / "books.db") as store:
        store.add(bill, "focus", charges, 1)
    with closing(sqlite3.connect(tmp_path / "books.db")) as db:
        rows = db.execute("SELECT id, name, about, carried FROM lines ORDER BY part, id").fetchall()
        parts = db.execute("SELECT digest, invoices FROM parts ORDER BY number").fetchall()
    assert [*rows, *parts] == KNOWN


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 30))
def test_a_number_has_one_text(number: Decimal, zeros: int) -> None:
    """A number has one text, however many zeros and whatever exponent it is written with."""
    plain = f"{number:f}"
    padded = plain + ("" if "." in plain else ".") + "0" * zeros
    texts = {
        decimal_text(text) for text in (str(number), f"{number:E}", plain, padded, f"{padded}e0")
    }
    assert texts == {decimal_text(plain)}
    assert Decimal(texts.pop()) == number
