"""A provider's bill takes the place of its estimate, whatever it calls itself; else it is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from tests.support.command_line import invoke, run

from inferworks.errors import ConfigError

CALLS = (
    "source,id,provider,model,customer,purpose,start,end,input_tokens\n"
    "gw,1,azure,gpt-5-mini,acme,serve-paid,2026-11-10T09:00:00Z,2026-11-10T09:00:01Z,4000000\n"
)
UPSTREAM = '[[upstream]]\nname = "c"\nprovider = "azure"\nresource = "x"\n'
BILL = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,ServiceName
7.00,USD,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,ISSUER,AI and Machine Learning,SERVICE
"""


@pytest.fixture(autouse=True)
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which a call at Azure waits for its bill."""
    monkeypatch.chdir(tmp_path)
    Path("calls.csv").write_text(CALLS)
    run("usage", "import", "calls.csv")


def billed(issuer: str, service: str) -> Result:
    """Import a bill of 7.00."""
    Path("bill.csv").write_text(BILL.replace("ISSUER", issuer).replace("SERVICE", service))
    return invoke("books", "import", "bill.csv")


def statement() -> tuple[str, dict[str, str], str]:
    """Amount billed, cost of each customer, and the notes."""
    result = invoke("books", "statement", "--period", "2026-11", "--json")
    drawn = json.loads(result.output)
    costs = {row["customer"]: row["cost_of_revenue"] for row in drawn["customers"]}
    return drawn["billed"], costs, "\n".join(drawn["notes"])


def test_a_bill_under_the_name_of_its_issuer() -> None:
    """Microsoft's Foundry Models are the calls at Azure: nothing is asked, nothing counts twice."""
    assert "[[billed]]" not in billed("Microsoft", "Foundry Models").output
    assert statement()[:2] == ("7.00", {"acme": "7.00"})


@pytest.mark.parametrize(
    "answer",
    [
        '[[billed]]\nnames = ["CONTOSO CLOUD"]\nproviders = ["azure"]\n',
        '[[billed]]\nservices = ["LLM Gateway"]\nproviders = ["azure"]\n',
        f'{UPSTREAM}models = ["gpt-5-mini"]\nbilled_by = ["Contoso Cloud"]\n',
    ],
)
def test_a_bill_under_a_name_that_nobody_knows(answer: str) -> None:
    """The import and the statement ask; a row of the configuration answers, also afterwards."""
    imported = billed("Contoso Cloud GmbH", "LLM Gateway")
    assert "calls at azure have no bill" in imported.output
    amount, costs, notes = statement()
    assert (amount, costs) == ("8.00", {"acme": "1.00", "(unallocated)": "7.00"})
    assert 'names = ["Contoso Cloud GmbH"], services = ["LLM Gateway"]' in notes
    Path("inferworks.toml").write_text(answer)
    amount, costs, notes = statement()
    assert (amount, costs) == ("7.00", {"acme": "7.00"})
    assert "[[billed]]" not in notes


def test_a_model_that_is_billed_under_the_name_of_its_upstream() -> None:
    """A bill names the upstream's model; calls under another name are found on it."""
    Path("inferworks.toml").write_text(
        f'{UPSTREAM}models = [{{ name = "gpt-5-mini", upstream = "house-model-7" }}]\n'
    )
    Path("bill.csv").write_text(
        BILL.replace("ISSUER", "Microsoft")
        .replace("SERVICE\n", "Foundry Models,house-model-7 input tokens\n")
        .replace("ServiceName\n", "ServiceName,SkuMeter\n")
    )
    run("books", "import", "bill.csv")
    assert statement()[:2] == ("7.00", {"acme": "7.00"})


@pytest.mark.parametrize("row", ['names = ["X"]', 'providers = ["azure"]', ""])
def test_a_row_that_says_nothing_is_refused(row: str) -> None:
    """A row must say both whose calls it is about and how the bill names that."""
    Path("inferworks.toml").write_text(f"[[billed]]\n{row}\n")
    error = invoke("books", "statement").exception
    assert isinstance(error, ConfigError)
    assert "[[billed]] 1: name the `providers`" in str(error)


def test_an_estimate_in_books_of_another_currency() -> None:
    """A dollar by the rate of the day; without a rate, a note of what is missing."""
    Path("inferworks.toml").write_text('[books]\ncurrency = "EUR"\n')
    amount, _, notes = statement()
    assert amount == "0.00"
    assert "4000000 tokens of azure have no exchange rate from USD and no bill yet" in notes
    Path("rates.csv").write_text("date,from,to,rate,source\n2026-11-10,USD,EUR,0.90,ECB\n")
    run("books", "import", "rates.csv")
    assert statement()[:2] == ("0.90", {"acme": "0.90"})
