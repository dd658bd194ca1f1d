"""Files in our own formats, read by whichever reader recognises them."""

from __future__ import annotations

import pytest

from inferworks.books.bills.base import BillFile, BillReader, bill_file, no_progress
from inferworks.books.bills.depreciation import DepreciationReader
from inferworks.books.bills.detect import reader_for
from inferworks.books.bills.payroll import PayrollReader
from inferworks.books.bills.voucher import VoucherReader
from inferworks.books.charge import Charge
from inferworks.errors import BillError

PAYROLL = """\
person,start,end,gross,employer_cost,currency,split
ann,2026-11-01,2026-12-01,6000.00,1320.01,USD,node:gpu-3=2 activity:support=1
bob,2026-11-01,2026-12-01,5000.00,1100.00,USD,
"""
ASSETS = """\
asset,resource,cost,salvage,life_months,method,in_service,currency
GPU server 3,gpu-3,100000.00,10000.00,36,straight-line,2026-01-31,USD
Switch 1,switch-1,9000.00,100,24,declining,2026-11-15,USD
"""
VOUCHERS = """\
id,period,natural_class,amount,currency,description,supplier,service_category,service_name,resource,team,department
V-1,2026-11,colocation,4200.00,USD,Cage in hall 2,Hall Two Ltd,Compute,,gpu-3,infra,
V-2,2026-11-21,other,-35.00,USD,Refund of a deposit,,,,,,office
"""
READERS: tuple[BillReader, ...] = (PayrollReader(), DepreciationReader(), VoucherReader())
DAY_NS = 86_400 * 10**9


def file(text: str) -> BillFile:
    """`text` as a file."""
    return bill_file("file.csv", text.encode())


def read(text: str, currency: str = "USD") -> tuple[Charge, ...]:
    """The charges of a file, by whichever reader recognises it."""
    bill = file(text)
    return reader_for(bill, READERS).read(bill, currency, no_progress)


def problems(text: str) -> list[str]:
    """The lines of the refusal of a file."""
    with pytest.raises(BillError) as refused:
        read(text)
    return str(refused.value).splitlines()
