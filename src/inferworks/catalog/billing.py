"""Reading of the names on bills: `billing.toml`, and one's own rows before it.

Problem. The meter says `bedrock` and `anthropic.claude-sonnet-4-5-20250929-v1:0`; the bill says "Amazon Web
Services EMEA SARL", "Claude Sonnet 4.5 (Amazon Bedrock Edition)" and `USE1-MP:USE1_InputTokenCount-Units`.
Only the vendor decides which names belong together, and each vendor decides otherwise.

Decision. Names are normalised, without habits of spelling (capitals, punctuation, "Inc.", a maker's prefix,
a region), and are then equal or not. The remaining cases stand in a table, with a source for each row. The
normal form of a model keeps letters and digits, each in their order, for `claude-3-5-sonnet`, "Claude 3.5
Sonnet" and "Claude Sonnet 3.5" are one, and 4.5 is not 5.4. A date or a version divides two names only
where both have one: a caller of `gpt-4o` is billed for `gpt-4o-2024-08-06`.

Rejected. Names that contain each other (`gpt-4o` is in `gpt-4o-mini`), likeness by a score: both guess, and
a wrong guess silently moves money from one customer to another.
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import msgspec


class Means(StrEnum):
    """Meaning of a word in a meter, a description or a unit."""

    INPUT = "input"
    OUTPUT = "output"
    CACHE = "cache"
    READ = "read"
    WRITE = "write"
    HOUR = "hour"
    """Kept in the cache for an hour."""
    UNCACHED = "uncached"
    REASONING = "reasoning"
    AUDIO = "audio"
    IMAGE = "image"
    TOKENS = "tokens"
    CALLS = "calls"
    """Something else that calls are counted by."""
    RESERVED = "reserved"
    """Capacity for calls, whether or not there are any."""
    OTHER = "other"
    """Units by which no calls are counted: seats, support, storage."""
    KIND = "kind"
    """Word for the modality of a model; perhaps a part of its name."""
    PLAIN = "plain"
    """No part of a name: a tier, a route, a quantity."""
    BREAK = "break"
    """Boundary between two things."""


class SellerRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Lines of `names` for `services` are for calls at `providers`."""

    providers: tuple[str, ...]
    names: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    family: str = ""
    source: str = ""
    as_of: dt.date = dt.date.min


class WordRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Common meaning of each of `words`."""

    means: Means
    words: tuple[str, ...]
    source: str
    as_of: dt.date


class Alias(msgspec.Struct, frozen=True, order=True):
    """Name on bills, `billed`, of the model that calls name `model`."""

    billed: str
    model: str


class BillingTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that says how bills are read."""

    legal_forms: tuple[str, ...] = ()
    developers: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    seller: tuple[SellerRow, ...] = ()
    word: tuple[WordRow, ...] = ()
    own: tuple[SellerRow, ...] = ()
    """Rows of the configuration, which go before `seller`."""
    aliases: tuple[Alias, ...] = ()
    version: int = 1
    """Version of the reading rules; 0: names are compared as they are (`first_table`)."""


class ModelName(NamedTuple):
    """A model's name in normal form, without habits of spelling of bills and meters."""

    letters: str
    digits: str
    dates: frozenset[str] = frozenset()
    """The ways in which its date is written short: `20240806`, `0806`, `2408`."""
    version: str = ""

    def is_of(self, other: ModelName) -> bool:
        """Return whether both may be one model: alike, and of no different date or version."""
        return (
            (self.letters, self.digits) == (other.letters, other.digits)
            and not (self.dates and other.dates and self.dates.isdisjoint(other.dates))
            and not (self.version and other.version and self.version != other.version)
        )


class Seller(NamedTuple):
    """Seller of the calls that a line is for."""

    providers: frozenset[str]
    """Names of the providers in the form of `name_forms`."""
    family: str = ""
    known: bool = False
    """True if a row says so, and not the names alone."""
    by_service: bool = False
    """True if a row names the service, too: whatever its category, it is for calls."""


class Named(NamedTuple):
    """A model that a text may name."""

    model: ModelName
    certain: bool
    """True if the name is of a model for certain; else it is the rest of the text."""


class Said(NamedTuple):
    """Meanings and models found in the text of a line."""

    means: frozenset[Means]
    models: tuple[Named, ...]


NOTHING_SAID = Said(frozenset(), ())


class Billing:
    """Reads names by a table."""

    def __init__(self, table: BillingTable) -> None:
        self.is_first = table.version == 0
        """True if the table reads bills as before there were tables."""
        self._legal_forms = frozenset(table.legal_forms)
        self._developers = frozenset(table.developers)
        self._families = frozenset(table.families)
        self._sellers: dict[tuple[str, str, str], Seller] = {}
        self._said: dict[tuple[str, str], Said] = {}
        self._models: dict[str, ModelName] = {}
        self._forms: dict[str, frozenset[str]] = {}
        self._words: dict[str, set[Means]] = {}
        for row in table.word:
            for word in row.words:
                self._words.setdefault(word, set()).add(row.means)
        self._rows = [list(map(self._formed, rows)) for rows in (table.own, table.seller)]
        self._billed_as: dict[str, list[ModelName]] = {}
        for alias in table.aliases:
            self._billed_as.setdefault(alias.model, []).append(self.model(alias.billed))
        self._billed = frozenset(_squeezed(alias.billed) for alias in table.aliases)

    def seller(self, provider: str, issuer: str, service: str) -> Seller:
        """Return the seller of the calls that a line is for: by rows of the table, else by its own names.

        An empty seller, where the issuer sells much and no row has the service that the line names.
        """
        key = (provider, issuer, service)
        if key not in self._sellers:
            self._sellers[key] = self._seller(*key)
        return self._sellers[key]

    def _seller(self, provider: str, issuer: str, service: str) -> Seller:
        names = self.forms(provider) | self.forms(issuer)
        services = self.forms(service)
        edition = edition_of(service)
        if edition:
            services |= self.forms(edition[1])
        for rows in self._rows:
            for of_service in (True, False):
                found = [
                    row
                    for row in rows
                    if bool(row.services) is of_service
                    and (not row.names.isdisjoint(names) or (not row.names and services))
                    and (not of_service or not row.services.isdisjoint(services or row.services))
                ]
                if found:
                    providers = frozenset().union(*(row.providers for row in found))
                    by_service = of_service and bool(services)
                    return Seller(providers, found[0].family, True, by_service)
        if any(not row.names.isdisjoint(names) for rows in self._rows for row in rows):
            return Seller(frozenset())
        return Seller(names | services)

    def forms(self, name: str) -> frozenset[str]:
        """The forms in which `name` is compared: without a legal form, and without "AI" after that."""
        if name not in self._forms:
            self._forms[name] = frozenset(_name_forms(name, self._legal_forms))
        return self._forms[name]

    def model(self, name: str) -> ModelName:
        """`name`, of a model, in the form in which it is compared."""
        if name not in self._models:
            text = _plain(name)
            if " " not in text:
                text = text.rpartition("/")[2]
            text = _ROUTE.sub("", text)
            text, version = _taken(_VERSION, text)
            if not version and "claude" in text:
                text, version = _taken(_CLAUDE_VERSION, text)
            text, dates = _dated(_REVISION.sub("", text))
            pieces = [p for p in _pieces(text) if p not in self._developers and p not in _NO_NAME]
            runs = [run for piece in pieces for run in re.findall(r"\d+", piece)]
            letters = re.sub(r"\d", "", "".join(pieces))
            digits = "".join(run for at, run in enumerate(runs) if at == 0 or run.strip("0"))
            self._models[name] = ModelName(letters, digits, dates, version)
        return self._models[name]

    def said(self, text: str, family: str = "") -> Said:
        """Parse `text` of a meter or a description; `family` is the part of a name that it may omit."""
        if len(text) > _LONGEST:
            return NOTHING_SAID
        key = (text, family)
        if key not in self._said:
            means: set[Means] = set()
            models: list[Named] = []
            known = _UNCACHED.sub("uncached", _AWS_REGION.sub("", text))
            for segment in self._segments(known):
                pieces = [self._piece(piece) for piece in _pieces(segment)]
                means.update(*(found for _, found in pieces))
                models += self._candidates(segment, pieces, family)
            if _squeezed(text) in self._billed:
                models = [Named(self.model(text), certain=True)]
            self._said[key] = Said(frozenset(means), tuple(dict.fromkeys(models)))
        return self._said[key]

    def billed_as(self, model: str) -> tuple[ModelName, ...]:
        """Return the names that bills may use for the model that calls name `model`."""
        return (self.model(model), *self._billed_as.get(model, ()))

    def _formed(self, row: SellerRow) -> _FormedRow:
        names, services, providers = (
            frozenset(form for name in given for form in _name_forms(name, self._legal_forms))
            for given in (row.names, row.services, row.providers)
        )
        return _FormedRow(names, services, providers, row.family)

    def _segments(self, text: str) -> Iterator[str]:
        """`text` cut where one thing ends and another begins."""
        for part in _BREAKS.split(text):
            words: list[str] = []
            for given in part.split():
                maker, _, name = given.rpartition("/")
                word = given if maker.casefold() in self._words else name
                if Means.BREAK in self._words.get(word.casefold(), ()):
                    yield " ".join(words)
                    words = []
                else:
                    words.append(word)
            yield " ".join(words)

    def _piece(self, piece: str) -> tuple[str, frozenset[Means]]:
        """Return a piece of a segment with its meanings; a camel case word has those of all its parts."""
        folded = piece.casefold()
        if folded in self._words:
            return piece, frozenset(self._words[folded])
        parts = [part.casefold() for part in _CAMEL.split(piece)]
        if len(parts) > 1 and all(part in self._words for part in parts):
            return piece, frozenset().union(*(self._words[part] for part in parts))
        return piece, frozenset()

    def _candidates(
        self, segment: str, pieces: list[tuple[str, frozenset[Means]]], family: str
    ) -> Iterator[Named]:
        """The model that a segment may name: with the words of its kind, and without."""
        if all(found for _, found in pieces):
            return
        brief = bool(family) and pieces[0][0][0].isdigit()
        means = frozenset().union(*(found for _, found in pieces))
        is_id = not means.isdisjoint(_DIRECTED) and any(
            # as models' ids are written, `solora-atlas-5.5`, and as no region is
            _ID.fullmatch(word) and not _REGION_ID.fullmatch(word)
            for word in segment.casefold().split()
        )
        for kept in (_KINDS | {Means.KIND}, _KINDS, frozenset[Means]()):
            left = [piece for piece, found in pieces if found <= kept]
            model = self.model(" ".join([family, *left] if brief else left))
            if model.letters:
                yield Named(model, brief or is_id or any(map(self._is_family, left)))

    def _is_family(self, piece: str) -> bool:
        """Return whether a well-known model's name begins with `piece`, its digits, or its first word."""
        folded = piece.casefold()
        heads = (folded, re.split(r"\d", folded)[0], _CAMEL.split(piece)[0].casefold())
        return not self._families.isdisjoint(heads)


class _FormedRow(NamedTuple):
    names: frozenset[str]
    services: frozenset[str]
    providers: frozenset[str]
    family: str


def edition_of(service: str) -> tuple[str, str] | None:
    """The two parts of a service that is sold by another: "Claude 3 (Amazon Bedrock Edition)"."""
    match = _EDITION.fullmatch(service.strip())
    return (match[1], match[2]) if match else None


@lru_cache(maxsize=1)
def shipped_table() -> BillingTable:
    """The table that ships with the package."""
    text = resources.files("inferworks.catalog").joinpath("billing.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), BillingTable)


def first_table() -> BillingTable:
    """Stand-in for the table of periods closed before there were tables."""
    return BillingTable(version=0)


@lru_cache(maxsize=8)
def billing_of(table: BillingTable) -> Billing:
    """The reader of `table`; the same one each time, for it keeps what it has read."""
    return Billing(table)


@lru_cache(maxsize=1)
def shipped_billing() -> Billing:
    """The reader of the table that ships with the package."""
    return billing_of(shipped_table())


_LONGEST = 1000
"""Characters of a text that is looked through for names."""
_KINDS = frozenset({Means.AUDIO, Means.IMAGE, Means.REASONING, Means.CALLS})
"""Meanings that distinguish meters, by words that a model's name may have, too."""
_DIRECTED = frozenset({Means.INPUT, Means.OUTPUT, Means.TOKENS})
_ID = re.compile(r"(?=\S*[a-z])(?=\S*\d)[\w.:@/]+-[\w.:@/-]+")
_REGION_ID = re.compile(r"[a-z]{2,}(?:-[a-z]+)*-\d[a-z]?")
_BREAKS = re.compile(r"[,;|()\[\]]|\s[-–—]\s|:\s")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_AWS_REGION = re.compile(
    r"^(?:(?:US|UG|EU|AP|CA|SA|ME|AF|IL|MX)[A-Z]{0,2}\d?-)?(?:MP:[A-Z]{2,3}\d?_)?"
)
"""Prefix of an AWS usage type: its region, and once more for the marketplace."""
_UNCACHED = re.compile(r"(?<![a-z])(?:no|non|not)[-_ ]cached?(?![a-z])", re.IGNORECASE)
_EDITION = re.compile(r"(.+?)\s*\(([^()]+)\)")
_ROUTE = re.compile(r"^(?:us-gov|us|eu|apac|global|jp|au|ca|sa|me|af|in)\.(?=[a-z])")
"""Prefix of a model's id on Bedrock: the regions over which it is called."""
_DATE = re.compile(r"(?<!\d)(20\d\d)[-. ]?(0[1-9]|1[0-2])[-. ]?(0[1-9]|[12]\d|3[01])(?!\d)")
_MONTH = re.compile(r"(?<!\d)(0[1-9]|1[0-2])[- ]20(\d\d)(?!\d)")
_STAMP = re.compile(
    r"(?<=[-@ ])(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|2[3-9](?:0[1-9]|1[0-2]))(?![\da-z.])"
)
_VERSION = re.compile(r"[-. ]v(\d+)(?::\d+)+$")
_CLAUDE_VERSION = re.compile(r"[-. ]v(\d)$")
_REVISION = re.compile(r"[-. ]00\d$")
_NO_NAME = frozenset({"latest", "preview", "ga"})


def _name_forms(name: str, legal_forms: frozenset[str]) -> Iterator[str]:
    words = _pieces(_plain(name).replace(".", ""))
    while len(words) > 1 and words[-1] in legal_forms:
        words.pop()
    if words:
        yield "".join(words)
    if len(words) > 1 and words[-1] == "ai":
        yield "".join(words[:-1])


def _dated(text: str) -> tuple[str, frozenset[str]]:
    """`text` without its date, and the ways in which that is written."""
    for pattern in (_DATE, _MONTH, _STAMP):
        match = pattern.search(text)
        if match and match.start():
            left = f"{text[: match.start()]} {text[match.end() :]}"
            if pattern is _DATE:
                year, month, day = match.groups()
                return left, frozenset({year + month + day, month + day, year[2:] + month})
            return left, frozenset({match[2] + match[1] if pattern is _MONTH else match[0]})
    return text, frozenset()


def _taken(pattern: re.Pattern[str], text: str) -> tuple[str, str]:
    match = pattern.search(text)
    return (text[: match.start()], match[1]) if match else (text, "")


def _plain(text: str) -> str:
    """`text` without capitals, accents and outer space."""
    apart = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def _pieces(text: str) -> list[str]:
    return [piece for piece in re.split(r"[\W_]+", text) if piece]


def _squeezed(text: str) -> str:
    return "".join(_pieces(_plain(text)))


def with_own(
    table: BillingTable, own: Iterable[SellerRow], aliases: Iterable[Alias]
) -> BillingTable:
    """`table` with rows of the configuration before its own."""
    return msgspec.structs.replace(table, own=tuple(own), aliases=tuple(sorted(set(aliases))))
