"""Make the files of Larkspur, a fictional company, as its suppliers' products export them.

    python make.py FOLDER

Two months, September and October 2025, each a folder of raw exports; beside them the price plans, the
checklist of invoices, and later files: the bill that was late, and the one that was restated. The same
bytes each time: everything is drawn from one seed, in whole numbers.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from bills import anthropic, aws, azure, google, halden, nordlicht, openai, openrouter, runpod
from company import (
    CUSTOMERS,
    GPU,
    MODELS,
    MONTHS,
    POD,
    SEED,
    Call,
    Model,
    days_of,
    money,
    next_month,
    table,
)


def main(folder: Path) -> None:
    """Write all of it."""
    draw = random.Random(SEED)  # noqa: S311 the same papers each time
    plans(folder / "plans")
    for first in MONTHS:
        month(folder / f"{first:%Y-%m}", first, draw)
    table(folder / "2025-09" / "halden-focus.csv", [halden(MONTHS[0], "112.75")])
    early(folder / "early")
    late(folder / "later")


def month(folder: Path, first: dt.date, draw: random.Random) -> None:
    """One month's exports, each in the form of its product."""
    days = days_of(first)
    calls = list(calls_of(days, draw))
    sums = {name: list(by_day(calls, name)) for name in ("openai", "anthropic")}
    folder.mkdir(parents=True, exist_ok=True)
    litellm(folder / "litellm-spend.jsonl", calls)
    table(folder / "slurm-jobs.csv", jobs(days))
    table(folder / "stored.csv", stored(first))
    owed = {
        "Amazon Web Services, Inc.": table(
            folder / "aws-cur2.csv", aws(days), "line_item_unblended_cost"
        ),
        "Microsoft": table(folder / "azure-cost-details.csv", azure(days), "costInBillingCurrency"),
        "Google Cloud": google(folder / "gcp-billing-export.json", days),
        "OpenAI": table(folder / "openai-costs.csv", openai(sums["openai"]), "amount_value"),
        "Anthropic": table(folder / "anthropic-cost.csv", anthropic(sums["anthropic"]), "cost_usd"),
        "OpenRouter": table(folder / "openrouter-activity.csv", openrouter(calls), "cost_total"),
        "RunPod": runpod(folder / "runpod-pods.json", days),
        "Halden Power AS": Decimal("112.75" if first == MONTHS[0] else "118.20"),
        "Nordlicht Speicher GmbH": table(
            folder / "nordlicht-focus.csv", nordlicht(first), "BilledCost"
        ),
    }
    table(folder / "clockify.csv", clockify(days))
    table(folder / "gusto-payroll.csv", payroll(first))
    (folder / "assets.csv").write_text(ASSETS, "utf-8")
    (folder / "vouchers.csv").write_text(VOUCHERS.format(month=f"{first:%Y-%m}"), "utf-8")
    table(folder / "ecb-rates.csv", rates(days))
    table(folder.parent / f"invoices-{first:%Y-%m}.csv", invoices(first, owed))


# --- what was used ------------------------------------------------------------------------------------


def calls_of(days: Sequence[dt.date], draw: random.Random) -> Iterable[Call]:
    """Yield the customers' calls, in order of time."""
    for number, day in enumerate(days):
        for customer, weekly in CUSTOMERS.items():
            for turn in range(weekly if day.weekday() == 0 else int(draw.random() < 0.5)):
                at = dt.datetime.combine(day, dt.time(8), dt.UTC) + dt.timedelta(
                    seconds=draw.randrange(36_000)
                )
                yield Call(
                    f"chatcmpl-{day:%m%d}-{customer}-{turn}",
                    at,
                    customer,
                    MODELS[(number + turn) % 3],
                    draw.randrange(20_000, 90_000),
                    draw.randrange(2_000, 12_000),
                )


def by_day(calls: Iterable[Call], provider: str) -> Iterable[tuple[dt.date, Model, int, int]]:
    """The tokens of one provider's calls, by day and model."""
    sums: dict[tuple[dt.date, Model], list[int]] = defaultdict(lambda: [0, 0])
    for call in calls:
        if call.model.provider == provider:
            own = sums[call.at.date(), call.model]
            own[0] += call.input
            own[1] += call.output
    for (day, model), (taken, given) in sorted(sums.items()):
        yield day, model, taken, given


def litellm(path: Path, calls: Iterable[Call]) -> None:
    """The spend logs of a LiteLLM proxy."""
    rows = (
        {
            "request_id": call.id,
            "call_type": "acompletion",
            "spend": float(money(call.pico, 12)),
            "prompt_tokens": call.input,
            "completion_tokens": call.output,
            "total_tokens": call.input + call.output,
            "startTime": f"{call.at:%Y-%m-%dT%H:%M:%SZ}",
            "endTime": f"{call.at + dt.timedelta(seconds=4):%Y-%m-%dT%H:%M:%SZ}",
            "model": call.model.name,
            "custom_llm_provider": call.model.provider,
            "team_id": call.customer,
            "end_user": "",
        }
        for call in calls
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def jobs(days: Sequence[dt.date]) -> Iterable[dict[str, object]]:
    """Yield the jobs on the two machines: training of our own, and a fine-tune that acme pays for."""
    for number, day in enumerate(days):
        hours = 18 if day.weekday() < 5 else 6
        yield job(f"train-{day:%m%d}", GPU, "train-gradient", day, hours, "")
        if number < 4:
            yield job(f"tune-{day:%m%d}", POD, "customer-training", day, 20, "acme")


def job(
    name: str, node: str, purpose: str, day: dt.date, hours: int, customer: str
) -> dict[str, object]:
    """One job of Slurm."""
    return {
        "source": "slurm",
        "id": name,
        "node": node,
        "purpose": purpose,
        "start": f"{day}T02:00:00Z",
        "end": f"{day}T{2 + hours:02d}:00:00Z",
        "customer": customer,
    }


def stored(first: dt.date) -> Iterable[dict[str, object]]:
    """Yield the contents of the buckets, as an inventory lists them."""
    for bucket, purpose, tera, customer in (
        ("larkspur-corpus", "data-prep", 3, ""),
        ("archive", "serve-paid", 2, "acme"),
        ("archive", "serve-paid", 1, "corvid"),
    ):
        yield {
            "bucket": bucket,
            "purpose": purpose,
            "start": first,
            "end": next_month(first),
            "bytes": tera * 10**12,
            "customer": customer,
        }


# --- people, assets, the rest -------------------------------------------------------------------------


def clockify(days: Sequence[dt.date]) -> Iterable[dict[str, object]]:
    """Yield a detailed report of Clockify: the repairers of the machine, with their hourly cost."""
    for day in [day for day in days if day.weekday() == 3]:
        yield {
            "Project": GPU,
            "Client": "",
            "Description": "Driver update",
            "Task": "",
            "User": "Ines Hartl",
            "Group": "",
            "Email": "ines@larkspur.example",
            "Tags": "",
            "Billable": "No",
            "Start Date": f"{day:%m/%d/%Y}",
            "Start Time": "09:00:00 AM",
            "End Date": f"{day:%m/%d/%Y}",
            "End Time": "11:30:00 AM",
            "Duration (h)": "02:30:00",
            "Duration (decimal)": "2.50",
            "Cost Rate (USD)": "64.00",
            "Cost Amount (USD)": "160.00",
        }


def payroll(first: dt.date) -> Iterable[dict[str, object]]:
    """A payroll register of Gusto."""
    people = (
        ("Okafor", "Ada", "Support", "5200.00", "986.40"),
        ("Lind", "Bo", "Engineering", "9800.00", "1764.00"),
        ("Varga", "Cleo", "Research", "11200.00", "2016.00"),
        ("Moss", "Dag", "Sales", "6100.00", "1159.00"),
        ("Roy", "Esha", "Finance", "7000.00", "1330.00"),
    )
    for last, name, department, gross, taxes in people:
        yield {
            "Last name": last,
            "First name": name,
            "Department": department,
            "Pay period start": f"{first:%m/%d/%Y}",
            "Pay period end": f"{next_month(first) - dt.timedelta(1):%m/%d/%Y}",
            "Gross earnings": gross,
            "Employer taxes": taxes,
        }


ASSETS = """\
asset,number,resource,cost,salvage,life_months,method,in_service,currency,department
Workstations,A-1,,10800.00,0,36,straight-line,2025-09-01,USD,engineering
Desks,A-2,,4320.00,0,72,straight-line,2025-09-01,USD,office
"""
"""The register of assets: the same in both months."""
VOUCHERS = """\
id,period,natural_class,amount,currency,description,department,supplier
V-{month}-1,{month},other,2400.00,USD,Office rent,office,Kontor Landlord
V-{month}-2,{month},licences,380.00,USD,Accounting software,finance,Ledgerly Inc
"""
"""Costs that no supplier's file contains."""
BY_VOUCHER = {"Kontor Landlord": Decimal(2400), "Ledgerly Inc": Decimal(380)}


def rates(days: Sequence[dt.date]) -> Iterable[dict[str, object]]:
    """Reference rates of the European Central Bank; made up."""
    for day in (days[0], days[14]):
        yield {
            "date": day,
            "from": "EUR",
            "to": "USD",
            "rate": "1.1650",
            "source": "ECB reference rate",
        }


def invoices(first: dt.date, owed: Mapping[str, Decimal]) -> Iterable[dict[str, object]]:
    """Yield the totals of the suppliers' invoices of the month, as accounts payable has them: in cents."""
    for issuer, total in (owed | BY_VOUCHER).items():
        currency = "EUR" if issuer.startswith("Nordlicht") else "USD"
        yield {
            "issuer": issuer,
            "month": f"{first:%Y-%m}",
            "currency": currency,
            "total": round(total, 2),
        }


# --- plans, and what comes later ----------------------------------------------------------------------


def plans(folder: Path) -> None:
    """A price plan for each customer."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in PLANS.items():
        (folder / f"{name}.toml").write_text(text, "utf-8")


FEE = """\
name = "Platform"
currency = "USD"
effective = 2025-09-01
subscription = "{}"

[[price]]
unit = "input_tokens"
graduated = [{{ up_to = 1_000_000, per_million = "4.00" }}, {{ per_million = "3.00" }}]

[[price]]
unit = "output_tokens"
per_million = "18.00"
"""
USAGE = """\
name = "As you go"
currency = "USD"
effective = 2025-09-01
minimum = "{}"

[[price]]
unit = "input_tokens"
per_million = "5.00"

[[price]]
unit = "output_tokens"
per_million = "25.00"
"""
PLANS = {
    "acme": FEE.format("29000.00"),
    "burns": USAGE.format("6500.00"),
    "corvid": FEE.format("24000.00"),
    "dune": USAGE.format("2500.00"),
}


def early(folder: Path) -> None:
    """Azure's costs of October before the month was rated for good: the same days at another price."""
    days = days_of(MONTHS[1])
    draft = [{**row, "costInBillingCurrency": "5.904"} for row in azure(days)]
    table(folder / "azure-cost-details.csv", draft)


def late(folder: Path) -> None:
    """Write the bills that arrive after October is closed: one that was awaited, and AWS's, restated."""
    days = days_of(MONTHS[1])
    table(folder / "halden-focus.csv", [halden(MONTHS[1], "118.20")])
    restated = [
        {**row, "line_item_unblended_cost": "362.33"}
        if "Support" in str(row["line_item_product_code"])
        else row
        for row in aws(days)
    ]
    table(folder / "aws-cur2.csv", restated)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
