"""Time from a month of calls to a verified statement by customer, beside the floor.

    python benchmarks/books.py --rows N [--json] [--folder DIR] [--memory-gb 3] [--threads 2]

The month is made up to look like real traffic: 100,000 customers of whom a few make most calls, 20
models, 35 regions, 30 days, long inputs and short answers, a few calls that fail, are cancelled or are
tried twice. 16 models run on own replicas (560 of them, each on a node with a bill line for the month) and
4 are bought from providers; a network line stands for each day. Making it up is not counted; with
`--folder` it is kept there and found again.

The clock runs from the files to the statement: reading, dividing every bill line among customers, rating,
checking that everything billed is allocated and that every cut sums to the whole, and the hash of the
canonical bytes. It runs in a process of its own, whose greatest resident size is `peak_memory_bytes`.

The month is a lake with a manifest, and with the sums by day that archiving writes beside each file. The
time that archiving takes for those is printed when the month is made up.

The floor is DuckDB's time, with the same memory and threads, to sum the calls of the same files by
customer, purpose and replica: the least that any division of the bills must read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.policy import load_policy
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge, NaturalClass, charge_id
from inferworks.books.engines.customer_statement import canonical, close_by_customer
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.lake import day_sums, lake_of
from inferworks.books.statement.computation import Inputs, shipped_rules
from inferworks.ids import CustomerId
from inferworks.meter.archive.manifest import MANIFEST_FOLDER, Segment, add_segments, read_manifest
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.archive.schema import DAY_NS
from inferworks.meter.archive.seal import put_sums, read_segment
from inferworks.meter.facts import NO_FACTS
from inferworks.meter.lakes.local import LocalLake
from inferworks.money import PICO

CUSTOMERS, MODELS, REGIONS, DAYS = 100_000, 20, 35, 30
OWN_MODELS = 16
START_NS = 20_758 * DAY_NS
"""2026-11-01."""
MONTH = Span(START_NS, START_NS + DAYS * DAY_NS)


@dataclass(frozen=True)
class Figures:
    """Measured figures."""

    rows: int
    seconds: float
    cpu_seconds: float
    """User and system time of the measured process: a busy machine does not lengthen it much."""
    peak_memory_bytes: int
    floor_seconds: float
    ratio: float
    customers: int
    statement_sha256: str


def main() -> None:
    """Make up the month, measure, and print."""
    options = _options()
    if options.measure:
        print(json.dumps(_measured(Path(options.folder), options)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        kept = Path(options.folder or folder) / f"month-{options.rows}"
        _make_up(kept, options)
        figures = _figures(kept, options)
    if options.json:
        print(json.dumps(asdict(figures)))
    else:
        _print(figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", help="where the month is kept and found again")
    parser.add_argument("--memory-gb", type=float, default=2.5, help="what DuckDB may take")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--measure", choices=["books", "floor"], help=argparse.SUPPRESS)
    return parser.parse_args()


def _figures(month: Path, options: argparse.Namespace) -> Figures:
    floor, books = (_in_a_process(month, options, what) for what in ("floor", "books"))
    return Figures(
        rows=options.rows,
        seconds=round(books["seconds"], 2),
        cpu_seconds=round(books["cpu_seconds"], 2),
        peak_memory_bytes=books["peak_memory_bytes"],
        floor_seconds=round(floor["seconds"], 2),
        ratio=round(books["seconds"] / floor["seconds"], 2),
        customers=books["customers"],
        statement_sha256=books["sha256"],
    )


def _in_a_process(month: Path, options: argparse.Namespace, what: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", what, "--folder", str(month)]
    command += ["--memory-gb", str(options.memory_gb), "--threads", str(options.threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def _measured(month: Path, options: argparse.Namespace) -> dict[str, object]:
    found = _floor(month, options) if options.measure == "floor" else _books(month, options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {**found, "peak_memory_bytes": peak}


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _floor(month: Path, options: argparse.Namespace) -> dict[str, object]:
    connection = duckdb.connect(
        config={"threads": options.threads, "memory_limit": f"{options.memory_gb}GB"}
    )
    begin = time.perf_counter()
    connection.execute(
        f"""SELECT customer, purpose, replica, count(*), sum(input_tokens), sum(output_tokens),
                   sum(cache_read_tokens), sum(request_bytes + response_bytes)
            FROM read_parquet('{month}/usage/*/*.parquet', hive_partitioning = false)
            GROUP BY ALL"""
    ).to_arrow_table()
    seconds = time.perf_counter() - begin
    connection.close()
    return {"seconds": seconds}


def _books(month: Path, options: argparse.Namespace) -> dict[str, object]:
    charges, plans, policy, rules = _charges(), _plans(), load_policy("gaap"), shipped_rules()
    memory = int(options.memory_gb * 10**9)
    begin, begin_cpu = time.perf_counter(), _cpu_seconds()
    with DuckEngine(memory_bytes=memory, threads=options.threads, folder=month) as engine:
        reader = LakeReader(LocalLake(month))
        moment = reader.moment(*MONTH)
        files = {name: map(reader.locate, found) for name, found in moment.segments.items()}
        lake = lake_of(engine, files, moment.unsealed, day_sums(reader, moment))
        statement = close_by_customer(
            engine, lake, Inputs(charges, NO_FACTS, plans, policy, "USD", MONTH, rules)
        )
        digest = hashlib.sha256(canonical(statement)).hexdigest()
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": _cpu_seconds() - begin_cpu,
        "customers": len(statement.rows),
        "sha256": digest,
    }


# --- the month ----------------------------------------------------------------------------------------


def _replicas() -> list[str]:
    return [f"{model:02d}-{region:02d}" for model in range(OWN_MODELS) for region in range(REGIONS)]


def _charges() -> list[Charge]:
    """A line for each node, each day of network, and each provider."""
    nodes = [
        _charge(f"node-{name}", "Compute", 5_000 * PICO + number * 7, MONTH, f"node-{name}")
        for number, name in enumerate(_replicas())
    ]
    network = [
        _charge(f"network-{day}", "Networking", 900 * PICO + day, _day(day)) for day in range(DAYS)
    ]
    bought = [
        _charge(f"provider-{n}", "AI and Machine Learning", 40_000 * PICO, MONTH, None, f"provider-{n}")
        for n in range(OWN_MODELS, MODELS)
    ]  # fmt: skip
    return [*nodes, *network, *bought]


def _day(day: int) -> Span:
    return Span(START_NS + day * DAY_NS, START_NS + (day + 1) * DAY_NS)


def _charge(
    name: str,
    category: str,
    amount_pico: int,
    span: Span,
    resource_id: str | None = None,
    provider: str = "a-cloud",
) -> Charge:
    return Charge(
        id=charge_id(provider, "2026-11", name),
        issuer=provider,
        invoice="2026-11",
        line=name,
        file="bill.csv",
        file_sha256="0" * 64,
        row=2,
        provider=provider,
        service_category=category,
        service_name="",
        resource_id=resource_id,
        resource_type=None,
        description=name,
        natural_class=NaturalClass.PURCHASED_COMPUTE,
        charge_category="Usage",
        charge_class=None,
        period_start_ns=span.start_ns,
        period_end_ns=span.end_ns,
        amount_pico=amount_pico,
        effective_pico=None,
        currency="USD",
        quantity=None,
        unit=None,
    )


def _plans() -> list[PricePlan]:
    """Three price lists, and every thousandth customer without a plan."""
    lists = [("0.50", "1.50"), ("0.40", "1.20"), ("0.90", "2.70")]
    return [
        PricePlan.per_million(CustomerId(f"customer-{n:06d}"), 0, "USD", *lists[n % 3])
        for n in range(CUSTOMERS)
        if n % 1_000
    ]


def _make_up(month: Path, options: argparse.Namespace) -> None:
    """Write the month under `month`, unless it is there."""
    done = month / "done"
    if not done.exists():
        _write_files(month, options)
        done.touch()
    if not (month / MANIFEST_FOLDER).exists():
        _name_files(month, options)


def _name_files(month: Path, options: argparse.Namespace) -> None:
    """Commit the files of `month` to its manifest, with the sums of each file."""
    lake, begin = LocalLake(month), _cpu_seconds()
    segments, sums = [], []
    for table in ("usage", "capacity"):
        for day in range(DAYS):
            segment = _segment(month, table, day)
            segments.append(segment)
            sums += put_sums(lake, segment, read_segment(lake, segment))
    assert add_segments(lake, read_manifest(lake), segments, sums)
    took = (_cpu_seconds() - begin) / options.rows * 1e6
    size = sum(one.bytes for one in sums) / 2**20
    print(f"sums: {took:.1f} processor seconds per million calls, {size:.0f} MiB", file=sys.stderr)


def _segment(month: Path, table: str, day: int) -> Segment:
    """Return the manifest's entry for the file of a day."""
    text = f"2026-11-{day + 1:02d}"
    name = f"{table}/day={text}/made-up.parquet"
    data = (month / name).read_bytes()
    return Segment(
        name=name,
        table=table,
        day=text,
        rows=pq.ParquetFile(pa.BufferReader(data)).metadata.num_rows,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        start_ns=_day(day).start_ns,
        end_ns=_day(day).end_ns,
        first_key=(),
        last_key=(),
        journal="made up",
    )


def _write_files(month: Path, options: argparse.Namespace) -> None:
    connection = duckdb.connect(
        config={"threads": options.threads, "memory_limit": f"{options.memory_gb}GB"}
    )
    for day in range(DAYS):
        _write(connection, month, "usage", day, _usage_sql(options.rows // DAYS, day))
        _write(connection, month, "capacity", day, _capacity_sql(day))
    connection.close()


def _write(
    connection: duckdb.DuckDBPyConnection, month: Path, table: str, day: int, sql: str
) -> None:
    folder = month / table / f"day=2026-11-{day + 1:02d}"
    folder.mkdir(parents=True, exist_ok=True)
    connection.execute(
        f"COPY ({sql}) TO '{folder}/made-up.parquet' (FORMAT parquet, COMPRESSION zstd)"
    )


def _capacity_sql(day: int) -> str:
    """Ten-minute intervals of every replica, two thirds of them busy."""
    names = ", ".join(f"'{name}'" for name in _replicas())
    step_ns = 600 * 10**9
    start_ns = START_NS + day * DAY_NS
    return f"""
      SELECT 'replica-' || name AS replica, 'node-' || name AS node, state,
             {start_ns} + n * {step_ns} AS start_ns, {start_ns} + (n + 1) * {step_ns} AS end_ns,
             CASE state WHEN 'active' THEN busy_ns ELSE {step_ns} - busy_ns END AS duration_ns
      FROM (SELECT name, n, (hash(name, n, {day}) % 401 + 200)::BIGINT * 1000000000 AS busy_ns
            FROM (SELECT unnest([{names}]) AS name), range({DAY_NS // step_ns}) AS r(n)),
           (SELECT unnest(['active', 'idle']) AS state)"""


def _usage_sql(rows: int, day: int) -> str:
    """The calls of one day in the order in which they were opened; hashes are the dice."""
    start_ns, gap_ns = START_NS + day * DAY_NS, DAY_NS // rows
    dice = ", ".join(f"hash(range, {day}, {n}) AS h{n}" for n in range(6))
    return f"""
      WITH dice AS (SELECT range AS n, {dice} FROM range({rows})),
      spun AS (
        SELECT n, h5 % 1000 AS luck, h5 // 1000 % 1000 AS place,
               h0 / 18446744073709551616.0 AS a, greatest(h1 / 18446744073709551616.0, 1e-12) AS b,
               h2 / 18446744073709551616.0 AS c, h3 % 1000 AS mood, h4 % 10 AS cached
        FROM dice),
      who AS (
        SELECT *, floor(exp(a * ln({CUSTOMERS})))::BIGINT - 1 AS number,
               {start_ns} + n * {gap_ns} AS opened_ns,
               sqrt(-2 * ln(b)) * cos(6.283185307179586 * c) AS x,
               sqrt(-2 * ln(b)) * sin(6.283185307179586 * c) AS y
        FROM spun),
      what AS (
        SELECT *,
          (CASE WHEN mood < 800 THEN hash(number) ELSE hash(number) + mood END % {MODELS}) AS of_model,
          (CASE WHEN place < 900 THEN hash(number + 1) ELSE hash(number + 1) + place END
             % {REGIONS}) AS of_region,
          least(200000, 1 + exp(6.5 + 1.3 * x))::BIGINT AS read,
          least(16000, 1 + exp(5.3 + y))::BIGINT AS written,
          CASE WHEN luck < 970 THEN 'answered' WHEN luck < 980 THEN 'cancelled'
               WHEN luck < 990 THEN 'failed' ELSE 'refused' END AS outcome
        FROM who),
      told AS (
        SELECT *, lpad(of_model::VARCHAR, 2, '0') AS mm, lpad(of_region::VARCHAR, 2, '0') AS rr,
          outcome = 'refused' AS refused, of_model < {OWN_MODELS} AS own,
          CASE WHEN outcome = 'refused' THEN 0 ELSE read END AS input_tokens,
          CASE WHEN outcome IN ('refused', 'failed') THEN 0 ELSE written END AS output_tokens,
          CASE WHEN outcome <> 'refused' AND cached < 3 THEN read // 2 ELSE 0 END AS cache_read_tokens,
          opened_ns + 2000000 AS started_ns, opened_ns + 2000000 + 20000000 * written AS ended_ns
        FROM what),
      tried AS (
        SELECT *, {{'offer': 'model-' || mm, 'provider': CASE WHEN own THEN 'own'
            ELSE 'provider-' || of_model END,
          'replica': CASE WHEN own THEN 'replica-' || mm || '-' || rr END,
          'started_ns': started_ns, 'first_token_ns': started_ns + 300000000, 'ended_ns': ended_ns,
          'outcome': outcome, 'status': 200::BIGINT, 'input_tokens': input_tokens,
          'output_tokens': output_tokens, 'cache_read_tokens': cache_read_tokens,
          'reasoning_tokens': 0::BIGINT, 'confidence': 'reported', 'region': 'region-' || rr,
          'chip': CASE WHEN own THEN 'H100' ELSE '' END}} AS leg
        FROM told)
      SELECT 'call_' || lpad(to_hex({day * 10**9} + n), 26, '0') AS call_id,
        'customer-' || lpad(number::VARCHAR, 6, '0') AS customer, 'default' AS project,
        'key-' || lpad(number::VARCHAR, 6, '0') AS key_id,
        CASE WHEN number % 100 = 7 THEN 'train-inference' WHEN number % 10 = 3 THEN 'serve-free'
             ELSE 'serve-paid' END AS purpose,
        'chat.completions' AS endpoint, 'model-' || mm AS model, true AS stream, opened_ns,
        CASE WHEN outcome = 'answered' THEN started_ns + 300000000 END AS first_byte_ns,
        ended_ns + 1000000 AS closed_ns, outcome, 200::BIGINT AS status, NULL::VARCHAR AS error_code,
        input_tokens, output_tokens, cache_read_tokens, 0::BIGINT AS reasoning_tokens,
        'reported' AS confidence, input_tokens * 4 + 200 AS request_bytes,
        output_tokens * 30 + 400 AS response_bytes,
        CASE WHEN refused THEN '' ELSE leg.provider END AS provider,
        CASE WHEN refused THEN '' ELSE leg.offer END AS offer,
        CASE WHEN refused THEN NULL ELSE leg.replica END AS replica,
        CASE WHEN refused THEN '' ELSE leg.region END AS region,
        CASE WHEN refused THEN '' ELSE leg.chip END AS chip,
        CASE WHEN refused THEN [] WHEN luck % 100 = 5 THEN
          [struct_update(leg, ended_ns := started_ns + 1000000, outcome := 'failed', status := 503,
             input_tokens := 0, output_tokens := 0, cache_read_tokens := 0), leg]
          ELSE [leg] END AS legs
      FROM tried ORDER BY opened_ns"""


def _print(figures: Figures) -> None:
    for name, value in asdict(figures).items():
        print(f"{name:20}{value:>20,}" if isinstance(value, int | float) else f"{name:20}  {value}")


if __name__ == "__main__":
    main()
