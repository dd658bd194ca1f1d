"""Parameters that a model accepts, where vendors and models differ: the rows of `facts.toml`.

A request in the upstream's own dialect is not checked against them: its bytes pass, and the upstream
decides. But in a request translated from another dialect we choose the words, and must choose some that the
model takes. An unknown model gets the form that most servers take.

A row names providers and models, and their differences; every row that fits counts, and a later one
overrides an earlier one. (Rejected: one row per model and provider, which says the same a hundred times and
knows nothing of tomorrow's model; asking the upstream, which has no way of telling.)
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from inferworks.errors import ConfigError

LimitField: TypeAlias = Literal["max_tokens", "max_completion_tokens"]
Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
JsonMode: TypeAlias = Literal["json_object", "json_schema"]
Thoughts: TypeAlias = Literal["taken", "refused", "needed"]
Part: TypeAlias = Literal["image_url", "file", "input_audio"]


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters that one model accepts at one provider."""

    limit_field: LimitField = "max_tokens"
    """Name of the field of a chat that limits the answer."""
    most_output: int | None = None
    """The highest limit that it takes, which is also the longest answer it can give; None if unknown."""
    user_length: int = 64
    """Characters that a `user` may have; a longer one is sent as its hash. 0: there is no such field."""
    efforts: tuple[Effort, ...] = ("low", "medium", "high")
    """The reasoning efforts that it takes; none when the field itself is refused."""
    thinking_budget: bool = False
    """True if it accepts a budget of thinking tokens: Claude before there were efforts."""
    json_modes: tuple[JsonMode, ...] = ("json_object", "json_schema")
    """Accepted types of `response_format`, beside text."""
    stops: int | None = None
    """Stop sequences that it takes at most; None for as many as the upstream takes."""
    blank_stops: bool = True
    """True if a stop sequence may be white space alone."""
    parallel_tools: bool = True
    """True if it can be told to call one tool at a time."""
    temperature: float = 2.0
    """The highest that it takes; 0 when it takes no wish about sampling at all."""
    tools: bool = True
    """True if a chat may offer functions."""
    tools_effort: Effort | Literal[""] = ""
    """The one effort beside which a chat may offer functions, and which must be said; empty for any."""
    forced_tools: bool = True
    """True if `tool_choice` can demand a tool."""
    logprobs: bool = True
    """True if it returns log probabilities."""
    logit_bias: bool = True
    """True if it takes a `logit_bias`."""
    top_k: bool = True
    """True if it takes a `top_k`."""
    top_p_beside_temperature: bool = True
    """True if it takes `top_p` and `temperature` at once."""
    verbosity: bool = False
    """True if it takes a `verbosity`."""
    service_tiers: bool = False
    """True if it takes a `service_tier` as OpenAI names them."""
    description_length: int | None = None
    """Characters that the description of a function may have; None for any number."""
    thoughts: Thoughts = "taken"
    """Rule for `reasoning_content` in past turns: accepted, or required where they called a tool."""
    parts: tuple[Part, ...] = ("image_url", "file", "input_audio")
    """Parts of a user's message beside text."""
    id_length: int | None = None
    """Letters and digits that the id of a call must have; None for OpenAI's ids, of any 40 characters."""
    user_after_tool: bool = True
    """True if a user's message may directly follow the result of a tool."""
    seed: bool = True
    """True if it takes a `seed`."""
    system_amid: bool = False
    """True if Anthropic's messages may have a turn of the system behind a user's."""


ANYTHING: Final = ModelFacts(
    user_length=4096,
    efforts=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    verbosity=True,
    service_tiers=True,
)
"""Facts for the first of two translations: nothing is fitted to a model yet."""
UNKNOWN_MODEL: Final = ModelFacts()
"""A model of which nothing is known."""


class FactRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Facts of some models at some providers, in the words of the head of `facts.toml`."""

    effective: dt.date
    source: str
    providers: tuple[str, ...] = ("*",)
    models: tuple[str, ...] = ("*",)
    limit_field: LimitField | UnsetType = UNSET
    most_output: int | UnsetType = UNSET
    user_length: int | UnsetType = UNSET
    efforts: tuple[Effort, ...] | UnsetType = UNSET
    thinking_budget: bool | UnsetType = UNSET
    json_modes: tuple[JsonMode, ...] | UnsetType = UNSET
    stops: int | UnsetType = UNSET
    blank_stops: bool | UnsetType = UNSET
    parallel_tools: bool | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    tools: bool | UnsetType = UNSET
    tools_effort: Effort | Literal[""] | UnsetType = UNSET
    forced_tools: bool | UnsetType = UNSET
    logprobs: bool | UnsetType = UNSET
    logit_bias: bool | UnsetType = UNSET
    top_k: bool | UnsetType = UNSET
    top_p_beside_temperature: bool | UnsetType = UNSET
    verbosity: bool | UnsetType = UNSET
    service_tiers: bool | UnsetType = UNSET
    description_length: int | UnsetType = UNSET
    thoughts: Thoughts | UnsetType = UNSET
    parts: tuple[Part, ...] | UnsetType = UNSET
    id_length: int | UnsetType = UNSET
    user_after_tool: bool | UnsetType = UNSET
    seed: bool | UnsetType = UNSET
    system_amid: bool | UnsetType = UNSET

    @property
    def said(self) -> Iterator[tuple[str, object]]:
        """The facts that it names."""
        for name in ModelFacts.__struct_fields__:
            value = getattr(self, name)
            if value is not UNSET:
                yield name, value

    def fits(self, provider: str, model: str) -> bool:
        """Return whether the row is for `model`, in lower case, at `provider`."""
        named = "*" in self.providers or provider in self.providers
        return named and any(fnmatchcase(model, pattern) for pattern in self.models)

    @property
    def is_of_models(self) -> bool:
        """True if the row is for some models and not for all of a provider."""
        return "*" not in self.models


class FactCatalog:
    """The rows in force."""

    def __init__(self, rows: Iterable[FactRow]) -> None:
        """Keep `rows` in their order; ConfigError for one that says nothing."""
        self.rows = tuple(rows)
        for row in self.rows:
            if not list(row.said):
                raise ConfigError(f"facts.toml: the row of {', '.join(row.models)} says nothing")

    def facts(self, provider: str, model: str, day: dt.date, known_as: str = "") -> ModelFacts:
        """Return the facts of `model` at `provider` on `day`.

        `known_as` is the callers' name of the model; it decides where the provider's own name of it, such
        as that of a deployment, fits no row.
        """
        begun = [row for row in self.rows if row.effective <= day] or self.rows
        name = model.lower()
        if known_as and not any(r.is_of_models and r.fits(provider, name) for r in begun):
            name = known_as.lower()
        said: dict[str, object] = {}
        for row in begun:
            if row.fits(provider, name):
                said.update(row.said)
        return msgspec.structs.replace(UNKNOWN_MODEL, **said)


@lru_cache(maxsize=1)
def fact_catalog() -> FactCatalog:
    """The catalog that ships with the package."""
    text = resources.files("inferworks.catalog").joinpath("facts.toml").read_text("utf-8")
    return FactCatalog(msgspec.convert(tomllib.loads(text)["facts"], list[FactRow]))
