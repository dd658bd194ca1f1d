"""Each mapping that ships, on a small file of its product's form; the contents are made up."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from inferworks.books.allocation.departments import Departments
from inferworks.books.bills.base import BillFile, bill_file, no_progress
from inferworks.books.bills.detect import reader_for, understood
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.mapping import shipped
from inferworks.books.bills.payroll import PayrollReader
from inferworks.books.bills.reports import kind_of, read_reports
from inferworks.books.bills.spelling import GivenSpelling, Order
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.charge import Charge
from inferworks.books.deliveries.canonical import delivery_of
from inferworks.meter.usage import Tokens, Usage
from inferworks.money import format_pico

READERS = (FocusBillReader(), TimesheetReader(), PayrollReader())
MAPPINGS = shipped()
TAGGED = Departments(tags=("user_team", "team"))
HOUR_NS = 3_600 * 10**9
NOVEMBER_NS = 1_793_491_200 * 10**9


def knows(header: Sequence[str]) -> bool:
    """Return whether `header` is of a file of our own."""
    return kind_of(header) is not None or any(r.recognises(header) for r in READERS)


def told(text: str | bytes, mapping: str) -> BillFile:
    """The file, known by its columns as one of `mapping`."""
    raw = text if isinstance(text, bytes) else text.encode()
    bill = understood(bill_file("bill", raw), knows, mappings=MAPPINGS)
    assert bill.mapping is not None
    assert bill.mapping.name == mapping
    return bill


def charges(text: str | bytes, mapping: str, currency: str = "USD") -> tuple[Charge, ...]:
    """The charges of the file."""
    bill = told(text, mapping)
    return reader_for(bill, READERS).read(bill, currency, no_progress)


def calls(text: str, mapping: str) -> list[Usage]:
    """The calls in the file."""
    reports, problems = read_reports(told(text, mapping), "import", no_progress)
    assert problems == []
    return [report for report in reports if isinstance(report, Usage)]


def amounts(found: Sequence[Charge]) -> list[str]:
    """Amounts owed, line by line."""
    return [format_pico(charge.amount_pico) for charge in found]


def test_aws_cur() -> None:
    """Usage, a commitment's fee that stands in one moment, and a credit; the line's id is left out."""
    lines = charges(
        "identity/LineItemId,bill/InvoiceId,bill/PayerAccountId,bill/BillingPeriodStartDate,"
        "lineItem/UsageAccountId,lineItem/LineItemType,lineItem/UsageStartDate,lineItem/UsageEndDate,"
        "lineItem/ProductCode,lineItem/UsageType,lineItem/ResourceId,lineItem/UsageAmount,"
        "lineItem/CurrencyCode,lineItem/UnblendedCost,lineItem/LineItemDescription,product/region,pricing/unit\n"
        "a1,,111,2026-11-01T00:00:00Z,222,Usage,2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,AmazonEC2,"
        "BoxUsage:p5,i-1,1.0000000000,USD,98.32,p5 per hour,us-east-1,Hrs\n"
        "a2,,111,2026-11-01T00:00:00Z,111,RIFee,2026-11-01T00:00:00Z,2026-11-01T00:00:00Z,AmazonEC2,"
        "HeavyUsage,,0,USD,10.00,One month,us-east-1,Hrs\n"
        "a3,,111,2026-11-01T00:00:00Z,222,Credit,2026-11-01T00:00:00Z,2026-11-01T01:00:00Z,AmazonS3,"
        "Requests,,0,USD,-1.81E-8,Credit,us-east-1,\n",
        "aws-cur",
    )
    assert amounts(lines) == ["98.32", "10.00", "-0.0000000181"]
    usage, fee, credit = lines
    assert (usage.resource_id, usage.region_id, usage.service_category) == (
        "i-1",
        "us-east-1",
        "Compute",
    )
    assert (usage.provider, usage.issuer, usage.charge_category) == ("AWS", "AWS", "Usage")
    assert (fee.charge_category, fee.period_end_ns - fee.period_start_ns) == ("Purchase", 10**9)
    assert (credit.charge_category, credit.service_category) == ("Credit", "Storage")
    assert not any("LineItemId" in name for charge in lines for name, _ in charge.other)


def test_aws_cur_2_in_parquet() -> None:
    """Typed columns, and a map of what describes the product."""
    moments = pa.array([1_793_491_200_000_000, 1_793_494_800_000_000], pa.timestamp("us", "UTC"))
    columns: dict[str, Any] = {
        "identity_line_item_id": ["x"],
        "line_item_line_item_type": ["Usage"],
        "line_item_usage_start_date": moments[:1],
        "line_item_usage_end_date": moments[1:],
        "line_item_unblended_cost": [0.25],
        "line_item_currency_code": ["USD"],
        "line_item_product_code": ["AmazonBedrock"],
        "resource_tags": pa.array([[("user_team", "research")]], pa.map_(pa.string(), pa.string())),
        "bill_invoicing_entity": ["Amazon Web Services, Inc."],
        "product": pa.array(
            [[("product_name", "Amazon Bedrock"), ("region", "eu-west-1")]],
            pa.map_(pa.string(), pa.string()),
        ),
    }
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink)
    [charge] = charges(sink.getvalue(), "aws-cur2")
    assert amounts([charge]) == ["0.25"]
    assert (charge.service_name, charge.region_id) == ("Amazon Bedrock", "eu-west-1")
    assert (charge.issuer, charge.service_category) == (
        "Amazon Web Services, Inc.",
        "AI and Machine Learning",
    )
    assert charge.period_end_ns - charge.period_start_ns == HOUR_NS
    assert TAGGED.named_by(charge) == "research"


@pytest.mark.parametrize(
    "text",
    [
        (
            "\ufeffInvoiceSectionName,SubscriptionId,ResourceLocation,Date,ProductName,MeterCategory,MeterId,"
            "UnitOfMeasure,Quantity,CostInBillingCurrency,ResourceId,ChargeType,BillingAccountId,"
            "BillingCurrencyCode,BillingPeriodStartDate,BillingPeriodEndDate,ServiceFamily\n"
            "Team,s-1,westeurope,11/02/2026,VM,Virtual Machines,m-1,1 Hour,24,12.5,/vm/1,Usage,100,USD,"
            "11/01/2026,11/30/2026,Compute\n"
        ),
        (
            "invoiceId,billingAccountId,billingPeriodEndDate,billingPeriodStartDate,date,serviceFamily,"
            "meterCategory,meterId,resourceLocation,quantity,unitOfMeasure,costInBillingCurrency,"
            "billingCurrency,chargeType,SubscriptionId,resourceId\n"
            "G1,100,11/30/2026,11/01/2026,11/02/2026,Compute,Virtual Machines,m-1,westeurope,24,1 Hour,"
            "12.5,USD,Usage,s-1,/vm/1\n"
        ),
    ],
    ids=["EA", "MCA"],
)
def test_azure_cost_details(text: str) -> None:
    """Days with the month first, whatever the file's own days could be."""
    [charge] = charges(text, "azure-cost")
    assert amounts([charge]) == ["12.50"]
    assert (charge.resource_id, charge.service_category, charge.quantity) == (
        "/vm/1",
        "Compute",
        "24",
    )
    assert charge.period_start_ns == 1_793_577_600 * 10**9  # 2 November
    assert charge.period_end_ns - charge.period_start_ns == 24 * HOUR_NS
    assert dict(charge.other)["BillingPeriodEnd"] == "2026-12-01"


def test_google_cloud_billing_export() -> None:
    """The amount owed is the cost with its credits; nested names, as BigQuery exports JSON."""
    row = {
        "billing_account_id": "0A",
        "service": {"id": "6F81", "description": "Compute Engine"},
        "sku": {"id": "C1", "description": "A3 core"},
        "usage_start_time": "2026-11-01 00:00:00 UTC",
        "usage_end_time": "2026-11-01 01:00:00 UTC",
        "project": {"id": "p-1", "labels": []},
        "labels": [{"key": "team", "value": "support"}],
        "location": {"region": "us-central1"},
        "cost": 10.5,
        "currency": "USD",
        "usage": {"amount": 3600.0, "unit": "seconds"},
        "credits": [{"name": "CUD", "amount": -2.25}, {"name": "Free", "amount": -0.25}],
        "cost_type": "regular",
        "invoice": {"month": "202611"},
    }
    tax = {**row, "cost": 1.5, "credits": [], "cost_type": "tax"}
    first, second = charges(json.dumps(row) + "\n" + json.dumps(tax), "gcp-billing")
    assert amounts([first, second]) == ["8.00", "1.50"]
    assert (first.service_name, first.description) == ("Compute Engine", "A3 core")
    assert (first.service_category, first.region_id) == ("Compute", "us-central1")
    assert second.charge_category == "Tax"
    assert TAGGED.named_by(first) == "support"


@pytest.mark.parametrize(
    "text",
    [
        (
            "BilledCost,BillingCurrency,InvoiceIssuerName,ChargePeriodStart,ChargePeriodEnd,BillingPeriodStart\n"
            "7,USD,A,2026-10-31T23:00:00Z,2026-11-01,2026-11-01T00:00:00Z\n"
        ),
        (
            "line_item_usage_start_date,line_item_usage_end_date,line_item_unblended_cost,"
            "bill_billing_period_start_date\n2026-10-31T23:00:00Z,2026-11-01T00:00:00Z,7,2026-11-01T00:00:00Z\n"
        ),
        (
            "lineItem/UsageStartDate,lineItem/UsageEndDate,lineItem/UnblendedCost,bill/BillingPeriodStartDate\n"
            "2026-10-31T23:00:00Z,2026-11-01T00:00:00Z,7,2026-11-01T00:00:00Z\n"
        ),
        (
            "date,meterCategory,quantity,costInBillingCurrency,billingCurrency,billingPeriodStartDate\n"
            "10/31/2026,VM,1,7,USD,11/01/2026\n"
        ),
        (
            "billing_account_id,usage_start_time,usage_end_time,cost,currency,invoice.month\n"
            "0A,2026-10-31 23:00:00 UTC,2026-11-01 00:00:00 UTC,7,USD,202611\n"
        ),
        (
            '{"billing_account_id": "0A", "usage_start_time": "2026-10-31 23:00:00 UTC", "cost": 7, '
            '"currency": "USD", "usage_end_time": "2026-11-01T00:00:00Z", "invoice": {"month": "202611"}}'
        ),
    ],
    ids=["FOCUS", "CUR 2.0", "CUR", "Azure", "Google, flat", "Google"],
)
def test_a_line_is_of_the_billing_period_that_its_file_says(text: str) -> None:
    """A line is of its file's billing period, whatever the month of its usage."""
    bill = understood(bill_file("bill", text.encode()), knows, mappings=MAPPINGS)
    [charge] = reader_for(bill, READERS).read(bill, "USD", no_progress)
    assert charge.period_start_ns < NOVEMBER_NS
    assert delivery_of("focus", charge).period == "2026-11-01"


def test_google_cloud_cost_table() -> None:
    """The currency and the invoice's number stand above the header, the total below the table."""
    lines = charges(
        "Invoice number,4711,,,,,,,,\nInvoice date,2026-11-30,,,,,,,,\nCurrency,USD,,,,,,,,\n"
        'Total amount due,"$1,005.72",,,,,,,,\n\n'
        "Billing account name,Billing account ID,Project name,Service description,SKU description,"
        "Cost type,Usage start date,Usage end date,Unrounded Cost ($),Cost ($)\n"
        'E,0A,p,Compute Engine,A3,Usage,2026-11-01,2026-11-30,"1,000.718",1000.72\n'
        "E,0A,p,Cloud Storage,Disk,Usage,2026-11-01,2026-11-30,5.0,5.00\n"
        ",,,,,Rounding error,,,0.002,0.00\n"
        ',,,,,Total,,,"1,005.72","1,005.72"\n',
        "gcp-cost-table",
    )
    assert amounts(lines) == ["1000.718", "5.00", "0.002"]
    assert {charge.invoice for charge in lines} == {"4711"}
    hours = [(charge.period_end_ns - charge.period_start_ns) // HOUR_NS for charge in lines]
    assert hours == [720, 720, 24]
    assert lines[2].charge_category == "Adjustment"


def test_oracle_cost_report() -> None:
    """Lines have a name of their own; corrections are told."""
    lines = charges(
        "lineItem/referenceNo,lineItem/tenantId,lineItem/intervalUsageStart,lineItem/intervalUsageEnd,"
        "product/service,product/resourceId,product/region,cost/productSku,usage/billedQuantity,"
        "cost/myCost,cost/currencyCode,lineItem/isCorrection\n"
        "r1,t,2026-11-13T10:00Z,2026-11-13T11:00Z,COMPUTE,i-1,us-ashburn-1,B1,1,0.0122,USD,false\n"
        "r2,t,2026-11-13T10:00Z,2026-11-13T11:00Z,OBJECTSTORE,,us-ashburn-1,B2,1,-0.01,USD,true\n",
        "oci-cost",
    )
    assert amounts(lines) == ["0.0122", "-0.01"]
    assert [charge.line for charge in lines] == ["r1", "r2"]
    assert [charge.charge_class for charge in lines] == [None, "Correction"]


def test_focus_preview_of_oracle() -> None:
    """The names that FOCUS has today are what they say, those of the preview are put over."""
    [charge] = charges(
        "BilledCost,EffectiveCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuer,Provider,"
        "Publisher,Region,ServiceCategory,ServiceName,UsageQuantity,UsageUnit,oci_ReferenceNumber\n"
        "0.5,0.4,USD,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,Oracle,OCI,Oracle,us-ashburn-1,Compute,"
        "COMPUTE,24,HOURS,r1\n",
        "focus-preview",
    )
    assert amounts([charge]) == ["0.50"]
    assert format_pico(charge.effective_pico or 0) == "0.40"
    assert (charge.issuer, charge.provider, charge.region_id) == ("Oracle", "OCI", "us-ashburn-1")
    assert (charge.line, charge.quantity, charge.unit) == ("r1", "24", "HOURS")


def test_openai_costs() -> None:
    """Costs as the dashboard exports them, and as the API answers, are the same lines."""
    exported = charges(
        "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id,"
        "organization_id,organization_name\n1793491200,1793577600,2026-11-01T00:00:00+00:00,"
        '2026-11-02T00:00:00+00:00,0.8958740000000000,usd,"gpt-5-mini, input",proj_1,org-A,P\n',
        "openai-costs",
    )
    page = {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": 1793491200,
                "end_time": 1793577600,
                "results": [
                    {
                        "object": "organization.costs.result",
                        "amount": {"value": 0.895874, "currency": "usd"},
                        "line_item": "gpt-5-mini, input",
                        "project_id": "proj_1",
                        "organization_id": "org-A",
                    }
                ],
            }
        ],
        "has_more": False,
    }
    asked = charges(json.dumps(page, indent=1), "openai-costs-api")
    for [charge] in (exported, asked):
        assert amounts([charge]) == ["0.895874"]
        assert (charge.issuer, charge.description) == ("OpenAI", "gpt-5-mini, input")
        assert charge.period_start_ns == 1_793_491_200 * 10**9
    assert exported[0].line == asked[0].line


def test_openai_usage() -> None:
    """Sums over a day, each as one call; what was cached is part of the input."""
    [call] = calls(
        "start_time,end_time,num_model_requests,project_id,api_key_id,model,input_tokens,output_tokens,"
        "input_cached_tokens,input_image_tokens\n"
        "1793491200,1793577600,12,proj_1,key_1,gpt-5-mini,1000,50,400,30\n",
        "openai-usage",
    )
    assert (call.customer, call.model, call.purpose) == ("proj_1", "gpt-5-mini", "serve-paid")
    assert call.tokens == Tokens(input=1000, output=50, cache_read=400, input_image=30)


def test_anthropic_costs() -> None:
    """The console writes dollars, the API cents."""
    [line] = charges(
        "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,"
        "list_price_usd,cost_type,inference_geo,speed\n2026-11-06,Claude Sonnet 4.5,Default,k,message,"
        "≤ 200k,input_cache_read,18.71,18.71,token,global,\n",
        "anthropic-cost",
    )
    assert amounts([line]) == ["18.71"]
    assert line.description == "Claude Sonnet 4.5, input_cache_read, message, ≤ 200k, token"
    page = {
        "data": [
            {
                "starting_at": "2026-11-06T00:00:00Z",
                "ending_at": "2026-11-07T00:00:00Z",
                "results": [{"currency": "USD", "amount": "1871.05", "model": None}],
            }
        ]
    }
    [asked] = charges(json.dumps(page), "anthropic-cost-api")
    assert amounts([asked]) == ["18.7105"]
    assert asked.period_end_ns - asked.period_start_ns == 24 * HOUR_NS


def test_anthropic_usage() -> None:
    """Tokens read from a cache and written to it are part of the input."""
    page = {
        "data": [
            {
                "starting_at": "2026-11-06T00:00:00Z",
                "ending_at": "2026-11-07T00:00:00Z",
                "results": [
                    {
                        "uncached_input_tokens": 100,
                        "cache_creation": {
                            "ephemeral_1h_input_tokens": 30,
                            "ephemeral_5m_input_tokens": 20,
                        },
                        "cache_read_input_tokens": 50,
                        "output_tokens": 7,
                        "workspace_id": "wrkspc_1",
                        "model": "claude-sonnet-4-5",
                    }
                ],
            }
        ]
    }
    exported = (
        "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,"
        "usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,"
        "usage_input_tokens_cache_read,usage_output_tokens,web_search_count\n"
        "2026-11-06,claude-sonnet-4-5,k,wrkspc_1,message,≤ 200k,100,20,30,50,7,0\n"
    )
    for [call] in (
        calls(json.dumps(page), "anthropic-usage"),
        calls(exported, "anthropic-usage-console"),
    ):
        tokens = call.tokens
        assert (tokens.input, tokens.output, tokens.cache_read) == (200, 7, 50)
        assert (tokens.cache_write, tokens.cache_write_1h) == (50, 30)
        assert (call.customer, call.model) == ("wrkspc_1", "claude-sonnet-4-5")


def test_openrouter_activity() -> None:
    """Each generation is a line of the bill."""
    [line] = charges(
        "generation_id,created_at,cost_total,cost_web_search,cost_cache,tokens_prompt,tokens_completion,"
        "tokens_reasoning,tokens_cached,model_permaslug,provider_name\n"
        "gen-1,2026-11-28 03:46:57.713,0.0123,0,0,10389,137,0,0,openai/gpt-oss-120b,DeepInfra\n",
        "openrouter-activity",
    )
    assert amounts([line]) == ["0.0123"]
    assert (line.line, line.quantity, line.service_name) == (
        "gen-1",
        "10526",
        "openai/gpt-oss-120b",
    )


def test_litellm_spend_logs() -> None:
    """Calls with what they were said to cost; the provider is in the model where no column has it."""
    rows = [
        {"request_id": "r1", "spend": 0.000123, "prompt_tokens": 8, "completion_tokens": 2,
         "startTime": "2026-11-01T10:00:00Z", "endTime": "2026-11-01T10:00:02Z",
         "model": "openai/gpt-5-mini", "end_user": "", "team_id": "acme"},
        {"request_id": "r2", "spend": 1e-05, "prompt_tokens": 8, "completion_tokens": 2,
         "startTime": "2026-11-01T10:00:00.000Z", "model": "claude-sonnet-4-5",
         "custom_llm_provider": "anthropic", "end_user": "burns"},
    ]  # fmt: skip
    found = calls("\n".join(map(json.dumps, rows)), "litellm-spend")
    assert [call.customer for call in found] == ["acme", "burns"]
    assert [call.model for call in found] == ["gpt-5-mini", "claude-sonnet-4-5"]
    assert [call.legs[0].provider for call in found] == ["openai", "anthropic"]
    assert [call.legs[0].told_cost_pico for call in found] == [123_000_000, 10_000_000]


LOGGED = {
    "prompt_tokens": 1000, "completion_tokens": 100, "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": None, "server_tool_use": {"web_search_requests": 2},
    "prompt_tokens_details": {
        "cached_tokens": 900, "audio_tokens": 5, "image_tokens": 6, "cache_creation_tokens": 40,
        "cache_creation_token_details": {"ephemeral_1h_input_tokens": 30},
    },
    "completion_tokens_details": {"reasoning_tokens": 60, "audio_tokens": 7, "image_tokens": None},
}  # fmt: skip


@pytest.mark.parametrize("key", ["usage_object", "additional_usage_values"])
@pytest.mark.parametrize("as_text", [False, True], ids=["JSON", "JSON as text"])
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_what_the_tokens_of_litellm_are_made_of(key: str, form: str, *, as_text: bool) -> None:
    """The metadata is JSON or the text of it, of a line or of a cell; no part is dropped."""
    usage: Any = json.dumps(LOGGED) if as_text else LOGGED
    metadata: Any = {"status": "success", key: usage}
    row = {"request_id": "r1", "spend": 0.1, "prompt_tokens": 1000, "completion_tokens": 100,
           "startTime": "2026-11-01T10:00:00Z", "model": "openai/gpt-5-mini", "team_id": "acme",
           "metadata": json.dumps(metadata) if as_text or form == "csv" else metadata}  # fmt: skip
    text = json.dumps(row)
    if form == "csv":
        sink = io.StringIO()
        writer = csv.DictWriter(sink, list(row))
        writer.writeheader()
        writer.writerow(row)
        text = sink.getvalue()
    [call] = calls(text, "litellm-spend")
    assert call.tokens == Tokens(
        input=1000, output=100, cache_read=900, reasoning=60, cache_write=40, cache_write_1h=30,
        input_audio=5, output_audio=7, input_image=6,
    )  # fmt: skip
    assert call.items.searches == 2


def test_what_is_wrong_is_said_of_the_files_own_cell() -> None:
    """The column that the text came from in that row, and the text as it stands there."""
    row = {"request_id": "r1", "spend": 0.1, "prompt_tokens": 31, "completion_tokens": 8,
           "startTime": "11/01/2026 10:00 AM", "endTime": "11/01/2026 9:59 AM", "model": "a/b",
           "end_user": "", "team_id": "acme"}  # fmt: skip
    after = row | {"endTime": "11/01/2026 10:01 AM", "team_id": ""}
    told = {"usage_object": {"cache_read_input_tokens": -3}}
    rows = [
        row,
        after | {"team_id": "x" * 257},
        after | {"user": "y" * 257},
        after | {"user": "ann", "metadata": told},
    ]
    bill = bill_file("calls.jsonl", "\n".join(map(json.dumps, rows)).encode())
    bill = understood(bill, knows, GivenSpelling(order=Order.MONTH_FIRST), MAPPINGS)
    assert list(map(str, read_reports(bill, "import", no_progress)[1])) == [
        "calls.jsonl, line 1, column endTime: '11/01/2026 9:59 AM': must not be before the start",
        f"calls.jsonl, line 2, column team_id: {'x' * 60!r}: must have at most 256 characters",
        f"calls.jsonl, line 3, column user: {'y' * 60!r}: must have at most 256 characters",
        (
            "calls.jsonl, line 4, column metadata.usage_object.cache_read_input_tokens: '-3': must be "
            "a whole number, zero or more"
        ),
    ]


def test_parts_that_were_counted_beside_the_tokens_are_added() -> None:
    """Some versions of LiteLLM count so for some providers: parts that come to more are no part of them."""
    told = {
        "cache_creation_input_tokens": 1253,
        "completion_tokens_details": {"reasoning_tokens": 9},
    }
    row = {"request_id": "r1", "spend": 0.1, "prompt_tokens": 31, "completion_tokens": 8,
           "startTime": "2026-11-01T10:00:00Z", "model": "anthropic/claude", "team_id": "acme",
           "metadata": {"usage_object": told}}  # fmt: skip
    [call] = calls(json.dumps(row), "litellm-spend")
    assert call.tokens == Tokens(input=1284, output=17, cache_write=1253, reasoning=9)


def test_opencost_allocations() -> None:
    """An object of allocations in each window."""
    windows = [
        {name: {"name": name, "window": {"start": f"2026-11-0{day}T00:00:00Z",
                "end": f"2026-11-0{day + 1}T00:00:00Z"}, "properties": {"cluster": "c1"},
                "cpuCost": 1.0, "totalCost": cost} for name, cost in (("ns1", 4.75), ("ns2", 0.25))}
        for day in (1, 2)
    ]  # fmt: skip
    lines = charges(json.dumps({"code": 200, "data": windows}), "opencost")
    assert amounts(lines) == ["4.75", "0.25"] * 2
    assert [line.resource_id for line in lines] == ["ns1", "ns2"] * 2


def test_runpod_billing() -> None:
    """A JSON array of what each pod cost in a day."""
    [line] = charges(
        json.dumps([{"amount": 100.5, "diskSpaceBilledGb": 50, "gpuTypeId": "NVIDIA H100 80GB HBM3",
                     "podId": "pod1", "time": "2026-11-01T00:00:00Z", "timeBilledMs": 3600000}]),
        "runpod-billing",
    )  # fmt: skip
    assert amounts([line]) == ["100.50"]
    assert (line.resource_id, line.service_category) == ("pod1", "Compute")
    assert line.period_end_ns - line.period_start_ns == 24 * HOUR_NS


def test_time_trackers() -> None:
    """Hours, with what they cost where the report says so; never what a client is charged."""
    [toggl] = charges(
        "User,Email,Client,Project,Task,Description,Billable,Start date,Start time,End date,End time,"
        "Duration,Tags,Amount (USD)\nJane,j@example.com,A,gpu-3,,Fan,Yes,2026-11-05,09:00:00,2026-11-05,"
        "10:30:00,01:30:00,,120.00\n",
        "toggl",
    )
    [clockify] = charges(
        "Project,Client,Description,Task,User,Group,Email,Tags,Billable,Start Date,Start Time,End Date,"
        "End Time,Duration (h),Duration (decimal),Billable Rate (USD),Billable Amount (USD),"
        "Cost Rate (USD),Cost Amount (USD)\ngpu-3,A,Fan,,Jane,,j@example.com,,No,11/17/2026,09:00:00 AM,"
        "11/17/2026,10:30:00 AM,01:30:00,1.50,80,120.00,40,60.00\n",
        "clockify",
    )
    [harvest] = charges(
        "Date,Client,Project,Project Code,Task,Notes,Hours,Billable?,Invoiced?,First Name,Last Name,Roles,"
        "Employee?,Billable Rate,Billable Amount,Cost Rate,Cost Amount,Currency,External Reference URL\n"
        "2026-11-17,A,Machines,gpu-3,Repair,Fan,1.5,No,No,Jane,Doe,,Yes,80,120,40,60.00,"
        "United States Dollar - USD,\n",
        "harvest",
    )
    assert amounts([toggl, clockify, harvest]) == ["0.00", "60.00", "60.00"]
    for shift in (toggl, clockify, harvest):
        assert shift.resource_id == "gpu-3"
        assert float(shift.quantity or 0) == 90
    assert toggl.period_end_ns - toggl.period_start_ns == 3 * HOUR_NS // 2
    assert clockify.period_end_ns - clockify.period_start_ns == 3 * HOUR_NS // 2
    assert (harvest.description, harvest.currency) == ("Jane Doe, gpu-3", "USD")


def test_payroll_register() -> None:
    """Gross pay and what the employer adds, by department; the total below is left out."""
    lines = charges(
        "Last name,First name,Department,Pay period start,Pay period end,Gross earnings,Employer taxes,"
        "Employer contributions\n"
        'Doe,Jane,Ops,11/01/2026,11/30/2026,"6,000.00",459.00,41.00\n'
        'Roe,Rick,Sales,11/01/2026,11/30/2026,"5,000.00",382.50,\n'
        'Totals,,,,,"11,000.00",841.50,41.00\n',
        "gusto-payroll",
    )
    assert amounts(lines) == ["6500.00", "5382.50"]
    assert [line.department for line in lines] == ["operations", "sales"]
    assert {(line.period_end_ns - line.period_start_ns) // HOUR_NS for line in lines} == {720}


def test_every_shipped_mapping_says_where_its_columns_are_documented() -> None:
    """Each mapping is known by columns that no other is known by."""
    for mapping in MAPPINGS:
        assert mapping.source.startswith("https://"), mapping.name
        assert mapping.recognise is not None
        columns = [name.replace("*", "x") for name in mapping.recognise.columns]
        known = [other.name for other in MAPPINGS if other.recognises(columns)]
        assert known == [mapping.name]
        assert not knows(columns) or mapping.name == "focus-preview"
