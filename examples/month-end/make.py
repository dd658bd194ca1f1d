"""Makes up the papers of Larkspur, a company that does not exist, as its suppliers' products export them.

    python make.py FOLDER

Two months, September and October 2025, each a folder of raw exports; beside them the price plans, the
checklist of invoices, and what comes later: the bill that was late, and the one that was restated. The
same bytes each time: everything is drawn from one seed, in whole numbers.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

SEED = 20251101
MONTHS = (dt.date(2025, 9, 1), dt.date(2025, 10, 1))
CUSTOMERS = {"acme": 9, "burns": 4, "corvid": 6, "dune": 2}
"""Who calls, and how many calls a week."""
GPU, POD = "i-0f3a9c2d11e8b7a60", "pod-7xk2"
"""The machine that AWS bills and the pod that RunPod does."""


class Model(NamedTuple):
    """What Larkspur resells; prices in micro-dollars per million tokens."""

    provider: str
    name: str
    input: int
    output: int


MODELS = (
    Model("openai", "gpt-5-mini", 250_000, 2_000_000),
    Model("anthropic", "claude-sonnet-4-5", 3_000_000, 15_000_000),
    Model("openrouter", "gpt-oss-120b", 50_000, 250_000),
)


class Call(NamedTuple):
    """One call that the proxy served."""

    id: str
    at: dt.datetime
    customer: str
    model: Model
    input: int
    output: int

    @property
    def pico(self) -> int:
        """What its provider asks for it, in picounits."""
        return self.input * self.model.input + self.output * self.model.output


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
    """What customers called, in order of time."""
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
    """What ran on the two machines: training of our own, and a fine-tune that acme pays for."""
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
    """What lay in the buckets, as an inventory says it."""
    for bucket, purpose, tera, customer in (
        ("larkspur-corpus", "data-prep", 18, ""),
        ("archive", "serve-paid", 30, "acme"),
        ("archive", "serve-paid", 10, "corvid"),
    ):
        yield {
            "bucket": bucket,
            "purpose": purpose,
            "start": first,
            "end": next_month(first),
            "bytes": tera * 10**12,
            "customer": customer,
        }


# --- what was billed ----------------------------------------------------------------------------------


def aws(days: Sequence[dt.date]) -> Iterable[dict[str, object]]:
    """AWS Cost and Usage Report 2.0: a GPU machine by the day, a bucket, and support."""
    first, after = days[0], days[-1] + dt.timedelta(1)
    for day in days:
        yield cur(day, day + dt.timedelta(1), "AmazonEC2", "BoxUsage:g6e.12xlarge", GPU, "251.8272")
    yield cur(first, after, "AmazonS3", "TimedStorage-ByteHrs", "larkspur-corpus", "418.60")
    yield {
        **cur(first, after, "AWSSupportBusiness", "Support", "", "412.33"),
        "line_item_line_item_type": "Fee",
    }


def cur(
    start: dt.date, end: dt.date, code: str, usage: str, resource: str, cost: str
) -> dict[str, object]:
    """One line of it."""
    return {
        "identity_line_item_id": f"{start:%m%d}{code.lower()}",
        "bill_invoicing_entity": "Amazon Web Services, Inc.",
        "bill_payer_account_id": "441100998877",
        "bill_billing_period_start_date": f"{start.replace(day=1)}T00:00:00Z",
        "bill_billing_period_end_date": f"{next_month(start)}T00:00:00Z",
        "line_item_usage_account_id": "441100998878",
        "line_item_line_item_type": "Usage",
        "line_item_usage_start_date": f"{start}T00:00:00Z",
        "line_item_usage_end_date": f"{end}T00:00:00Z",
        "line_item_product_code": code,
        "line_item_usage_type": usage,
        "line_item_resource_id": resource,
        "line_item_currency_code": "USD",
        "line_item_unblended_cost": cost,
        "product_region_code": "eu-central-1",
        "resource_tags": json.dumps(
            {"user_team": "engineering"} if code.startswith("AWSS") else {}
        ),
    }


def azure(days: Sequence[dt.date]) -> Iterable[dict[str, object]]:
    """Azure cost details of a Microsoft Customer Agreement: the web servers."""
    first, last = days[0], days[-1]
    for day in days:
        yield {
            "invoiceId": f"G{first:%y%m}7714",
            "billingAccountId": "8b1c:2f",
            "billingPeriodStartDate": f"{first:%m/%d/%Y}",
            "billingPeriodEndDate": f"{last:%m/%d/%Y}",
            "date": f"{day:%m/%d/%Y}",
            "serviceFamily": "Compute",
            "meterCategory": "Azure App Service",
            "meterName": "P1 v3 App",
            "meterId": "m-41",
            "resourceLocation": "westeurope",
            "quantity": "24",
            "unitOfMeasure": "1 Hour",
            "costInBillingCurrency": "5.448",
            "billingCurrency": "USD",
            "chargeType": "Usage",
            "SubscriptionId": "sub-1",
            "resourceId": "/subscriptions/sub-1/sites/larkspur-web",
            "tags": json.dumps({"team": "operations"}),
        }


def google(path: Path, days: Sequence[dt.date]) -> Decimal:
    """Google Cloud's billing export, as BigQuery writes JSON: a warehouse, and a credit on it."""
    total = Decimal(0)
    with path.open("w", encoding="utf-8") as file:
        for day in days[::7]:
            end = min(day + dt.timedelta(7), days[-1] + dt.timedelta(1))
            cost, credit = Decimal("61.25"), Decimal("-6.125")
            row = {
                "billing_account_id": "01A2B3-C4D5E6",
                "service": {"id": "24E6", "description": "BigQuery"},
                "sku": {"id": "A1", "description": "Analysis (europe-west3)"},
                "usage_start_time": f"{day} 00:00:00 UTC",
                "usage_end_time": f"{end} 00:00:00 UTC",
                "project": {"id": "larkspur-warehouse", "labels": []},
                "labels": [{"key": "team", "value": "engineering"}],
                "location": {"region": "europe-west3"},
                "cost": float(cost),
                "currency": "USD",
                "usage": {"amount": 9.8, "unit": "tebibyte"},
                "credits": [{"name": "Committed use", "amount": float(credit)}],
                "cost_type": "regular",
                "invoice": {"month": f"{day:%Y%m}"},
            }
            file.write(json.dumps(row) + "\n")
            total += cost + credit
    return total


def openai(sums: Iterable[tuple[dt.date, Model, int, int]]) -> Iterable[dict[str, object]]:
    """OpenAI's costs, as its dashboard exports them."""
    for day, model, taken, given in sums:
        start = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp())
        for side, pico in (("input", taken * model.input), ("output", given * model.output)):
            yield {
                "start_time": start,
                "end_time": start + 86_400,
                "start_time_iso": f"{day}T00:00:00+00:00",
                "end_time_iso": f"{day + dt.timedelta(1)}T00:00:00+00:00",
                "amount_value": money(pico, 12),
                "amount_currency": "usd",
                "line_item": f"{model.name}-2025-08-07, {side}",
                "project_id": "proj_lark",
                "organization_id": "org-larkspur",
                "organization_name": "Larkspur",
            }


def anthropic(sums: Iterable[tuple[dt.date, Model, int, int]]) -> Iterable[dict[str, object]]:
    """Anthropic's costs, as its Console exports them."""
    for day, model, taken, given in sums:
        for kind, pico in (
            ("input_no_cache", taken * model.input),
            ("output", given * model.output),
        ):
            yield {
                "usage_date_utc": day,
                "model": "Claude Sonnet 4.5",
                "workspace": "Default",
                "api_key": "larkspur-proxy",
                "usage_type": "message",
                "context_window": "≤ 200k",
                "token_type": kind,
                "cost_usd": money(pico, 6),
                "list_price_usd": money(pico, 6),
                "cost_type": "token",
                "inference_geo": "global",
                "speed": "",
            }


def openrouter(calls: Iterable[Call]) -> Iterable[dict[str, object]]:
    """OpenRouter's activity: a line for each generation."""
    for call in calls:
        if call.model.provider == "openrouter":
            yield {
                "generation_id": f"gen-{call.id}",
                "created_at": f"{call.at:%Y-%m-%d %H:%M:%S}.000",
                "cost_total": money(call.pico, 9),
                "tokens_prompt": call.input,
                "tokens_completion": call.output,
                "tokens_reasoning": 0,
                "tokens_cached": 0,
                "model_permaslug": "openai/gpt-oss-120b",
                "provider_name": "DeepInfra",
            }


def runpod(path: Path, days: Sequence[dt.date]) -> Decimal:
    """RunPod's billing history of a pod that was rented for four days."""
    rows = [
        {
            "amount": 57.36,
            "diskSpaceBilledGb": 200,
            "gpuTypeId": "NVIDIA H100 80GB HBM3",
            "podId": POD,
            "time": f"{day}T00:00:00Z",
            "timeBilledMs": 86_400_000,
        }
        for day in days[:4]
    ]
    path.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    return 4 * Decimal("57.36")


def nordlicht(first: dt.date) -> Iterable[dict[str, object]]:
    """A FOCUS bill in euros, with value added tax."""
    for category, what, cost in (
        ("Usage", "Archive, 40 TB", "184.00"),
        ("Tax", "MwSt 19 %", "34.96"),
    ):
        yield {
            "BilledCost": cost,
            "BillingCurrency": "EUR",
            "BillingAccountId": "K-2210",
            "ChargePeriodStart": f"{first}T00:00:00Z",
            "ChargePeriodEnd": f"{next_month(first)}T00:00:00Z",
            "ChargeCategory": category,
            "ChargeDescription": what,
            "InvoiceIssuerName": "Nordlicht Speicher GmbH",
            "InvoiceId": f"N-{first:%Y%m}",
            "ServiceCategory": "Storage",
            "ServiceName": "Archive",
            "ResourceId": "archive",
        }


# --- people, assets, the rest -------------------------------------------------------------------------


def clockify(days: Sequence[dt.date]) -> Iterable[dict[str, object]]:
    """A detailed report of Clockify: who repaired the machine, and what an hour of them costs."""
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
"""What no file brings."""


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
    """What the suppliers' invoices of the month come to, as accounts payable has them: in cents."""
    for issuer, total in owed.items():
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
    """What arrives when October is closed: a bill that was waited for, and AWS's, written anew."""
    days = days_of(MONTHS[1])
    table(folder / "halden-focus.csv", [halden(MONTHS[1], "118.20")])
    restated = [
        {**row, "line_item_unblended_cost": "362.33"}
        if "Support" in str(row["line_item_product_code"])
        else row
        for row in aws(days)
    ]
    table(folder / "aws-cur2.csv", restated)


def halden(first: dt.date, cost: str) -> dict[str, object]:
    """A FOCUS bill of a colocation that comes late."""
    return {
        "BilledCost": cost,
        "BillingCurrency": "USD",
        "BillingAccountId": "H-9",
        "ChargePeriodStart": f"{first}T00:00:00Z",
        "ChargePeriodEnd": f"{next_month(first)}T00:00:00Z",
        "ChargeCategory": "Usage",
        "ChargeDescription": "Cage and power for the archive",
        "InvoiceIssuerName": "Halden Power AS",
        "InvoiceId": f"H-{first:%m%y}",
        "ServiceCategory": "Storage",
        "ServiceName": "Colocation",
        "ResourceId": "archive",
    }


# --- how files are written ----------------------------------------------------------------------------


def table(path: Path, rows: Iterable[Mapping[str, Any]], amount: str = "") -> Decimal:
    """A CSV file of `rows`; what their column `amount` comes to."""
    found = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    return sum((Decimal(row[amount]) for row in found), Decimal(0)) if amount else Decimal(0)


def money(pico: int, places: int) -> str:
    """Picounits as a decimal text of at most so many `places`."""
    return f"{round(Decimal(pico) / 10**12, places):f}"


def days_of(first: dt.date) -> list[dt.date]:
    """The days of the month that begins with `first`."""
    return [first + dt.timedelta(n) for n in range((next_month(first) - first).days)]


def next_month(day: dt.date) -> dt.date:
    """The first day of the month after that of `day`."""
    return (day.replace(day=1) + dt.timedelta(32)).replace(day=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
