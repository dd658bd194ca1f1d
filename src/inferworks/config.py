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
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from inferworks.errors import ConfigError

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
    ] = 20 * 1024 * 1024
    max_calls: Annotated[
        int, Meta(ge=1, le=100_000, description="Calls served at once; more are refused with 429.")
    ] = 512
    request_timeout_s: Annotated[
        float, Meta(gt=0, description="Time a client has to send its whole request.")
    ] = 30.0
    drain_s: Annotated[
        float, Meta(ge=0, description="Time that running calls get to finish at a stop.")
    ] = 20.0


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


class Upstream(Section, frozen=True):
    """One `[[upstream]]` table: an OpenAI-compatible API that serves models besides our own."""

    name: Annotated[str, Meta(pattern="^[a-z0-9-]{1,40}$", description="Its name in records.")]
    url: Annotated[str, Meta(pattern="^https?://", description="Where its API begins.")]
    models: Annotated[
        tuple[str, ...], Meta(min_length=1, description="The models it serves, by its names.")
    ]
    key_variable: Annotated[
        str, Meta(description="Environment variable that holds its API key; empty for none.")
    ] = ""


class Config(Section, frozen=True):
    """Everything that can be configured."""

    gateway: Gateway = Gateway()
    data: Data = Data()
    meter: Meter = Meter()
    lake: Lake = Lake()
    engine: Engine = Engine()
    books: Books = Books()
    upstream: tuple[Upstream, ...] = ()


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
        repeated = section == "upstream"
        struct = get_args(kind)[0] if repeated else kind
        for field in msgspec.structs.fields(struct):
            base, meta = get_args(get_type_hints(struct, include_extras=True)[field.name])
            default = None if field.required else field.default
            label = "list of texts" if base == tuple[str, ...] else base.__name__
            yield Setting(f"{section}.{field.name}", label, default, meta.description)


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
        return msgspec.convert(overlaid, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"environment: {_explain(str(error))}") from error


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
    names = {s.name.replace(".", "_").upper(): s.name for s in settings()}
    for variable, text in environment.items():
        if not variable.startswith(_OWN_VARIABLES):
            continue
        name = names.get(variable.removeprefix(ENVIRONMENT_PREFIX), "")
        section, _, field = name.partition(".")
        if not name or section == "upstream":
            raise ConfigError(
                f"environment: {variable} names no setting{_suggest(variable, names)}"
            )
        values[section][field] = text
    return values


def _suggest(variable: str, names: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(variable.removeprefix(ENVIRONMENT_PREFIX), names, 1)
    return f"; did you mean {ENVIRONMENT_PREFIX}{close[0]}?" if close else ""


_UNKNOWN = re.compile(r"Object contains unknown field `(.+?)`(?: - at `\$\.?(.*)`)?")
_WRONG = re.compile(r"(.*) - at `\$\.?(.*)`")


def _explain(text: str) -> str:
    """A msgspec error in the words of `inferworks.toml`."""
    if unknown := _UNKNOWN.fullmatch(text):
        field, where = unknown.group(1), unknown.group(2) or ""
        name = f"{where}.{field}" if where else field
        known = [s.name for s in settings()] + list(Config.__struct_fields__)
        close = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {close[0]}?" if close else "; see docs/configuration.md"
        return f"unknown setting {name}{hint}"
    if wrong := _WRONG.fullmatch(text):
        return f"{wrong.group(2)}: {wrong.group(1).replace('`', '').lower()}"
    return text
