"""One deployment of a LiteLLM file as an upstream."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import NamedTuple

import msgspec

from inferworks.catalog.providers import OPENAI_COMPATIBLE, ProviderRow, provider_catalog
from inferworks.cli.litellm.tables import IN_ENVIRONMENT, Notes, Table
from inferworks.config import Renamed, Upstream
from inferworks.errors import ConfigError
from inferworks.http.client import Origin

_PROVIDERS = {
    "text-completion-openai": "openai", "custom_openai": OPENAI_COMPATIBLE,
    "openai_like": OPENAI_COMPATIBLE, "litellm_proxy": OPENAI_COMPATIBLE,
    "azure_ai": OPENAI_COMPATIBLE, "vertex_ai": "vertex", "bedrock_converse": "bedrock",
    "together_ai": "together", "fireworks_ai": "fireworks", "nvidia_nim": "nvidia",
    "cohere_chat": "cohere", "hosted_vllm": "vllm", "ollama_chat": "ollama",
    "llamafile": "llama-cpp", "jina_ai": "jina", "dashscope": "alibaba", "friendliai": "friendli",
    "featherless_ai": "featherless", "vercel_ai_gateway": "vercel",
}  # fmt: skip
"""LiteLLM's names of providers that differ from ours."""

_BARE = re.compile(
    r"(gpt-|chatgpt|o\d|text-embedding-|dall-e|whisper|tts-|omni-moderation)|(claude)"
)
"""Models that it lets stand without a provider: OpenAI's, and Anthropic's."""

_NO_KEYS = frozenset(
    {"", "none", "null", "empty", "fake", "fake-key", "dummy", "na", "n/a", "anything"}
)
"""Placeholders written where a server wants no key."""

_KEPT_APART = frozenset({
    "api_key", "api_base", "base_url", "client_secret", "vertex_credentials", "azure_ad_token",
    "azure_password", "aws_access_key_id", "aws_secret_access_key", "aws_session_token",
})  # fmt: skip
"""Secrets, which stay references, and addresses, which are told apart when they are missing."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_NOWHERE = "https://set-this.invalid"
"""Placeholder for an unknown address."""


class Usual(NamedTuple):
    """Defaults of a deployment."""

    max_calls: int
    timeout_s: Decimal | None


def upstream_of(
    entry: object, environment: Mapping[str, str], usual: Usual, notes: Notes
) -> Upstream | None:
    """The upstream of one entry of `model_list`, with its one model; None, with a note, if it has none."""
    if not isinstance(entry, dict):
        notes.add("model_list", "an entry that is no table is left out")
        return None
    name = str(entry.get("model_name") or "")
    params = Table("litellm_params", entry, notes, name)
    info = Table("model_info", entry, notes, name)
    params.expand(environment, but=_KEPT_APART)
    base = _address(params, environment)
    found = _provider(params, base)
    if not name or "*" in name:
        notes.add(f"model_list.{name}", "left out: here each model is named")
        return None
    if found is None:
        notes.add(
            f"model_list.{name}", "left out: no provider here; give it its address (api_base)"
        )
        return None
    row, model = found
    upstream = Upstream(
        name=row.id,
        provider=row.id,
        models=(model if model == name else Renamed(name=name, upstream=model),),
        url=_url(row, base),
        key=_key(row, params),
        region=_any(params, "region_name", "aws_region_name", "vertex_location"),
        project=_any(params, "vertex_project"),
        priority=params.count("order") or 0,
        weight=_weight(params),
        max_calls=params.count("max_parallel_requests") or usual.max_calls,
        first_byte_s=float(params.number("timeout") or usual.timeout_s or 300),
    )
    upstream = _with_prices(upstream, params, info)
    upstream = _with_identity(upstream, row, params)
    if params.take("api_version") is not None:
        params.note("api_version", "not needed: Azure's v1 API has none")
    params.flag("drop_params")  # a model's setting here
    info.take("id")
    params.rest()
    info.rest()
    return upstream


@cache
def _rows() -> Mapping[str, ProviderRow]:
    return {row.id: row for row in provider_catalog().rows(dt.date.max)}


def _provider(params: Table, base: str) -> tuple[ProviderRow, str] | None:
    """The row of a deployment, and its model there; None when they cannot be told."""
    written, given = params.text("model"), params.text("custom_llm_provider")
    prefix, _, model = written.partition("/")
    if given:
        prefix, model = given, written.removeprefix(f"{given}/")
    bare = _BARE.match(written)
    if bare and not model:
        prefix, model = "anthropic" if bare.group(2) else "openai", written
    row = _rows().get(_PROVIDERS.get(prefix, prefix.replace("_", "-")))
    if row is not None and row.id == "vertex" and model.startswith("claude"):
        row = _rows()["vertex-anthropic"]
    if row is not None and row.id == "openai" and base and "api.openai.com" not in base:
        row = _rows()[OPENAI_COMPATIBLE]  # somebody else who speaks like it
    if row is None and base and model:
        row = _rows()[OPENAI_COMPATIBLE]
        params.note("model", f"{prefix} is no provider here; taken to speak OpenAI's dialect")
    return None if row is None or not model else (row, model)


def _address(params: Table, environment: Mapping[str, str]) -> str:
    """Return the address of a deployment; empty when the file gives none."""
    base = _any(params, "api_base", "base_url")
    if base.startswith(IN_ENVIRONMENT):
        variable = base.removeprefix(IN_ENVIRONMENT)
        if variable not in environment:
            params.note("api_base", f"{variable} is not set here; write its address to url")
            return _NOWHERE
        base = environment[variable]
    try:
        if base:
            Origin.parse(base)
    except ConfigError:
        params.note("api_base", "no http or https address; write one to url")
        return _NOWHERE
    return base


def _url(row: ProviderRow, base: str) -> str:
    """`base` as our address, which has the path of the API in it; empty when it is the row's own."""
    url = base.rstrip("/")
    if url and row.url and Origin.parse(url).base_path == "":
        path = "/" + row.url.partition("://")[2].partition("/")[2]
        url += path if "{" not in path else ""
    if not url and row.id == OPENAI_COMPATIBLE:
        return _NOWHERE
    return "" if url == row.url else url


def _key(row: ProviderRow, params: Table) -> str:
    """Return the reference to the key; a key written in the file is not copied."""
    key = params.text("api_key")
    named = key.removeprefix(IN_ENVIRONMENT)
    if key != named and _VARIABLE.fullmatch(named):
        return f"env:{named}"
    if key.lower() in _NO_KEYS or row.auth == "none":
        return ""
    variable = row.key_variable or f"{row.id.upper().replace('-', '_')}_API_KEY"
    params.note("api_key", f"not copied: put the key into the variable {variable}")
    return f"env:{variable}"


def _with_identity(upstream: Upstream, row: ProviderRow, params: Table) -> Upstream:
    """Return `upstream` with the cloud identity in `params`; for other providers unchanged."""
    match row.driver:
        case "bedrock":
            return msgspec.structs.replace(upstream, profile=params.text("aws_profile_name"))
        case "vertex":
            key_file = params.text("vertex_credentials")
            if key_file.startswith(("{", IN_ENVIRONMENT)):  # the key itself is not copied
                params.note(
                    "vertex_credentials",
                    "not copied: write the path of the key file to credentials",
                )
                return upstream
            return msgspec.structs.replace(upstream, credentials=key_file)
        case "azure":
            names = ("tenant_id", "client_id", "client_secret")
            tenant, client, secret = given = [params.text(name) for name in names]
            if not all(given):
                if any(given):
                    params.note(
                        "tenant_id", "not taken: it takes tenant_id, client_id and client_secret"
                    )
                return upstream
            variable = secret.removeprefix(IN_ENVIRONMENT)
            if variable == secret:
                variable = "AZURE_CLIENT_SECRET"
                params.note("client_secret", f"not copied: put it into the variable {variable}")
            return msgspec.structs.replace(
                upstream, key="", tenant=tenant, client=client, client_secret=f"env:{variable}"
            )
    return upstream


def _weight(params: Table) -> float:
    """Return the weight of a deployment: as given, else its requests or tokens a minute, as in LiteLLM."""
    given = {name: params.number(name) for name in ("weight", "rpm", "tpm")}
    for name in ("rpm", "tpm"):
        if given[name] is not None:
            used = given["weight"] is None
            params.note(
                name, "a weight here, not a limit" if used else "the weight is taken instead"
            )
    return float(given["weight"] or given["rpm"] or given["tpm"] or 1)


def _with_prices(upstream: Upstream, params: Table, info: Table) -> Upstream:
    """`upstream` with its prices for a million tokens, exact to the picounit of a token.

    Where one of the two is given the other is nothing, as for embeddings.
    """
    prices: dict[str, str] = {}
    for side in ("input", "output"):
        given = [table.number(f"{side}_cost_per_token") for table in (params, info)]
        per_token = next((price for price in given if price is not None), None)
        if per_token is not None:
            million = (per_token * 10**6).quantize(Decimal("0.000001")).normalize()
            prices[f"{side}_price"] = f"{million:f}"
    if not prices:
        return upstream
    return msgspec.structs.replace(upstream, **{"input_price": "0", "output_price": "0", **prices})


def _any(table: Table, *names: str) -> str:
    """The first of these settings that is there; all of them are taken."""
    values = [table.text(name) for name in names]
    return next((value for value in values if value), "")
