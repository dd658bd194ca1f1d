"""A LiteLLM proxy's `config.yaml` as one of ours.

Problem. Its file lists deployments (`model_list`): a public name, a model written `provider/name`, and
the account's parameters repeated in each; several deployments of one name are balanced. Ours lists
accounts, each with its models, and routes by model.

Decision. Each deployment becomes an upstream with one model, and upstreams that are the same but for
their models become one. Routing (`router_settings`) is written to every model, since LiteLLM's holds for
all. Each setting is either taken over or named in the notes: none is silently dropped, and a change of
meaning is noted. A key that stands in the file is not copied; the note names the variable to set.

Retries and fallbacks mean the same in both: a group of deployments is tried as often as its retries allow,
then the next group of the chain, as often. A fallback that has its own brings them along, five groups
deep; a timeout is that of one attempt and not of the call.

Sources: https://docs.litellm.ai/docs/proxy/config_settings, https://docs.litellm.ai/docs/proxy/reliability,
https://docs.litellm.ai/docs/router/learn/reliability and litellm/types/router.py, November 2026.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from inferworks.cli.litellm.parts import Usual, upstream_of
from inferworks.cli.litellm.tables import Notes, Table
from inferworks.config import Breaker, Config, Gateway, Model, Renamed, Upstream
from inferworks.errors import UserError
from inferworks.extras import install
from inferworks.files import text_of

Number = TypeVar("Number", int, Decimal)

_STRATEGIES = {
    "simple-shuffle": "weighted", "least-busy": "least_loaded", "latency-based-routing": "fastest",
    "cost-based-routing": "cheapest", "usage-based-routing": "least_loaded",
    "usage-based-routing-v2": "least_loaded", "priority": "fallback",
}  # fmt: skip
_MOST_CALLS = 100_000
"""The upper bound of `gateway.max_calls`."""
_DEEPEST_FALLBACK = 5
"""LiteLLM's `max_fallbacks`, unless the file says otherwise."""
_ANY_MODEL = "*"
_SECTIONS = frozenset({
    "model_list", "router_settings", "litellm_settings", "general_settings", "environment_variables",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Imported:
    """Configuration converted from a LiteLLM file."""

    config: Config
    notes: tuple[str, ...]
    """One line for each setting that has no counterpart, or not quite the same."""


def read_litellm(path: Path, environment: Mapping[str, str]) -> Imported:
    """Read the file at `path`; UserError when it cannot be. Addresses in it may name the environment."""
    try:
        yaml = importlib.import_module("yaml")
    except ModuleNotFoundError:
        raise UserError(f"reading YAML needs the package pyyaml: {install('migrate')}") from None
    try:
        document = yaml.safe_load(text_of(path, "configuration"))
    except yaml.YAMLError as error:
        mark = getattr(
            error, "problem_mark", None
        )  # without the line itself: a key may stand there
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = getattr(error, "problem", None) or "it has a character that YAML does not allow"
        raise UserError(f"{path}{where}: not valid YAML: {what}") from None
    if not isinstance(document, dict) or not isinstance(document.get("model_list"), list):
        raise UserError(f"{path} has no model_list; is it the configuration of a LiteLLM proxy?")
    return import_litellm(document, environment)


def import_litellm(document: Mapping[str, Any], environment: Mapping[str, str]) -> Imported:
    """The configuration that a decoded file becomes."""
    notes = Notes()
    router = Table("router_settings", document, notes)
    module = Table("litellm_settings", document, notes)
    general = Table("general_settings", document, notes)
    max_calls = general.count("max_parallel_requests")
    timeouts = [
        (table, name, table.number(name))
        for table, name in ((router, "timeout"), (module, "request_timeout"))
    ]
    table, name, timeout_s = next((one for one in timeouts if one[2]), (router, "", None))
    if timeout_s:
        table.note(name, "taken as first_byte_s: how long an attempt may take to answer")
    usual = Usual(max_calls or 0, timeout_s)
    drafts = [upstream_of(entry, environment, usual, notes) for entry in document["model_list"]]
    upstreams = _accounts([draft for draft in drafts if draft is not None])
    max_at_once = general.count("global_max_parallel_requests")
    made = Config(
        gateway=Gateway(max_calls=min(max_at_once, _MOST_CALLS)) if max_at_once else Gateway(),
        breaker=_breaker(router, module),
        upstream=tuple(upstreams),
        model=tuple(_models(upstreams, router, module, document["model_list"], notes)),
    )
    for name in Table("environment_variables", document, notes).left():
        notes.add(f"environment_variables.{name}", "set it where the platform is started")
    for table in (router, module, general):
        table.rest()
    for section in sorted({str(name) for name in document} - _SECTIONS):
        notes.add(section)
    return Imported(made, notes.lines())


def _accounts(drafts: Sequence[Upstream]) -> Sequence[Upstream]:
    """Merge `drafts` of one account, and name each account: by its provider, from the second on numbered.

    Where a model has one account alone, its weight is dropped.
    """
    count = Counter(_name(draft.models[0]) for draft in drafts)
    accounts: list[Upstream] = []
    for draft in drafts:
        (model,) = draft.models
        alone = count[_name(model)] == 1
        for number, account in enumerate(accounts):
            weight = account.weight if alone else draft.weight
            alike = msgspec.structs.replace(draft, models=account.models, weight=weight) == account
            if alike and _name(model) not in map(_name, account.models):
                accounts[number] = msgspec.structs.replace(account, models=(*account.models, model))
                break
        else:
            accounts.append(msgspec.structs.replace(draft, weight=1.0) if alone else draft)
    before: Counter[str] = Counter()
    for number, account in enumerate(accounts):
        before[account.provider] += 1
        if before[account.provider] > 1:
            name = f"{account.provider}-{before[account.provider]}"
            accounts[number] = msgspec.structs.replace(account, name=name)
    return accounts


def _name(model: str | Renamed) -> str:
    return model if isinstance(model, str) else model.name


def _breaker(router: Table, module: Table) -> Breaker:
    fails, cool_down = router.count("allowed_fails"), router.number("cooldown_time")
    fails = module.count("allowed_fails") if fails is None else fails
    cool_down = module.number("cooldown_time") if cool_down is None else cool_down
    breaker = Breaker()
    if fails is not None:
        breaker = msgspec.structs.replace(breaker, failures_in_row=fails + 1)
        router.note("allowed_fails", "failures in a row here, failures in a minute there")
    if cool_down:
        longest_s = max(breaker.longest_cool_down_s, float(cool_down))
        breaker = msgspec.structs.replace(
            breaker, cool_down_s=float(cool_down), longest_cool_down_s=longest_s
        )
    return breaker


def _models(
    upstreams: Sequence[Upstream],
    router: Table,
    module: Table,
    entries: Iterable[object],
    notes: Notes,
) -> Iterator[Model]:
    """A table for each model that is routed, and for each other name of one."""
    lenient = {  # a deployment of theirs drops unknown parameters
        str(entry.get("model_name"))
        for entry in entries
        if isinstance(entry, dict)
        and isinstance(params := entry.get("litellm_params"), dict)
        and params.get("drop_params") is True
    }
    offers: dict[str, list[str]] = {}
    for upstream in upstreams:
        for name in map(_name, upstream.models):
            offers.setdefault(name, []).append(f"{upstream.name}/{name}")
    routed = _routed(router, module)
    fallbacks = _fallbacks(router, module, offers, notes)
    for name, named in offers.items():
        model = msgspec.structs.replace(
            routed,
            name=name,
            fallbacks=fallbacks.get(name, ()),
            lenient=routed.lenient or name in lenient,
        )
        if len(named) > 1 or model != Model(name=name, strategy="weighted"):
            yield model
    for alias, target in router.table("model_group_alias").items():
        group = str(target.get("model") if isinstance(target, dict) else target)
        if alias in offers:
            notes.add(f"router_settings.model_group_alias.{alias}", "a model has this name already")
        elif group in offers and alias:
            behind = fallbacks.get(group, ())
            yield msgspec.structs.replace(
                routed,
                name=alias,
                offers=tuple(offers[group]),
                fallbacks=behind,
                lenient=routed.lenient or group in lenient,
            )
        else:
            notes.add(f"router_settings.model_group_alias.{alias}", f"there is no model {group}")


def _routed(router: Table, module: Table) -> Model:
    """Return the settings that hold for every model."""
    strategy = router.text("routing_strategy") or "simple-shuffle"
    if strategy not in _STRATEGIES:
        router.note("routing_strategy", f"{strategy} has no counterpart; weighted is written")
    if strategy.startswith("usage-based"):
        router.note("routing_strategy", "taken as least_loaded: calls running, not tokens a minute")
    model = Model(name="every", strategy=_STRATEGIES.get(strategy, "weighted"))
    retries = _first(router.count("num_retries"), module.count("num_retries"))
    if retries is not None:
        tries = max(1, min(100, retries + 1))
        model = msgspec.structs.replace(model, attempts=tries, tries_per_offer=tries)
    if module.flag("drop_params"):
        model = msgspec.structs.replace(model, lenient=True)
    pause = router.number("retry_after")
    if pause:
        model = msgspec.structs.replace(model, backoff_ms=float(pause * 1000))
    return model


def _first(*numbers: Number | None) -> Number | None:
    return next((number for number in numbers if number is not None), None)


def _fallbacks(
    router: Table, module: Table, known: Iterable[str], notes: Notes
) -> Mapping[str, tuple[str, ...]]:
    """The fallbacks of each model, as far as they are models here, and theirs behind them."""
    names = set(known)
    deepest = _first(router.count("max_fallbacks"), module.count("max_fallbacks"))
    given = router.lists("fallbacks") | module.lists("fallbacks")
    usual = [
        *router.names("default_fallbacks"),
        *module.names("default_fallbacks"),
        *given.pop(_ANY_MODEL, []),
    ]
    found = ({name: list(usual) for name in names} if usual else {}) | given
    for name in sorted(found.keys() - names):
        notes.add(f"fallbacks.{name}", "there is no such model")
    for name, behind in found.items():
        for other in behind:
            if other not in names:
                notes.add(f"fallbacks.{name}", f"there is no model {other}")
    direct = {name: [b for b in behind if b in names] for name, behind in found.items()}
    depth = _DEEPEST_FALLBACK if deepest is None else deepest
    return {name: _chain(name, direct, depth) for name in direct.keys() & names}


def _chain(name: str, direct: Mapping[str, Sequence[str]], depth: int) -> tuple[str, ...]:
    """Return the fallbacks of `name`, in order: each, and before the next one its own fallbacks."""
    chain = {name: None}
    ahead = [(iter(direct[name]), depth)]
    while ahead:
        behind, left = ahead[-1]
        other = next(behind, None) if left else None
        if other is None:
            ahead.pop()
        elif other not in chain:
            chain[other] = None
            ahead.append((iter(direct.get(other, ())), left - 1))
    return tuple(chain)[1:]
