"""Time to import a bill of many lines and to compute its statement, beside the floor.

    python benchmarks/imports.py --rows N [--form csv|parquet|cur2] [--calls N] [--json] [--folder DIR]

The bill is made up to look like a large cloud's: hours of machines, buckets, traffic, databases, tokens of
models, support, tax and credits, over 40 accounts and a month, each line with tags, a SKU and prices, in
FOCUS 1.0 as CSV or Parquet, or in the columns of AWS CUR 2.0 as Parquet. Beside it are the month's calls
and training jobs on some of the machines, so that lines have something to be divided by. Making it up is
not counted; with `--folder` it is kept there and found again.

Measured are the commands that a user types, each in a process of its own: `books import`, then
`books statement`, which checks every theorem before it prints. `seconds` is wall-clock time, `cpu_seconds`
user and system time, those of its workers included, `peak_memory_bytes` the greatest resident size of the
process; workers, of which an import on two cores has one, come on top.

The floors are measured in the same run: pyarrow reading the same file whole into a table, and DuckDB
summing its costs by service, category and day.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

FORMS = ("csv", "parquet", "cur2")
NODES, MACHINES, DAYS = 8, 300, 30
"""Nodes with training jobs and calls, machines on the bill (the nodes among them), and days."""
START_S = 1_793_491_200
"""2026-11-01."""
MONTH = ("--from", "2026-11-01", "--to", "2026-12-01")


@dataclass(frozen=True)
class Measured:
    """Resources used by one command."""

    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Figures:
    """Measured figures."""

    form: str
    rows: int
    file_bytes: int
    imported: Measured
    statement: Measured
    read_floor: Measured
    sum_floor: Measured
    statement_sha256: str


def main() -> None:
    """Make up the bill, measure, and print."""
    options = _options()
    if options.floor:
        _floor(options.floor, Path(options.folder), options.form)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        kept = Path(options.folder or folder)
        figures = _figures(kept, Path(folder), options)
    print(json.dumps(asdict(figures)) if options.json else _as_text(figures))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Example: python benchmarks/imports.py --rows 100000 --form parquet --json",
    )
    parser.add_argument("--rows", type=int, default=100_000, help="lines of the bill")
    parser.add_argument("--form", choices=FORMS, default="csv", help="how the bill is written")
    parser.add_argument("--calls", type=int, default=3_000, help="calls beside it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--folder", help="where the bill is kept and found again")
    parser.add_argument("--floor", choices=("read", "sum"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _figures(kept: Path, data: Path, options: argparse.Namespace) -> Figures:
    bill = _bill(kept, options.rows, options.form)
    program = [sys.executable, "-m", "inferworks"]
    _run([*program, "usage", "import", *_usage(kept, options.calls), "--data", str(data)])
    imported, _ = _run([*program, "books", "import", str(bill), "--data", str(data)])
    statement, shown = _run([*program, "books", "statement", *MONTH, "--data", str(data)])
    own = [sys.executable, __file__, "--folder", str(bill), "--form", options.form]
    read, _ = _run([*own, "--floor", "read"])
    summed, _ = _run([*own, "--floor", "sum"])
    return Figures(
        form=options.form,
        rows=options.rows,
        file_bytes=bill.stat().st_size,
        imported=imported,
        statement=statement,
        read_floor=read,
        sum_floor=summed,
        statement_sha256=hashlib.sha256(shown).hexdigest(),
    )


def _run(command: list[str]) -> tuple[Measured, bytes]:
    """Run `command`; return the resources it used, and its output."""
    with tempfile.TemporaryFile() as out:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
        out.seek(0)
        return _measured(seconds, used), out.read()


def _measured(seconds: float, used: resource.struct_rusage) -> Measured:
    cpu = used.ru_utime + used.ru_stime
    return Measured(round(seconds, 2), round(cpu, 2), used.ru_maxrss * 1024)


def _floor(what: str, bill: Path, form: str) -> None:
    if what == "read":
        from pyarrow import csv, parquet

        (csv.read_csv if form == "csv" else parquet.read_table)(bill)
        return
    cost, service, category, day = (
        ("line_item_unblended_cost", "line_item_product_code", "line_item_line_item_type",
         "line_item_usage_start_date")
        if form == "cur2"
        else ("BilledCost", "ServiceName", "ChargeCategory", "ChargePeriodStart")
    )  # fmt: skip
    duckdb.sql(
        f"SELECT {service}, {category}, {day}, sum({cost}::DECIMAL(38, 12)) FROM '{bill}' GROUP BY ALL"
    ).to_arrow_table()


# --- the bill -----------------------------------------------------------------------------------------


def _bill(folder: Path, rows: int, form: str) -> Path:
    """The bill of so many lines, made up unless it is there."""
    path = folder / f"bill-{rows}.{'csv' if form == 'csv' else f'{form}.parquet'}"
    if not path.exists():
        columns = _CUR2 if form == "cur2" else _FOCUS
        how = "(HEADER)" if form == "csv" else "(FORMAT parquet, COMPRESSION zstd)"
        select = ", ".join(f'{value} AS "{name}"' for name, value in columns.items())
        unfinished = path.with_name(f"unfinished-{path.name}")
        with duckdb.connect() as connection:
            connection.execute(
                f"COPY (SELECT {select} FROM ({_lines(rows)})) TO '{unfinished}' {how}"
            )
        unfinished.rename(path)
    return path


def _lines(rows: int) -> str:
    """Lines of a month; hashes are the dice."""
    dice = ", ".join(f"hash(range, {n}) AS h{n}" for n in range(5))
    return f"""
      WITH dice AS (SELECT range AS n, {dice} FROM range({rows})),
      kinds AS (
        SELECT *, (h0 % 1000)::BIGINT AS kind, (h1 % 40)::BIGINT AS account,
               (h2 % {DAYS * 24})::BIGINT AS hour, (h3 % {MACHINES})::BIGINT AS thing,
               (h4 % 1000000007)::BIGINT AS pico, (h3 % 60)::BIGINT AS sku FROM dice),
      whats AS (
        SELECT *, CASE WHEN kind < 350 THEN 0 WHEN kind < 600 THEN 1 WHEN kind < 750 THEN 2
            WHEN kind < 850 THEN 3 WHEN kind < 950 THEN 4 WHEN kind < 980 THEN 5
            WHEN kind < 990 THEN 6 ELSE 7 END AS what FROM kinds)
      SELECT *, ['Compute', 'Storage', 'Networking', 'Databases', 'AI and Machine Learning', 'Other',
                 'Other', 'Other'][what + 1] AS category,
        ['AmazonEC2', 'AmazonS3', 'AWSDataTransfer', 'AmazonRDS', 'AmazonBedrock', 'AWSSupport', 'AWSTax',
         'AmazonCloudWatch'][what + 1] AS service,
        CASE what WHEN 0 THEN 'node-' || thing WHEN 1 THEN 'bucket-' || thing
             WHEN 3 THEN 'database-' || thing END AS resource,
        CASE what WHEN 4 THEN ['USE1-Claude-input-tokens', 'USE1-Claude-output-tokens'][thing % 2 + 1]
             ELSE 'USE1-' || service || '-' || thing % 17 END AS meter,
        CASE what WHEN 6 THEN 'Tax' WHEN 7 THEN 'Credit' ELSE 'Usage' END AS type,
        CASE WHEN kind < 350 THEN hour ELSE hour // 24 * 24 END AS start_hour,
        CASE WHEN kind < 350 THEN hour + 1 ELSE hour // 24 * 24 + 24 END AS end_hour
      FROM whats"""


_COST = "(CASE type WHEN 'Credit' THEN -pico ELSE pico END)::DECIMAL(18, 0) * 0.000000001"
_HOUR = "strftime(make_timestamp(({start} + {hour} * 3600) * 1000000), '%Y-%m-%dT%H:%M:%SZ')"
_START = _HOUR.format(start=START_S, hour="start_hour")
_END = _HOUR.format(start=START_S, hour="end_hour")
_TAGS = """'{"team":"team-' || account % 7 || '","environment":"' ||
  ['production', 'staging'][thing % 2 + 1] || '"}'"""
_QUANTITY = "(pico % 1000003)::DECIMAL(18, 3) / 1000"
_FOCUS = {
    "BilledCost": _COST,
    "EffectiveCost": _COST,
    "ListCost": _COST,
    "ContractedCost": _COST,
    "BillingCurrency": "'USD'",
    "BillingAccountId": "'100000000000'",
    "BillingAccountName": "'A Company'",
    "BillingPeriodStart": "'2026-11-01T00:00:00Z'",
    "BillingPeriodEnd": "'2026-12-01T00:00:00Z'",
    "SubAccountId": "'2000000000' || lpad(account::VARCHAR, 2, '0')",
    "SubAccountName": "'account ' || account",
    "ChargePeriodStart": _START,
    "ChargePeriodEnd": _END,
    "ChargeCategory": "type",
    "ChargeClass": "''",
    "ChargeDescription": "'$' || thing % 23 || '.00 per unit of ' || meter",
    "ChargeFrequency": "'Usage-Based'",
    "ConsumedQuantity": _QUANTITY,
    "ConsumedUnit": "CASE what WHEN 0 THEN 'Hours' WHEN 4 THEN 'Tokens' ELSE 'GB' END",
    "InvoiceIssuerName": "'Amazon Web Services'",
    "ProviderName": "'AWS'",
    "PublisherName": "'AWS'",
    "PricingCategory": "'Standard'",
    "PricingQuantity": _QUANTITY,
    "PricingUnit": "CASE what WHEN 0 THEN 'Hours' WHEN 4 THEN 'Tokens' ELSE 'GB' END",
    "RegionId": "['us-east-1', 'eu-west-1', 'ap-south-1'][thing % 3 + 1]",
    "RegionName": "['Virginia', 'Ireland', 'Mumbai'][thing % 3 + 1]",
    "ResourceId": "resource",
    "ResourceName": "resource",
    "ResourceType": "CASE what WHEN 0 THEN 'Instance' WHEN 1 THEN 'Bucket' WHEN 3 THEN 'Database' END",
    "ServiceCategory": "category",
    "ServiceName": "service",
    "SkuId": "'SKU' || sku",
    "SkuPriceId": "'SKU' || sku || '.' || thing % 5",
    "Tags": _TAGS,
    "x_UsageType": "meter",
}
_CUR2 = {
    "identity_line_item_id": "md5(n::VARCHAR)",
    "identity_time_interval": f"{_START} || '/' || {_END}",
    "bill_invoice_id": "NULL::VARCHAR",
    "bill_invoicing_entity": "'Amazon Web Services, Inc.'",
    "bill_billing_entity": "'AWS'",
    "bill_bill_type": "'Anniversary'",
    "bill_payer_account_id": "'100000000000'",
    "bill_billing_period_start_date": "TIMESTAMP '2026-11-01'",
    "bill_billing_period_end_date": "TIMESTAMP '2026-12-01'",
    "line_item_usage_account_id": "'2000000000' || lpad(account::VARCHAR, 2, '0')",
    "line_item_line_item_type": "type",
    "line_item_usage_start_date": f"make_timestamp(({START_S} + start_hour * 3600) * 1000000)",
    "line_item_usage_end_date": f"make_timestamp(({START_S} + end_hour * 3600) * 1000000)",
    "line_item_product_code": "service",
    "line_item_usage_type": "meter",
    "line_item_operation": "'Run' || thing % 5",
    "line_item_availability_zone": "'us-east-1' || ['a', 'b', 'c'][thing % 3 + 1]",
    "line_item_resource_id": "resource",
    "line_item_usage_amount": "(pico % 1000003) / 1000.0::DOUBLE",
    "line_item_currency_code": "'USD'",
    "line_item_unblended_rate": "(thing % 23)::VARCHAR",
    "line_item_unblended_cost": f"({_COST})::DOUBLE",
    "line_item_line_item_description": "'$' || thing % 23 || '.00 per unit of ' || meter",
    "product_sku": "'SKU' || sku",
    "product_region_code": "['us-east-1', 'eu-west-1', 'ap-south-1'][thing % 3 + 1]",
    "product": """MAP {'product_name': service, 'instance_type': 'p' || thing % 5}""",
    "pricing_rate_code": "'SKU' || sku || '.' || thing % 5",
    "pricing_term": "'OnDemand'",
    "pricing_unit": "CASE what WHEN 0 THEN 'Hrs' WHEN 4 THEN 'Tokens' ELSE 'GB' END",
    "resource_tags": "MAP {'user_team': 'team-' || account % 7, 'user_environment': 'production'}",
}


def _usage(folder: Path, calls: int) -> list[str]:
    """Calls of Claude on Bedrock, evenly over the month; a training job a day on each of a few machines."""
    called, jobs = folder / f"calls-{calls}.csv", folder / "jobs.csv"
    gap_s = DAYS * 86_400 // max(calls, 1)
    with called.open("w") as file:
        print("source,id,provider,model,customer,purpose,start,end,input_tokens,output_tokens,"
              "request_bytes,response_bytes", file=file)  # fmt: skip
        for n in range(calls):
            start, end = (_moment(START_S + n * gap_s + s) for s in (0, 5))
            print(f"elsewhere,call-{n},bedrock,claude,customer-{n % 20},serve-paid,{start},{end},"
                  f"{700 + n % 300},{200 + n % 50},{3000 + n % 900},{800 + n % 70}", file=file)  # fmt: skip
    with jobs.open("w") as file:
        print("source,id,node,purpose,start,end,description", file=file)
        for n in range(NODES * DAYS):
            start, end = (_moment(START_S + n // NODES * 86_400 + s) for s in (0, 50_000))
            print(f"slurm,job-{n},node-{n % NODES},train-gradient,{start},{end},run {n}", file=file)
    return [str(called), str(jobs)]


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _as_text(figures: Figures) -> str:
    lines = [f"{figures.form}, {figures.rows:,} lines, {figures.file_bytes:,} bytes"]
    lines += [f"{'':14}{'SECONDS':>10}{'CPU':>10}{'PEAK MB':>10}"]
    for name in ("imported", "statement", "read_floor", "sum_floor"):
        one: Measured = getattr(figures, name)
        peak = one.peak_memory_bytes / 1e6
        lines += [f"{name:14}{one.seconds:>10.2f}{one.cpu_seconds:>10.2f}{peak:>10.0f}"]
    return "\n".join([*lines, f"statement {figures.statement_sha256[:16]}"])


if __name__ == "__main__":
    main()
