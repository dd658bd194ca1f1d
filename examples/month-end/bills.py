"""The bills of Larkspur, each in the form in which its product exports it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from company import GPU, POD, Call, Model, money, next_month


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
        ("Usage", "Archive, 3 TB", "184.00"),
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
