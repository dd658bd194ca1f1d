"""Configuration: one frozen value, read once, from `inferworks.toml` and the environment.

Every setting is a typed field with its default, its bounds and one sentence of help; `settings()` lists
them as rows, from which `docs/configuration.md` and the error messages are made. The environment wins
over the file: `INFERWORKS_GATEWAY_PORT=9000` sets `gateway.port`. Only `wiring` and `cli` read this.
"""

from __future__ import annotations

import difflib
import re
import socket
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta
from msgspec.structs import FieldInfo

from inferworks.errors import ConfigError, Mistakes
from inferworks.files import TEXT_BYTES, read_bytes
from inferworks.misfit import form, misfit
from inferworks.redact import MASK, redacted
from inferworks.secrets import parse_reference

FILE_NAME = "inferworks.toml"
ENVIRONMENT_PREFIX = "INFERWORKS_"


_ADDRESS: Final = form("an address that begins with http:// or https://")
_PORT: Final = r"\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5]"
_MONTH: Final = form("a month, such as 2026-11")
Name = Annotated[str, Meta(pattern=r"\S", extra=form("a text that is not blank"))]
"""One of several names. A blank one would stand for all of them, or for none."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group of settings."""


class Gateway(Section, frozen=True):
    """The HTTP server that customers call."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ] = 8080
    workers: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="Processes that serve calls on the port, each with a journal of its own; "
            "0: one for each core, at most 8.",
        ),
    ] = 1
    max_body_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="Largest request body accepted.")
    ] = 32 * 1024 * 1024  # OpenAI takes recordings of 25 MB
    max_calls: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Calls served at once; more wait (`fairness`). Fewer where files are.",
        ),
    ] = 512
    max_calls_per_key: Annotated[
        int,
        Meta(
            ge=0,
            description="Calls of one key that wait or are served; more are refused with 429. 0: any.",
        ),
    ] = 0
    max_header_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 20, description="Largest head of a request accepted.")
    ] = 64 * 1024
    cors_origins: Annotated[
        tuple[Name, ...],
        Meta(
            description="Web pages that may call, as `https://app.example`; `*` for any. None unless named."
        ),
    ] = ()
    max_connections: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Clients connected at once; idle ones give way. Fewer where files or memory are.",
        ),
    ] = 10_000
    max_held_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="Bytes of large bodies and unread answers held at once; more are refused with "
            "503. 0: an eighth of the memory. Two of the largest bodies at least.",
        ),
    ] = 0
    request_timeout_s: Annotated[
        float, Meta(gt=0, description="Time a client has to send its whole request.")
    ] = 30.0
    drain_s: Annotated[
        float, Meta(ge=0, description="Time that running calls get to finish at a stop.")
    ] = 20.0
    drain_wait_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Time at a stop in which `/readyz` says 503 and new calls are still served.",
        ),
    ] = 0.0
    keys_stale_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Calls are refused when no look at the keys succeeded for so long; 0: never.",
        ),
    ] = 300.0
    key_pepper: Annotated[
        str,
        Meta(
            description="The secret under which keys are hashed: `env:VARIABLE`, `file:PATH`, "
            "`keyring:SERVICE/NAME`; empty: `accounts.pepper` in the data folder."
        ),
    ] = ""
    discover: Annotated[
        bool,
        Meta(description="Offer the engines found on this machine's usual ports at the start."),
    ] = False


class Fairness(Section, frozen=True):
    """Queues of calls that wait, one for each customer, who share what is served at once by weight."""

    weights: Annotated[
        tuple[
            Annotated[
                str,
                Meta(
                    pattern=r"^[^=]+=\d{1,6}(\.\d{1,6})?$",
                    extra=form("a customer and its weight, such as acme=4"),
                ),
            ],
            ...,
        ],
        Meta(description="Weights of customers: `acme=4`."),
    ] = ()
    default_weight: Annotated[
        float, Meta(gt=0, le=1e6, description="Weight of a customer without one.")
    ] = 1.0
    queue_per_customer: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="Calls of one customer that may wait; more are refused with 429. 0: none waits.",
        ),
    ] = 128
    queue_calls: Annotated[
        int,
        Meta(ge=0, le=100_000, description="Calls that may wait; more are refused with 503."),
    ] = 1024
    queue_wait_s: Annotated[
        float,
        Meta(ge=0, description="Longest time that a call waits; it is then refused with 503."),
    ] = 10.0
    customer_share: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Share of `gateway.max_calls` that one customer's calls may take; the rest wait.",
        ),
    ] = 0.75


class Admin(Section, frozen=True):
    """The admin API, for members with tokens (docs/admin-api.md)."""

    enabled: Annotated[bool, Meta(description="Serve it.")] = False
    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ] = 8081
    names: Annotated[
        tuple[Name, ...],
        Meta(
            description="Host names that it goes by, of a proxy in front; requests for another are refused."
        ),
    ] = ()


class Data(Section, frozen=True):
    """Location of everything durable."""

    folder: Annotated[str, Meta(min_length=1, description="The data folder.")] = "./inferworks-data"


class Store(Section, frozen=True):
    """Place of what several gateways share."""

    url: Annotated[
        str,
        Meta(
            description="`postgresql://...` for what several gateways share; empty: the data folder."
        ),
    ] = ""


class Webhooks(Section, frozen=True):
    """Signed messages about limits of which a share is used (docs/limits.md)."""

    url: Annotated[
        str,
        Meta(
            pattern="^(https?://.*)?$",
            extra=_ADDRESS,
            description="Address that they are sent to by POST; empty: nowhere.",
        ),
    ] = ""
    secrets: Annotated[
        tuple[Name, ...],
        Meta(
            description="References to the secrets that sign them, `env:INFERWORKS_WEBHOOK_SECRET`; two "
            "while one is replaced."
        ),
    ] = ()
    ca_file: Annotated[
        str,
        Meta(
            description="Certificates (PEM) of the authorities that the receiver's own is verified "
            "against; empty: the system's."
        ),
    ] = ""


class Meter(Section, frozen=True):
    """The journal of calls and capacity."""

    checkpoint_s: Annotated[
        float, Meta(gt=0, description="Interval at which a running stream's usage is made durable.")
    ] = 1.0
    collect_s: Annotated[
        float, Meta(gt=0, description="Interval at which the replicas' step traces are collected.")
    ] = 0.5
    report_days: Annotated[
        float, Meta(gt=0, le=10_000, description="Days back for which keys may report usage.")
    ] = 400.0


class Lake(Section, frozen=True):
    """Archive of old rows of the journal, as Parquet files."""

    url: Annotated[
        str,
        Meta(
            description="A folder or `s3://`, `gs://`, `az://`; empty: `lake` in the data folder."
        ),
    ] = ""
    seal_s: Annotated[
        float,
        Meta(ge=0, description="Interval at which a running platform archives rows; 0 for never."),
    ] = 300.0
    seal_after_s: Annotated[
        float, Meta(ge=0, description="Least age of a row when it is archived.")
    ] = 7200.0
    least_rows: Annotated[
        int,
        Meta(ge=1, description="Rows of a table for which a day is archived before it is over."),
    ] = 100_000


class Ship(Section, frozen=True):
    """Shipping of this node's records to a hub, whose books then have them."""

    url: Annotated[
        str,
        Meta(
            pattern="^(https?://.*)?$",
            extra=_ADDRESS,
            description="Base URL of the hub, as `https://hub.example/v1`; empty: nothing is shipped.",
        ),
    ] = ""
    key: Annotated[
        str,
        Meta(
            description="Reference to the key that the hub made for this node (`keys create --ship NODE`)."
        ),
    ] = ""
    ca_file: Annotated[
        str,
        Meta(
            description="Certificates (PEM) of the authorities that the hub's own is verified against; "
            "empty: the system's."
        ),
    ] = ""
    every_s: Annotated[
        float, Meta(gt=0, description="Pause between looks for records to ship.")
    ] = 1.0
    keep_days: Annotated[
        float,
        Meta(
            ge=0,
            le=10_000,
            description="Days for which acknowledged records can be shipped again, to a restored hub.",
        ),
    ] = 30.0


class Scrub(Section, frozen=True):
    """Regular check of everything on disk, so that damage is found early."""

    every_s: Annotated[
        float,
        Meta(ge=0, description="Pause between passes over everything; 0 for none at all."),
    ] = 86_400.0
    bytes_per_s: Annotated[
        float, Meta(gt=0, description="Bytes that a running platform reads again in a second.")
    ] = 4e6


DEFAULT_NODE: Final = "local"
"""Name of a machine that was given none."""


class Engine(Section, frozen=True):
    """The embedded engine's replicas."""

    replicas: Annotated[
        int, Meta(ge=0, le=64, description="Replica processes to run; 0 for none.")
    ] = 1
    slots: Annotated[
        int, Meta(ge=1, le=256, description="Sequences a replica runs at once; more wait.")
    ] = 32
    node: Annotated[str, Meta(min_length=1, description="Name of this machine on its bills.")] = (
        DEFAULT_NODE
    )
    region: Annotated[str, Meta(description="Region of this machine, for statements.")] = "local"
    chip: Annotated[str, Meta(description="Chip that its replicas run on, for statements.")] = "cpu"
    start_timeout_s: Annotated[
        float, Meta(gt=0, description="Time a replica has to become ready.")
    ] = 60.0
    hang_s: Annotated[
        float,
        Meta(
            ge=0,
            description="A replica that answers nothing for so long is killed and started again; 0: never.",
        ),
    ] = 30.0


class Observe(Section, frozen=True):
    """Visibility of calls to callers and operators."""

    answer_headers: Annotated[
        bool,
        Meta(
            description="Name provider, region, cost and overhead of a call in its answer's head."
        ),
    ] = True
    metrics: Annotated[
        bool, Meta(description="Keep metrics: `GET /metrics`, for keys made with `--monitor`.")
    ] = True
    metrics_listen: Annotated[
        str,
        Meta(
            pattern=rf"^(.+:({_PORT}))?$",
            extra=form("HOST:PORT with a port up to 65535, such as 127.0.0.1:9100"),
            description="`HOST:PORT` at which metrics are shown to anybody, without a key; empty: nowhere.",
        ),
    ] = ""
    most_series: Annotated[
        int, Meta(ge=10, description="Sets of labels a metric may have; beyond, they are `other`.")
    ] = 1000
    limit_series: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="Limits whose use is shown, each by its id: the most used ones. 0: none.",
        ),
    ] = 100
    traces: Annotated[
        bool,
        Meta(
            description="Send a span for each call and attempt to a collector, by OTLP over HTTP."
        ),
    ] = False
    traces_url: Annotated[
        str,
        Meta(
            pattern="^(https?://.*)?$",
            extra=_ADDRESS,
            description="The collector's address, `http://host:4318`; empty: as "
            "`OTEL_EXPORTER_OTLP_ENDPOINT` says.",
        ),
    ] = ""
    traces_to_replicas: Annotated[
        bool, Meta(description="Tell our own replicas the span they work under (`traceparent`).")
    ] = False
    transcript_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="Most bytes of a prompt and of an answer kept for keys made with `--log-content`.",
        ),
    ] = 1024 * 1024


class Log(Section, frozen=True):
    """The access log: one line for each call, and for each request that was refused before it was one."""

    access: Annotated[
        Literal["off", "text", "json"],
        Meta(description="Format: text (`name=value`) or JSON lines; `off` for none."),
    ] = "off"
    file: Annotated[
        str,
        Meta(
            description="Path of the file; empty: standard error. The file may be moved (logrotate)."
        ),
    ] = ""


class Supplier(Section, frozen=True):
    """A supplier who bills every month: `{ name = "A Cloud", accrue = "average", since = "2026-11" }`."""

    name: Annotated[str, Meta(min_length=1)]
    accrue: Annotated[
        str,
        Meta(
            pattern=r"^(last|average|never|\d{1,15}(\.\d{1,12})?)$",
            extra=form("last, average, never or an amount such as 1200.50"),
        ),
    ] = "last"
    since: Annotated[str, Meta(pattern=r"^(\d{4}-(0[1-9]|1[0-2]))?$", extra=_MONTH)] = ""
    until: Annotated[str, Meta(pattern=r"^(\d{4}-(0[1-9]|1[0-2]))?$", extra=_MONTH)] = ""
    department: str = ""


VALUE_ADDED_TAXES: Final = (
    "VAT", "GST", "HST", "MwSt", "USt", "TVA", "IVA", "BTW", "Value Added Tax", "Value-Added Tax",
    "Mehrwertsteuer", "Umsatzsteuer", "Omzetbelasting", "Moms", "Mervärdesskatt", "MVA", "ALV",
    "Arvonlisävero", "Käibemaks", "PVN", "PVM", "PTU", "DPH", "ÁFA", "DDV", "PDV", "ДДС", "DDS", "ΦΠΑ",
    "FPA", "IGIC", "QST", "TPS", "TVQ", "TVH", "CGST", "SGST", "IGST", "Goods and Services Tax",
)  # fmt: skip
"""Names of value added tax on bills: in the languages of the EU, the UK, Switzerland and Norway, and of
other countries with a tax on goods and services. A registered business gets these taxes back.
"""


class Books(Section, frozen=True):
    """Rules by which bills and usage become a statement."""

    currency: Annotated[
        str,
        Meta(
            pattern="^[A-Z]{3}$",
            extra=form("three capital letters, such as USD"),
            description="Currency of prices, bills and statements.",
        ),
    ] = "USD"
    policy: Annotated[str, Meta(description="Accounting policy of a statement.")] = "gaap"
    departments: Annotated[
        tuple[Name, ...],
        Meta(description="Your own departments, each after one of ours: `growth=marketing`."),
    ] = ()
    department_tags: Annotated[
        tuple[Name, ...], Meta(description="Keys of a bill's tags that name a line's department.")
    ] = ()
    recoverable_taxes: Annotated[
        tuple[Name, ...],
        Meta(
            description="Taxes you get back, by name (`[]`: none; `*`: all): no cost but a receivable."
        ),
    ] = VALUE_ADDED_TAXES
    suppliers: Annotated[
        tuple[Name | Supplier, ...],
        Meta(
            description="Suppliers whose FOCUS bills every month must have; accrued until they come: "
            "names, or "
            "`{ name, accrue, since, until, department }`, accrue `last`, `average`, `never` or an amount."
        ),
    ] = ()
    chart: Annotated[str, Meta(description="Chart of accounts of exported journals, a file.")] = ""
    engine: Annotated[
        Literal["auto", "reference", "duckdb", "spark"],
        Meta(description="Engine of statements; `auto`: Python, or DuckDB for 100,000 facts."),
    ] = "auto"
    memory_gb: Annotated[
        float, Meta(gt=0, description="Memory the engine may take; beyond, it uses the disk.")
    ] = 2.5
    threads: Annotated[int, Meta(ge=1, description="Threads of the engine `duckdb`.")] = 2
    spark_master: Annotated[
        str,
        Meta(
            pattern=r"^(local(\[(\d+|\*)(, ?\d+)?\])?|yarn|(spark|k8s|mesos)://\S+)$",
            extra=form("local, local[2], local[*], yarn or an address such as spark://host:7077"),
            description="Master of the engine `spark`: `local[2]`, `spark://host:7077`.",
        ),
    ] = "local[2]"


class Renamed(Section, frozen=True):
    """A model that an upstream knows by another name: `{ name = "small", upstream = "gpt-5-mini" }`."""

    name: Annotated[str, Meta(min_length=1)]
    upstream: Annotated[str, Meta(min_length=1)]


Price = Annotated[
    str,
    Meta(
        pattern=r"^(\d+(\.\d{1,6})?)?$",
        extra=form("an amount with at most six decimals, such as 0.50"),
    ),
]
"""A price for a million tokens in US dollars, as exact text; empty for the list price."""


class Upstream(Section, frozen=True):
    """One `[[upstream]]` table: an account at a provider, or an engine somewhere."""

    name: Annotated[
        str,
        Meta(
            pattern="^[a-z0-9-]{1,40}$",
            extra=form("at most 40 lower-case letters, digits and dashes"),
            description="Its name in offers and logs.",
        ),
    ]
    models: Annotated[
        tuple[Name | Renamed, ...],
        Meta(
            min_length=1,
            description="The models it serves: names, or `{ name, upstream }` where callers use another.",
        ),
    ]
    provider: Annotated[
        str,
        Meta(min_length=1, description="A row of docs/providers.md: `openai`, `groq`, `vllm`, ..."),
    ] = "openai-compatible"
    url: Annotated[
        str,
        Meta(
            pattern="^(https?://.*)?$",
            extra=_ADDRESS,
            description="Base URL of its API; empty: as its row says.",
        ),
    ] = ""
    key: Annotated[
        str,
        Meta(
            description="Reference to its API key: `env:VARIABLE`, `file:PATH` or "
            "`keyring:SERVICE/NAME`; empty: the variable that its row names."
        ),
    ] = ""
    key_variable: Annotated[
        str, Meta(description='The same as `key = "env:..."`: the variable\'s name alone.')
    ] = ""
    ca_file: Annotated[
        str,
        Meta(
            description="Certificates (PEM) of the authorities that its own is verified against; "
            "empty: the system's."
        ),
    ] = ""
    region: Annotated[
        str, Meta(description="Region where it runs; also `{region}` of its address.")
    ] = ""
    resource: Annotated[
        str, Meta(description="`{resource}` of its address, on Azure its name.")
    ] = ""
    project: Annotated[str, Meta(description="`{project}` of its address.")] = ""
    profile: Annotated[
        str,
        Meta(
            description="The AWS profile whose keys sign for Bedrock; empty: the keys that Amazon's "
            "tools would find."
        ),
    ] = ""
    credentials: Annotated[
        str,
        Meta(
            description="The key file of a Google service account; empty: application default "
            "credentials."
        ),
    ] = ""
    auth: Annotated[
        Literal["", "entra"],
        Meta(
            description="Authentication on Azure: `entra` for a token of Microsoft Entra ID; empty: by key."
        ),
    ] = ""
    tenant: Annotated[str, Meta(description="The Entra tenant of `client`.")] = ""
    client: Annotated[
        str,
        Meta(
            description="The application whose token is shown on Azure; empty: this machine's own login."
        ),
    ] = ""
    client_secret: Annotated[
        str, Meta(description="Secret of `client`: a reference, as `key`.")
    ] = ""
    chip: Annotated[str, Meta(description="Chip that it runs on; empty: as its row says.")] = ""
    priority: Annotated[
        int, Meta(ge=0, description="Tried only after everything of a lower number has failed.")
    ] = 0
    weight: Annotated[
        float, Meta(ge=0, description="Its share of a model's calls; 0: for emergencies only.")
    ] = 1.0
    max_calls: Annotated[
        int, Meta(ge=0, description="Calls of one model at once; 0 for no limit of ours.")
    ] = 0
    input_price: Annotated[
        Price,
        Meta(
            description="US dollars for a million input tokens, by which `cheapest` and `highest_margin` "
            "choose; statements go by bills and list prices alone. Empty: the list price."
        ),
    ] = ""
    output_price: Annotated[
        Price, Meta(description="US dollars for a million output tokens, in the same way.")
    ] = ""
    connect_s: Annotated[float, Meta(gt=0, description="Time for a connection to open.")] = 5.0
    first_byte_s: Annotated[float, Meta(gt=0, description="Time for its answer to begin.")] = 300.0
    between_bytes_s: Annotated[
        float, Meta(gt=0, description="Silence after which its answer is given up.")
    ] = 120.0
    answer_s: Annotated[
        float, Meta(ge=0, description="Time for its whole answer; 0 for no limit.")
    ] = 3600.0
    on_leave: Annotated[
        Literal["", "cancel", "drain", "estimate"],
        Meta(description="Action when a client leaves its stream; empty: as its row says."),
    ] = ""
    billed_by: Annotated[
        tuple[Name, ...],
        Meta(
            description="Billers of its calls, as bills name providers or issuers; see `[[billed]]`."
        ),
    ] = ()


class Model(Section, frozen=True):
    """One `[[model]]` table: a name that customers call, and how its calls are routed."""

    name: Annotated[str, Meta(min_length=1, description="The model as customers name it.")]
    offers: Annotated[
        tuple[Name, ...],
        Meta(description="`UPSTREAM/MODEL`, in order; empty: every upstream that serves the name."),
    ] = ()
    fallbacks: Annotated[
        tuple[Name, ...],
        Meta(description="Models whose offers are tried after all of these failed."),
    ] = ()
    strategy: Annotated[
        str,
        Meta(
            description="`fallback`, `weighted`, `cheapest`, `fastest`, `least_loaded`, "
            "`prefix_affinity`, `session_affinity` or `highest_margin`."
        ),
    ] = "least_loaded"
    regions: Annotated[
        tuple[Name, ...], Meta(description="Regions where its calls may run, by prefix: `eu-`.")
    ] = ()
    attempts: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Attempts for one call at most, and as many at each of its fallbacks.",
        ),
    ] = 3
    tries_per_offer: Annotated[
        int, Meta(ge=1, le=100, description="Tries of one offer for one call at most.")
    ] = 1
    backoff_ms: Annotated[
        float, Meta(ge=0, description="Wait before an offer is tried again; it doubles each time.")
    ] = 200.0
    deadline_s: Annotated[
        float, Meta(ge=0, description="Time in which an answer must have begun; 0 for no limit.")
    ] = 0.0
    hedge_after_ms: Annotated[
        float,
        Meta(ge=0, description="Ask a second offer after so long without an answer; 0: never."),
    ] = 0.0
    hedge_share: Annotated[
        float, Meta(ge=0, le=1, description="Share of the calls that may be asked twice so.")
    ] = 0.05
    hedge_prompt_bytes: Annotated[
        int, Meta(ge=0, description="Larger requests are never asked twice.")
    ] = 16_384
    prefix_bytes: Annotated[
        int, Meta(ge=1, description="Bytes of a prompt that `prefix_affinity` goes by.")
    ] = 2048
    spill_above: Annotated[
        int, Meta(ge=0, description="Calls at an offer before a hot prefix may spill to the next.")
    ] = 8
    spill_factor: Annotated[
        float, Meta(gt=0, description="Times the mean load before a hot prefix spills to the next.")
    ] = 1.5
    latency_bound_ms: Annotated[
        float,
        Meta(gt=0, description="First byte within which `highest_margin` finds an offer fit."),
    ] = 2000.0
    expected_output_tokens: Annotated[
        int, Meta(ge=0, description="Length of an answer whose request sets none, for its cost.")
    ] = 500
    lenient: Annotated[
        bool,
        Meta(
            description="Leave out what an offer in another dialect cannot be asked for, and name it in "
            "`x-inferworks-left-out`; else such a call is refused."
        ),
    ] = False


class Billed(Section, frozen=True):
    """One `[[billed]]` table: the provider of a bill's calls, where only you know the bill's names."""

    names: Annotated[
        tuple[Name, ...],
        Meta(
            description="Providers or issuers as the bill has them; empty: any that bills `services`."
        ),
    ] = ()
    services: Annotated[tuple[Name, ...], Meta(description="Its services; empty: any.")] = ()
    providers: Annotated[
        tuple[Name, ...],
        Meta(
            description="Providers of the calls, as `books estimates` names them: `openai`, `aws`, ..."
        ),
    ] = ()
    models: Annotated[
        tuple[Renamed, ...],
        Meta(description="`{ name, upstream }`: a model as calls name it, and as the bill does."),
    ] = ()


class Breaker(Section, frozen=True):
    """Circuit breaker: the failures after which an offer is left alone, and for how long."""

    failures_in_row: Annotated[
        int, Meta(ge=1, description="Consecutive failures after which an offer is left alone.")
    ] = 5
    failure_share: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Share of failures in a window after which an offer is left alone.",
        ),
    ] = 0.5
    least_calls: Annotated[
        int, Meta(ge=1, description="Calls in a window before their share of failures counts.")
    ] = 20
    window_s: Annotated[float, Meta(gt=0, description="Length of the window.")] = 30.0
    cool_down_s: Annotated[
        float,
        Meta(gt=0, description="Time for which it is left alone at first; it doubles each time."),
    ] = 1.0
    longest_cool_down_s: Annotated[
        float, Meta(gt=0, description="Longest time for which it is left alone.")
    ] = 60.0


class Leave(Section, frozen=True):
    """Limits on reading for clients that have left, where the upstream's `on_leave` is `drain`."""

    drains: Annotated[
        int, Meta(ge=0, description="Answers read to their end at once; more are estimated.")
    ] = 64
    drain_s: Annotated[
        float, Meta(gt=0, description="Time for one of them, from when its client left.")
    ] = 60.0
    drain_bytes: Annotated[
        int, Meta(ge=0, description="Size of one that is streamed, from when its client left.")
    ] = 4 * 1024 * 1024


class Config(Section, frozen=True):
    """Everything that can be configured."""

    gateway: Gateway = Gateway()
    admin: Admin = Admin()
    fairness: Fairness = Fairness()
    data: Data = Data()
    meter: Meter = Meter()
    store: Store = Store()
    webhooks: Webhooks = Webhooks()
    lake: Lake = Lake()
    ship: Ship = Ship()
    scrub: Scrub = Scrub()
    engine: Engine = Engine()
    observe: Observe = Observe()
    log: Log = Log()
    books: Books = Books()
    breaker: Breaker = Breaker()
    leave: Leave = Leave()
    upstream: tuple[Upstream, ...] = ()
    model: tuple[Model, ...] = ()
    billed: tuple[Billed, ...] = ()


REFERENCES = frozenset({"key", "key_variable", "client_secret", "secrets"})
"""Settings that say where a secret is kept."""

REPEATED = ("upstream", "model", "billed")
"""Sections that are tables of which there may be many."""


_OWN_VARIABLES = tuple(f"{ENVIRONMENT_PREFIX}{s.upper()}_" for s in Config.__struct_fields__)


class Setting(msgspec.Struct, frozen=True):
    """One row of the settings table."""

    name: str
    type: str
    default: Any
    help: str


@cache
def settings() -> tuple[Setting, ...]:
    """Every setting, in the order of the file."""
    found = []
    for section, kind in get_type_hints(Config).items():
        struct = get_args(kind)[0] if section in REPEATED else kind
        hints = get_type_hints(struct, include_extras=True)
        for field in msgspec.structs.fields(struct):
            base, *_, meta = get_args(hints[field.name])
            default = None if field.required else field.default
            name = f"{section}.{field.name}"
            found.append(Setting(name, _label(base), default, meta.description))
    return tuple(found)


def _label(kind: Any) -> str:
    """A type in the words of the documentation."""
    if get_origin(kind) is tuple:
        of = get_args(kind)[0]
        of = get_args(of)[0] if get_origin(of) is Annotated else of
        return {str: "list of texts", Renamed: "list of tables"}.get(of, "list of texts or tables")
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in get_args(kind) if choice)
    return str(kind.__name__)


_ORIGIN: Final = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/?#@\s]+", re.IGNORECASE)
_UNKNOWN: Final = re.compile(r"object contains unknown field (.+)")
_NUMERIC: Final = re.compile(r"[\d.]+|.*:.*")
_PLACE: Final = re.compile(r"\[\d*\.*\]")
"""Index of a repeated table: `[0]` of `upstream[0].name`."""
_MOST: Final = 1e9
"""Some thirty years, where a number is of seconds."""


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """The configuration from the file at `path` and the environment; ConfigError for all that is wrong.

    Without `path`, `inferworks.toml` of the working directory is read if there is one.
    """
    source = str(path) if path else FILE_NAME
    values = _read(path or Path(FILE_NAME), required=path is not None)
    mistakes = Mistakes()
    mistakes.texts += [f"{source}: {text}" for text in _mistyped(values)]
    mistakes.refuse()
    config = msgspec.convert(values, Config, strict=True)
    mistakes.texts += [f"{source}: {text}" for text in _beyond_bounds(config)]
    mistakes.refuse()
    overlaid = msgspec.to_builtins(config)
    mistakes.texts += [f"environment: {text}" for text in _overlay(overlaid, environment)]
    mistakes.texts += [f"environment: {text}" for text in _mistyped(overlaid, strict=False)]
    mistakes.refuse()
    whole = msgspec.convert(overlaid, Config, strict=False)
    mistakes.texts += [f"environment: {text}" for text in _beyond_bounds(whole)]
    for origin in whole.gateway.cors_origins:
        if not _ORIGIN.fullmatch(origin):
            mistakes.texts.append(
                f"gateway.cors_origins: {origin!r} is no origin; write it as browsers do, as "
                "https://app.example without a path or a slash at its end, or * for any"
            )
    listen = whole.observe.metrics_listen.rpartition(":")[0]
    for setting, host in (("gateway.host", whole.gateway.host), ("observe.metrics_listen", listen)):
        if not _is_host(host):
            mistakes.texts.append(
                f"{setting}: {host!r} is no address; give one, as 127.0.0.1, or a name"
            )
    for upstream in whole.upstream:
        with mistakes.noted():
            _check_key(upstream, source)
    with mistakes.noted():
        _check_ship(whole, source)
    for reference in whole.webhooks.secrets:
        with mistakes.noted(f"{source}: webhooks.secrets"):
            parse_reference(reference)
    mistakes.refuse()
    return whole


def _is_host(host: str) -> bool:
    """Return False for what looks like an IP address and is none. Names are looked up at a start."""
    if not _NUMERIC.fullmatch(host):
        return True
    try:
        socket.getaddrinfo(host.strip("[]"), None, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return False
    return True


def _mistyped(values: Mapping[str, Any], *, strict: bool = True) -> Iterator[str]:
    """Yield the entries of `values` that are no setting, or not of its type and within its bounds."""
    kinds = {name: field.type for name, field in _fields(Config).items()}
    for section, value in values.items():
        if section not in kinds:
            yield _unknown(section)
        elif section in REPEATED and isinstance(value, list | tuple):
            for number, table in enumerate(value):
                place = f"{section}[{number}]"
                yield from _mistyped_in(table, get_args(kinds[section])[0], place, strict)
        elif section in REPEATED:
            yield from _refused(value, kinds[section], section, strict)
        else:
            yield from _mistyped_in(value, kinds[section], section, strict)


def _mistyped_in(table: Any, kind: type[Section], place: str, strict: bool) -> Iterator[str]:
    """The same of one table: each of its settings, and those that it must have."""
    if not isinstance(table, dict):
        yield from _refused(table, kind, place, strict)
        return
    fields = _fields(kind)
    for name, value in table.items():
        if name in fields:
            yield from _refused(value, fields[name].type, f"{place}.{name}", strict)
        else:
            yield _unknown(f"{place}.{name}")
    missing = [name for name, field in fields.items() if field.required and name not in table]
    if (
        table.keys() <= fields.keys()
    ):  # else what is unknown was most likely meant for what is missing
        for name in missing:
            yield f"{place}: object missing required field {name}"


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, FieldInfo]:
    """The settings of a section by name; looking them up evaluates all annotations anew."""
    return {field.name: field for field in msgspec.structs.fields(kind)}


def _refused(value: Any, kind: Any, place: str, strict: bool) -> Iterator[str]:
    """Yield the place and the words of a complaint where `value` is none of `kind`."""
    try:
        msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        inside, words = misfit(error, value, kind)
        inside = f".{inside}" if inside and not inside.startswith("[") else inside
        if unknown := _UNKNOWN.fullmatch(words):
            yield _unknown(f"{place}{inside}.{unknown[1]}")
        else:
            yield f"{place}{inside}: {words}"


def _unknown(name: str) -> str:
    bare = _PLACE.sub("", name)
    known = [*(s.name for s in settings()), *Config.__struct_fields__]
    alike = [other for other in known if other.count(".") == bare.count(".")]
    close = difflib.get_close_matches(bare, alike, 1)
    hint = f"; did you mean {close[0]}?" if close else "; see docs/configuration.md"
    return f"unknown setting {name}{hint}"


def _beyond_bounds(config: Config) -> Iterator[str]:
    """The numbers of `config` that are beyond what the system's timers take; infinity is."""
    for section in Config.__struct_fields__:
        value = getattr(config, section)
        for table in value if section in REPEATED else (value,):
            for field in table.__struct_fields__:
                number = getattr(table, field)
                if isinstance(number, float) and number > _MOST:
                    yield f"{section}.{field}: must be at most {_MOST:.0f}"


def shown(config: Config) -> Config:
    """`config` less the secrets that stand in it: for eyes, not for a start."""
    sections = {name: _shown(name, getattr(config, name)) for name in Config.__struct_fields__}
    return msgspec.structs.replace(config, **sections)


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, Section):
        fields = {
            field: _shown(field, part) for field, part in msgspec.structs.asdict(value).items()
        }
        return msgspec.structs.replace(value, **fields)
    if isinstance(value, tuple):
        return tuple(_shown(name, part) for part in value)
    if not isinstance(value, str):
        return value
    if value and name in REFERENCES:
        try:
            parse_reference(f"env:{value}" if name == "key_variable" else value)
        except ConfigError:
            return MASK
    return redacted(value)


def _check_key(upstream: Upstream, source: str) -> None:
    """Refuse a key that stands in the file itself, without showing it."""
    where = f"{source}: upstream {upstream.name}: key"
    if upstream.key and upstream.key_variable:
        raise ConfigError(f"{where} and key_variable are both set; keep key")
    if upstream.key:
        try:
            parse_reference(upstream.key)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
    elif upstream.key_variable:
        try:
            parse_reference(f"env:{upstream.key_variable}")
        except ConfigError:
            raise ConfigError(f"{where}_variable: not the name of a variable") from None


def _check_ship(config: Config, source: str) -> None:
    """Refuse a hub's key that stands in the file itself, without showing it."""
    if config.ship.key:
        try:
            parse_reference(config.ship.key)
        except ConfigError as error:
            raise ConfigError(f"{source}: ship.key: {error}") from None


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(read_bytes(path, TEXT_BYTES).decode("utf-8-sig"))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path}: no such configuration file") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read: {reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _overlay(values: dict[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    """Put the settings that the environment names into `values`; the variables that name none."""
    given = {v: text for v, text in environment.items() if v.startswith(_OWN_VARIABLES)}
    once = (s.name for s in settings() if s.name.partition(".")[0] not in REPEATED)
    names = {name.replace(".", "_").upper(): name for name in once} if given else {}
    for variable, text in given.items():
        name = names.get(variable.removeprefix(ENVIRONMENT_PREFIX), "")
        section, _, field = name.partition(".")
        if not name:
            close = difflib.get_close_matches(variable.removeprefix(ENVIRONMENT_PREFIX), names, 1)
            hint = f"; did you mean {ENVIRONMENT_PREFIX}{close[0]}?" if close else ""
            yield f"{variable} names no setting{hint}"
            continue
        several = isinstance(values[section][field], tuple)
        values[section][field] = text.replace(",", " ").split() if several else text
