"""`GET /v1/usage`: what a customer has used and what it costs, for the customer.

The answer has the form of OpenAI's usage API: pages of buckets of an hour or a day (UTC), and in each the
sums by what was asked for (`group_by`): model, project, key. Beside them stands the cost, which OpenAI has
in an API of its own.

*Whose.* A key shows all use of its customer, and nothing of anybody else: names of others in a filter find
nothing, as names that there are not. A key that is limited to some models or operations is given to
somebody who shall do little with it, so it shows its own use alone.

*What counts.* Calls that were answered, or cut short after they had begun: those that are paid for. Others
are counted beside them and have used nothing. What others have reported of the customer counts too, and
what was taken back does not: as in the books.

*Cost.* The price of the customer's plan, never what is paid to providers: the amounts of a day add up to
the usage of the same calls on a statement, to the picounit. Where a plan prices by the sum of a month
(tiers, packages, included units) or has no price for a model, or without a plan, single calls have no
amount; how many those are is told. Fees, minimums, discounts and tax are of the month and not in it.

*As of now.* A call that has ended is in the next answer. What other gateways have served comes in when
they archive it into the same lake, or ship it.

*Bounds.* At most 31 days or 168 hours a page; no more archived rows than `MOST_ROWS`; one question of a
customer at a time, and few of all together, in threads of their own.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Annotated, Any, Final, Literal, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from inferworks.accounts.plan import PricePlan, plan_at
from inferworks.api.admission import authenticate
from inferworks.api.context import AppContext
from inferworks.api.errors import identify, style_of
from inferworks.api.pricing import CallPricing, plan_pricing
from inferworks.api.questions import UsageReads
from inferworks.books.revenue.rating import EARNING, PAYING
from inferworks.catalog.units import DIRECTIONS
from inferworks.errors import CallError, DataFolderError, LakeError, UserError
from inferworks.http.server import Exchange
from inferworks.ids import CustomerId, KeyId, ModelId
from inferworks.meter.used import USED_UNITS, Used
from inferworks.money import format_pico
from inferworks.units import NS_PER_SECOND, Unit

MOST_ROWS: Final = 5_000_000
"""Most archived rows that one answer reads: a few seconds."""
_MOST_RESULTS: Final = 10_000
"""Most results on a page."""
_WIDTHS_S: Final = {"1h": 3600, "1d": 86_400}
_USUAL: Final = {"1h": 24, "1d": 7}
_MOST_BUCKETS: Final = {"1h": 168, "1d": 31}
_MOST_PARAMETERS: Final = 64
_MOST_NAMES: Final = 50
_LAST_S: Final = 2**33
"""Second in the year 2242, before which all times lie."""
_LISTS: Final = {"group_by", "models", "project_ids", "api_key_ids"}
_FIELDS: Final = {"model": "model", "project_id": "project", "api_key_id": "key_id"}
"""Names by which results can be grouped, with the field of `UsedBy`."""


class Amount(msgspec.Struct, frozen=True):
    """Amount of money."""

    value: str
    """Decimal, exact."""
    currency: str


class UsageResult(msgspec.Struct, frozen=True, kw_only=True):
    """Use of a bucket, of what was grouped by."""

    object: Literal["usage.result"] = "usage.result"
    model: str | None = None
    project_id: str | None = None
    api_key_id: str | None = None
    num_model_requests: int = 0
    """Calls that are paid for: answered, or cut short after they had begun."""
    num_failed_requests: int = 0
    """Calls that were refused or failed, which have used nothing."""
    input_tokens: int = 0
    input_cached_tokens: int = 0
    """Part of the input."""
    output_tokens: int = 0
    output_reasoning_tokens: int = 0
    """Part of the output."""
    images: int = 0
    audio_ms: int = 0
    characters: int = 0
    searches: int = 0
    cost: list[Amount] = []
    """Cost by currency, of calls that have an amount."""
    num_unpriced_requests: int = 0
    """Calls that are paid for and have no amount of their own."""


class UsageBucket(msgspec.Struct, frozen=True, kw_only=True):
    """Use of an hour or a day, or of the part of it that was asked for."""

    object: Literal["bucket"] = "bucket"
    start_time: int
    """Seconds since 1970-01-01 UTC."""
    end_time: int
    results: list[UsageResult]


class UsagePage(msgspec.Struct, frozen=True, kw_only=True):
    """Some buckets, and the name of the page after them."""

    object: Literal["page"] = "page"
    as_of: int
    """Moment up to which calls that have ended are in it, in seconds since 1970-01-01 UTC."""
    data: list[UsageBucket]
    has_more: bool
    next_page: str | None


Seconds = Annotated[int, Meta(ge=0, le=_LAST_S)]
Names = Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=_MOST_NAMES)]


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `GET /v1/usage`."""

    start_time: Seconds
    """First second (Unix time)."""
    end_time: Seconds | None = None
    """First second after the last; now, if it is left out."""
    bucket_width: Literal["1h", "1d"] = "1d"
    """Width of a bucket: an hour or a day, in UTC."""
    group_by: list[Literal["model", "project_id", "api_key_id"]] = []
    """Names that results are told apart by; separated by commas, or given several times."""
    models: Names = []
    """Only these models; so with projects and keys."""
    project_ids: Names = []
    api_key_ids: Names = []
    limit: Annotated[int, Meta(ge=1, le=168)] | None = None
    """Buckets on a page: 7 days (at most 31) or 24 hours (at most 168)."""
    page: Annotated[str, Meta(max_length=40)] | None = None
    """`next_page` of the answer before."""


async def usage(exchange: Exchange, context: AppContext) -> None:
    """Tell what the key's customer has used, and what it costs."""
    identify(exchange, style_of(exchange))
    key = authenticate(exchange, context.keyring, context.clock)
    query = query_of(exchange.query)
    span = span_of(query, context.clock.now_ns() // NS_PER_SECOND)
    if context.usage is None:
        raise CallError(404, "This gateway tells no usage.")
    reads, tariffs = context.usage, context.tariffs
    plans = () if tariffs is None else tariffs.plans_of(key.customer)
    own = key.id if key.models or key.operations else None

    def work() -> bytes:
        return msgspec.json.encode(answer(reads, plans, key.customer, query, span, own=own))

    await exchange.respond(200, await context.questions.in_thread(key.customer, work))


def query_of(text: str) -> UsageQuery:
    """Return the parameters in a query string; CallError 400 for one that is unknown, wrong or twice."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text),
                          max_num_fields=_MOST_PARAMETERS, errors="strict")  # fmt: skip
    except ValueError as error:
        raise _invalid(f"The query string cannot be read: {error}.", None) from error
    sent: dict[str, Any] = {}
    for name, value in pairs:
        name, is_list = name.removesuffix("[]"), name.removesuffix("[]") in _LISTS
        if is_list:
            sent.setdefault(name, []).extend(value.split(","))
        elif name in sent:
            raise _invalid(f"'{name}' is given twice.", name)
        else:
            sent[name] = value
    try:
        return msgspec.convert(sent, UsageQuery, strict=False)
    except msgspec.ValidationError as error:
        words = str(error).replace("Object", "The query string")
        found = re.search(r"\$\.([a-z_]+)", words) or re.search(r"`([a-z_]+)`", words)
        raise _invalid(f"{words}.", found[1] if found else None) from error


class Span(NamedTuple):
    """Buckets of an answer."""

    edges_s: list[int]
    """Edges of the buckets in seconds since 1970-01-01 UTC."""
    rest_s: int | None
    """Start of the buckets that are left for the next page."""
    now_s: int


def span_of(query: UsageQuery, now_s: int) -> Span:
    """Return the buckets of the page that `query` asks for; CallError 400 when there are none."""
    width_s, most = _WIDTHS_S[query.bucket_width], _MOST_BUCKETS[query.bucket_width]
    end_s = now_s + 1 if query.end_time is None else query.end_time
    start_s = query.start_time
    if query.page is not None:
        text = query.page.removeprefix("page_")
        start_s = int(text) if text.isascii() and text.isdecimal() else -1
        if start_s % width_s or not query.start_time <= start_s < end_s:
            raise _invalid("'page' is not the 'next_page' of an answer to this question.", "page")
    if start_s >= end_s:
        raise _invalid("'end_time' must be after 'start_time'.", "end_time")
    limit = _USUAL[query.bucket_width] if query.limit is None else query.limit
    if limit > most:
        raise _invalid(f"'limit' is at most {most} for buckets of {query.bucket_width}.", "limit")
    edges_s = [start_s]
    while edges_s[-1] < end_s and len(edges_s) <= limit:
        edges_s.append(min(end_s, (edges_s[-1] // width_s + 1) * width_s))
    return Span(edges_s, edges_s[-1] if edges_s[-1] < end_s else None, now_s)


def answer(
    reads: UsageReads,
    plans: Sequence[PricePlan],
    customer: CustomerId,
    query: UsageQuery,
    span: Span,
    own: KeyId | None = None,
) -> UsagePage:
    """Return the page of what `customer` has used, at the prices of its `plans`; with `own`, of one key.

    CallError when it would be too much to read, or cannot be read.
    """
    edges_ns = [edge * NS_PER_SECOND for edge in span.edges_s]
    changes_ns = {plan.effective_ns for plan in plans}
    cut_ns = sorted({*edges_ns, *(at for at in changes_ns if edges_ns[0] < at < edges_ns[-1])})
    by_key = bool(query.project_ids or query.api_key_ids or own or {*query.group_by} - {"model"})
    try:
        found = reads.used(customer, cut_ns, by_key=by_key, most_rows=MOST_ROWS)
    except (DataFolderError, LakeError) as error:
        raise CallError(503, "The usage cannot be read at the moment; try again later.",
                        kind="server_error", code="usage_unreadable") from error  # fmt: skip
    except UserError as error:
        text = (
            "That is too much to read at once: ask for a shorter time, or for days by model alone."
        )
        raise _invalid(text, "start_time") from error
    sums: dict[tuple[int, tuple[str, ...]], _Sum] = defaultdict(_Sum)
    prices = _Prices(plans)
    for one in found:
        by = one.by
        if (
            (query.models and by.model not in query.models)
            or (query.project_ids and by.project not in query.project_ids)
            or (query.api_key_ids and by.key_id not in query.api_key_ids)
            or (own is not None and by.key_id != own)
        ):
            continue
        at_ns = cut_ns[by.interval]
        label = tuple(getattr(by, _FIELDS[name]) for name in query.group_by)
        sums[bisect_right(edges_ns, at_ns) - 1, label].add(one, prices.cost(one, at_ns))
    if len(sums) > _MOST_RESULTS:
        raise _invalid(
            f"That would be {len(sums)} results: ask for fewer buckets, or group by less.", "limit"
        )
    results: list[list[UsageResult]] = [[] for _ in edges_ns[1:]]
    for (bucket, label), made in sorted(sums.items(), key=itemgetter(0)):
        results[bucket].append(made.result(dict(zip(query.group_by, label, strict=True))))
    spans = zip(pairwise(span.edges_s), results, strict=True)
    buckets = [
        UsageBucket(start_time=start_s, end_time=end_s, results=of)
        for (start_s, end_s), of in spans
    ]
    rest = None if span.rest_s is None else f"page_{span.rest_s}"
    return UsagePage(as_of=span.now_s, data=buckets, has_more=rest is not None, next_page=rest)


class _Prices:
    """Prices of one customer's sums."""

    def __init__(self, plans: Sequence[PricePlan]) -> None:
        self._plans = plans
        self._known: dict[tuple[int, str], tuple[PricePlan, CallPricing | None] | None] = {}
        """Plan in force at a moment, and its prices of a model."""

    def cost(self, used: Used, at_ns: int) -> tuple[int, str] | None:
        """Return the cost of calls that are paid for, in picounits and their currency; None if unknown."""
        plan, tariff = self._at(at_ns, used.by.model) or (None, None)
        if plan is None or tariff is None or not used.is_sound:
            return None
        if used.by.purpose not in EARNING:
            return 0, plan.currency
        rates = tariff.steps[0].rates
        total_pico = 0
        for unit, quantity in (
            *zip(USED_UNITS, used.counts, strict=True),
            (Unit.REQUESTS, used.calls),
        ):
            if quantity and unit not in rates:
                return None
            total_pico += quantity * rates.get(unit, 0)
        return total_pico, plan.currency

    def _at(self, at_ns: int, model: str) -> tuple[PricePlan, CallPricing | None] | None:
        if (at_ns, model) not in self._known:
            plan = plan_at(self._plans, self._plans[0].customer, at_ns) if self._plans else None
            priced = None if plan is None else (plan, plan_pricing(plan, ModelId(model)))
            self._known[at_ns, model] = priced
        return self._known[at_ns, model]


class _Sum:
    """Sum of what was used."""

    def __init__(self) -> None:
        self._counts: Counter[Unit] = Counter()
        self._cost_pico: Counter[str] = Counter()
        self._calls = self._failed = self._unpriced = 0

    def add(self, used: Used, cost: tuple[int, str] | None) -> None:
        """Add some calls with their cost."""
        if used.by.outcome not in PAYING:
            self._failed += used.calls
            return
        self._calls += used.calls
        self._counts.update(dict(zip(USED_UNITS, used.counts, strict=True)))
        if cost is None:
            self._unpriced += used.calls
        else:
            self._cost_pico[cost[1]] += cost[0]

    def result(self, label: Mapping[str, Any]) -> UsageResult:
        """Return it as it is answered."""
        side = {"input": 0, "output": 0}
        for unit in DIRECTIONS:
            side[DIRECTIONS[unit].lower()] += self._counts[unit]
        return UsageResult(
            **label,
            num_model_requests=self._calls,
            num_failed_requests=self._failed,
            input_tokens=side["input"],
            input_cached_tokens=self._counts[Unit.CACHE_READ_TOKENS],
            output_tokens=side["output"],
            output_reasoning_tokens=self._counts[Unit.REASONING_TOKENS],
            images=self._counts[Unit.IMAGES],
            audio_ms=self._counts[Unit.AUDIO_MS],
            characters=self._counts[Unit.CHARACTERS],
            searches=self._counts[Unit.SEARCHES],
            cost=[
                Amount(format_pico(p), currency) for currency, p in sorted(self._cost_pico.items())
            ],
            num_unpriced_requests=self._unpriced,
        )


def _invalid(message: str, param: str | None) -> CallError:
    return CallError(400, message, param=param, code="invalid_value")
