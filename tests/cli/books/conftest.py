"""A data folder for the tests of views."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from tests.support.views import books

from inferworks.accounts.customer import Customer
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.capacity import State
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_step, a_usage, an_interval

DAY_NS = 1_795_219_200 * 10**9  # 2026-11-21
SECOND_NS = 10**9
BILL = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,ResourceId
10.00,USD,2026-11-21T00:00:00Z,2026-11-21T00:00:10Z,A Cloud,Compute,node-1
1.00,USD,2026-11-21T00:00:00Z,2026-11-21T00:00:10Z,A Cloud,Networking,
"""


@pytest.fixture
def november(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data folder where acme paid 14.00 for four of ten seconds; a machine and traffic were billed."""
    monkeypatch.chdir(tmp_path)
    folder = DataFolder(Path("inferworks-data"))
    folder.create()
    acme = CustomerId("acme")
    plan = PricePlan.per_million(acme, DAY_NS, "USD", "8.00", "12.00")
    with closing(SqliteAccounts(folder.accounts)) as accounts:
        accounts.add_customer(Customer(acme, DAY_NS), plan)
    tokens = Tokens(input=1_000_000, output=500_000)
    store = SqliteStore(folder.journal)
    store.open()
    with closing(store):
        store.write(
            [
                a_usage("call-1", opened_ns=DAY_NS, tokens=tokens, sent_bytes=500),
                a_step(0, DAY_NS, 4 * SECOND_NS, [("call-1", 10, 0, 0)]),
                *an_interval(
                    (DAY_NS, DAY_NS + 10 * SECOND_NS),
                    {State.ACTIVE: 4 * SECOND_NS, State.IDLE: 6 * SECOND_NS},
                ),
            ]
        )
    Path("bill.csv").write_text(BILL)
    assert books("import", "bill.csv").exit_code == 0
