"""Configuration: one frozen value, read once, from `inferworks.toml` and the environment.

Every setting is a typed field with its default, its bounds and one sentence of help; `settings()` lists
them as rows, from which `docs/configuration.md` and the error messages are made. The environment wins
over the file: `INFERWORKS_GATEWAY_PORT=9000` sets `gateway.port`. Only `wiring` and `cli` read this.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from inferworks.errors import ConfigError
from inferworks.secrets import parse_reference

FILE_NAME = "inferworks.toml"
ENVIRONMENT_PREFIX = "INFERWORKS_"


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A group of settings."""


class Gateway(Section, frozen=True):
    """The door that customers call."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ] = 8080
    max_body_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="Largest request body accepted.")
    ] = 32 * 1024 * 1024  # OpenAI takes recordings of 25 MB
    max_calls: Annotated[
        int, Meta(ge=1, le=100_000, description="Calls served at once; more are refused with 429.")
    ] = 512
    max_calls_per_key: Annotated[
        int, Meta(ge=0, description="Calls of one key served at once; 0 for no limit of its own.")
    ] = 0
    max_header_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 20, description="Largest head of a request accepted.")
    ] = 64 * 1024
    max_connections: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Clients connected at once; more are refused.")
    ] = 10_000
    request_timeout_s: Annotated[
        float, Meta(gt=0, description="Time a client has to send its whole request.")
    ] = 30.0
    drain_s: Annotated[
        float, Meta(ge=0, description="Time that running calls get to finish at a stop.")
    ] = 20.0
    discover: Annotated[
        bool,
        Meta(description="Offer the engines found on this machine's usual ports at the start."),
    ] = False


class Data(Section, frozen=True):
    """Where everything durable is kept."""

    folder: Annotated[str, Meta(min_length=1, description="The data folder.")] = "./inferworks-data"


class Meter(Section, frozen=True):
    """The journal of what happened."""

    checkpoint_s: Annotated[
        float, Meta(gt=0, description="How often a running stream's tally is made durable.")
    ] = 1.0
    collect_s: Annotated[
        float, Meta(gt=0, description="How often the replicas' step traces are collected.")
    ] = 0.5


class Lake(Section, frozen=True):
    """Where old rows of the journal are sealed into Parquet files."""

    url: Annotated[
        str,
        Meta(
            description="A folder or `s3://`, `gs://`, `az://`; empty: `lake` in the data folder."
        ),
    ] = ""
    seal_s: Annotated[
        float, Meta(ge=0, description="How often a running platform seals; 0 for never.")
    ] = 300.0
    seal_after_s: Annotated[
        float, Meta(ge=0, description="How old a row is at least when it is sealed.")
    ] = 7200.0
    least_rows: Annotated[
        int, Meta(ge=1, description="Rows of a table for which a day is sealed before it is over.")
    ] = 100_000


class Engine(Section, frozen=True):
    """The embedded engine's replicas."""

    replicas: Annotated[
        int, Meta(ge=0, le=64, description="Replica processes to run; 0 for none.")
    ] = 1
    slots: Annotated[
        int, Meta(ge=1, le=256, description="Sequences a replica runs at once; more wait.")
    ] = 32
    node: Annotated[
        str, Meta(min_length=1, description="Name of this machine, as its bills call it.")
    ] = "local"
    region: Annotated[str, Meta(description="Where this machine stands, for statements.")] = "local"
    chip: Annotated[str, Meta(description="What its replicas run on, for statements.")] = "cpu"
    start_timeout_s: Annotated[
        float, Meta(gt=0, description="Time a replica has to become ready.")
    ] = 60.0


class Observe(Section, frozen=True):
    """What callers and operators see of calls."""

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
            pattern=r"^(.+:\d{1,5})?$",
            description="`HOST:PORT` at which metrics are shown to anybody, without a key; empty: nowhere.",
        ),
    ] = ""
    most_series: Annotated[
        int, Meta(ge=10, description="Sets of labels a metric may have; beyond, they are `other`.")
    ] = 1000
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
            description="Of a prompt and of an answer, at most so much is kept for keys made with "
            "`--log-content`.",
        ),
    ] = 1024 * 1024


class Books(Section, frozen=True):
    """How bills and usage become a statement."""

    currency: Annotated[
        str, Meta(pattern="^[A-Z]{3}$", description="Currency of prices, bills and statements.")
    ] = "USD"
    policy: Annotated[str, Meta(description="Accounting policy of a statement.")] = "gaap"
    engine: Annotated[
        Literal["auto", "reference", "duckdb", "spark"],
        Meta(description="What draws up statements; `auto`: Python, or DuckDB for 100,000 facts."),
    ] = "auto"
    memory_gb: Annotated[
        float, Meta(gt=0, description="Memory the engine may take; beyond, it uses the disk.")
    ] = 2.5
    threads: Annotated[int, Meta(ge=1, description="Threads of the engine `duckdb`.")] = 2
    spark_master: Annotated[
        str, Meta(description="Where the engine `spark` runs: `local[2]`, `spark://host:7077`.")
    ] = "local[2]"


class Renamed(Section, frozen=True):
    """A model that an upstream knows by another name: `{ name = "small", upstream = "gpt-5-mini" }`."""

    name: Annotated[str, Meta(min_length=1)]
    upstream: Annotated[str, Meta(min_length=1)]


Price = Annotated[str, Meta(pattern=r"^(\d+(\.\d{1,6})?)?$")]
"""A price for a million tokens in US dollars, as exact text; empty for the list price."""


class Upstream(Section, frozen=True):
    """One `[[upstream]]` table: an account at a provider, or an engine somewhere."""

    name: Annotated[
        str, Meta(pattern="^[a-z0-9-]{1,40}$", description="Its name in offers and logs.")
    ]
    models: Annotated[
        tuple[str | Renamed, ...],
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
            pattern="^(https?://.*)?$", description="Where its API begins; empty: as its row says."
        ),
    ] = ""
    key: Annotated[
        str,
        Meta(
            description="Where its API key is kept: `env:VARIABLE`, `file:PATH` or "
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
    region: Annotated[str, Meta(description="Where it runs; also `{region}` of its address.")] = ""
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
            description="How to prove who asks on Azure: `entra` for a token of Microsoft Entra ID; "
            "empty: by key."
        ),
    ] = ""
    tenant: Annotated[str, Meta(description="The Entra tenant of `client`.")] = ""
    client: Annotated[
        str,
        Meta(
            description="The application whose token is shown on Azure; empty: whatever this machine "
            "is logged in as."
        ),
    ] = ""
    client_secret: Annotated[
        str, Meta(description="Where the secret of `client` is kept: a reference, as `key`.")
    ] = ""
    chip: Annotated[str, Meta(description="What it runs on; empty: as its row says.")] = ""
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
        Price, Meta(description="US dollars for a million input tokens; empty: the list price.")
    ] = ""
    output_price: Annotated[
        Price, Meta(description="US dollars for a million output tokens; empty: the list price.")
    ] = ""
    connect_s: Annotated[float, Meta(gt=0, description="Time for a connection to open.")] = 5.0
    first_byte_s: Annotated[float, Meta(gt=0, description="Time for its answer to begin.")] = 300.0
    between_bytes_s: Annotated[
        float, Meta(gt=0, description="Silence after which its answer is given up.")
    ] = 120.0
    answer_s: Annotated[
        float, Meta(ge=0, description="Time for its whole answer; 0 for no limit.")
    ] = 0.0
    on_leave: Annotated[
        Literal["", "cancel", "drain", "estimate"],
        Meta(description="What to do when a client leaves its stream; empty: as its row says."),
    ] = ""


class Model(Section, frozen=True):
    """One `[[model]]` table: a name that customers call, and how its calls are routed."""

    name: Annotated[str, Meta(min_length=1, description="The model as customers name it.")]
    offers: Annotated[
        tuple[str, ...],
        Meta(description="`UPSTREAM/MODEL`, in order; empty: every upstream that serves the name."),
    ] = ()
    fallbacks: Annotated[
        tuple[str, ...],
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
        tuple[str, ...], Meta(description="Where its calls may run: beginnings of regions, `eu-`.")
    ] = ()
    attempts: Annotated[int, Meta(ge=1, le=100, description="Attempts for one call at most.")] = 3
    tries_per_offer: Annotated[
        int, Meta(ge=1, le=100, description="How often one offer may be tried for one call.")
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


class Breaker(Section, frozen=True):
    """When an offer that fails is left alone, and for how long."""

    failures_in_row: Annotated[
        int, Meta(ge=1, description="Failures one after another after which it is left alone.")
    ] = 5
    failure_share: Annotated[
        float, Meta(gt=0, le=1, description="Share of failures in a window after which it is.")
    ] = 0.5
    least_calls: Annotated[
        int, Meta(ge=1, description="Calls in a window before their share of failures counts.")
    ] = 20
    window_s: Annotated[float, Meta(gt=0, description="Length of the window.")] = 30.0
    cool_down_s: Annotated[
        float, Meta(gt=0, description="How long it is left alone the first time; then it doubles.")
    ] = 1.0
    longest_cool_down_s: Annotated[float, Meta(gt=0, description="How long at most.")] = 60.0


class Leave(Section, frozen=True):
    """How much is read for clients that have left, where the upstream's `on_leave` is `drain`."""

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
    data: Data = Data()
    meter: Meter = Meter()
    lake: Lake = Lake()
    engine: Engine = Engine()
    observe: Observe = Observe()
    books: Books = Books()
    breaker: Breaker = Breaker()
    leave: Leave = Leave()
    upstream: tuple[Upstream, ...] = ()
    model: tuple[Model, ...] = ()


REPEATED = ("upstream", "model")
"""Sections that are tables of which there may be many."""


_OWN_VARIABLES = tuple(f"{ENVIRONMENT_PREFIX}{s.upper()}_" for s in Config.__struct_fields__)


class Setting(msgspec.Struct, frozen=True):
    """One row of the settings table."""

    name: str
    type: str
    default: Any
    help: str


def settings() -> Iterator[Setting]:
    """Every setting, in the order of the file."""
    for section, kind in get_type_hints(Config).items():
        struct = get_args(kind)[0] if section in REPEATED else kind
        hints = get_type_hints(struct, include_extras=True)
        for field in msgspec.structs.fields(struct):
            base, *_, meta = get_args(hints[field.name])
            default = None if field.required else field.default
            yield Setting(f"{section}.{field.name}", _label(base), default, meta.description)


def _label(kind: Any) -> str:
    """A type in the words of the documentation."""
    if get_origin(kind) is tuple:
        return "list of texts" if get_args(kind)[0] is str else "list of texts or tables"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in get_args(kind) if choice)
    return str(kind.__name__)


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """The configuration from the file at `path` and the environment; ConfigError when it is wrong.

    Without `path`, `inferworks.toml` of the working directory is read if there is one.
    """
    source = str(path) if path else FILE_NAME
    values = _read(path or Path(FILE_NAME), required=path is not None)
    try:
        config = msgspec.convert(values, Config, strict=True)
        overlaid = _overlay(msgspec.to_builtins(config), environment)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_explain(str(error))}") from error
    try:
        whole = msgspec.convert(overlaid, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"environment: {_explain(str(error))}") from error
    for upstream in whole.upstream:
        _check_key(upstream, source)
    return whole


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


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path}: no such configuration file") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _overlay(values: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """`values` with the settings that the environment names."""
    given = {v: text for v, text in environment.items() if v.startswith(_OWN_VARIABLES)}
    names = {s.name.replace(".", "_").upper(): s.name for s in settings()} if given else {}
    for variable, text in given.items():
        name = names.get(variable.removeprefix(ENVIRONMENT_PREFIX), "")
        section, _, field = name.partition(".")
        if not name or section in REPEATED:
            raise ConfigError(
                f"environment: {variable} names no setting{_suggest(variable, names)}"
            )
        values[section][field] = text
    return values


def _suggest(variable: str, names: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(variable.removeprefix(ENVIRONMENT_PREFIX), names, 1)
    return f"; did you mean {ENVIRONMENT_PREFIX}{close[0]}?" if close else ""


_UNKNOWN = re.compile(r"Object contains unknown field `(.+?)`(?: - at `\$\.?(.*)`)?")
_PLACE = re.compile(r"\[\d*\.*\]")
"""Which of several tables: `[0]` of `upstream[0].name`."""
_WRONG = re.compile(r"(.*) - at `\$\.?(.*)`")


def _explain(text: str) -> str:
    """A msgspec error in the words of `inferworks.toml`."""
    if unknown := _UNKNOWN.fullmatch(text):
        field, where = unknown.group(1), unknown.group(2) or ""
        name = f"{where}.{field}" if where else field
        known = [s.name for s in settings()] + list(Config.__struct_fields__)
        close = difflib.get_close_matches(_PLACE.sub("", name), known, 1)
        hint = f"; did you mean {close[0]}?" if close else "; see docs/configuration.md"
        return f"unknown setting {name}{hint}"
    if wrong := _WRONG.fullmatch(text):
        return f"{wrong.group(2)}: {wrong.group(1).replace('`', '').lower()}"
    return text
