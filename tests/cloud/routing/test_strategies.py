"""Every strategy as a table: how the offers stand, what the call is, in which order they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.cloud.offer import Offer, Rates
from inferworks.cloud.routing.policy import RoutePolicy, Strategy
from inferworks.cloud.routing.routing_state import CallFacts
from inferworks.cloud.routing.strategies import in_order
from inferworks.testing.providers import make_call, make_offer

MS = 1_000_000
PER_MILLION = 1_000_000
"""Picounits per token for a price of one unit per million tokens."""


@dataclass
class Seen:
    """A `RoutingState` that is a table."""

    load: Mapping[str, int] = field(default_factory=dict)
    wait_ms: Mapping[str, int] = field(default_factory=dict)
    chances: Random = field(default_factory=lambda: Random(7))

    def now_ns(self) -> int:
        """The clock stands still."""
        return 0

    def running(self, offer: Offer) -> int:
        """Calls running."""
        return self.load.get(offer.id, 0)

    def first_byte_ns(self, offer: Offer) -> int:
        """Time to first byte."""
        return self.wait_ms.get(offer.id, 0) * MS

    def passes(self, offer: Offer) -> bool:
        """Every breaker is closed."""
        return True

    def retry_ns(self, offer: Offer) -> int:
        """Nothing was held off."""
        return 0

    def random(self) -> float:
        """Seeded chance."""
        return self.chances.random()


def facts(
    body: bytes = b"{}", session: bytes = b"", price: tuple[int, int] | None = None
) -> CallFacts:
    """A call with this body."""
    call = replace(make_call(), body=body, session=session)
    return CallFacts(call, None if price is None else rates(*price))


def rates(input_price: float, output_price: float) -> Rates:
    """Rates of so much per million tokens."""
    return Rates(round(input_price * PER_MILLION), round(output_price * PER_MILLION))


def offer(name: str, **settings: object) -> Offer:
    """An offer of this id."""
    return replace(make_offer(offer_id=name), **settings)


def order(
    offers: Sequence[Offer],
    strategy: Strategy,
    sight: Seen | None = None,
    call: CallFacts | None = None,
    **settings: object,
) -> str:
    """The ids of `offers` in the order of `strategy`."""
    policy = replace(RoutePolicy(strategy=strategy), **settings)
    return "".join(o.id for o in in_order(offers, sight or Seen(), call or facts(), policy))


CBA = [offer("c"), offer("b"), offer("a")]


def test_fallback_keeps_the_order() -> None:
    """Offers are tried in the order in which they are written."""
    assert order(CBA, Strategy.FALLBACK, Seen({"c": 9})) == "cba"


@pytest.mark.parametrize("strategy", Strategy)
def test_a_better_priority_comes_first(strategy: Strategy) -> None:
    """An offer of a worse priority is only for when the better ones fail, whatever the strategy."""
    offers = [offer("z", priority=2), offer("y", priority=1), offer("a"), offer("b")]
    sight = Seen({"a": 9, "b": 9}, {"a": 900, "b": 900})
    names = order(offers, strategy, sight, facts(session=b"s"))
    assert sorted(names[:2]) == ["a", "b"]
    assert names[2:] == "yz"


@pytest.mark.slow
@pytest.mark.parametrize("strategy", Strategy)
@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(0, 9), max_size=6))
def test_nobody_is_lost_or_doubled(strategy: Strategy, load: dict[str, int]) -> None:
    """Every strategy returns each offer once."""
    offers = [offer(name, weight=float(n % 3)) for name, n in load.items()]
    policy = RoutePolicy(strategy=strategy)
    ordered = in_order(offers, Seen(load), facts(), policy)
    assert sorted(o.id for o in ordered) == sorted(load)


@pytest.mark.parametrize(
    ("load", "expected"),
    [({}, "abc"), ({"a": 1}, "bca"), ({"a": 2, "b": 1, "c": 3}, "bac"), ({"c": 1}, "abc")],
)
def test_least_loaded(load: dict[str, int], expected: str) -> None:
    """The fewest running calls first, ties by id."""
    assert order(CBA, Strategy.LEAST_LOADED, Seen(load)) == expected


def test_load_is_measured_by_weight() -> None:
    """An offer of twice the weight carries twice as much; weight 0 is for emergencies."""
    offers = [offer("a"), offer("b", weight=2.0), offer("c", weight=0.0)]
    assert order(offers, Strategy.LEAST_LOADED, Seen({"a": 2, "b": 3})) == "bac"


def test_weights_are_shares() -> None:
    """Over many calls each offer comes first in proportion to its weight, and weight 0 never."""
    offers = [offer("a", weight=3.0), offer("b", weight=1.0), offer("c", weight=0.0)]
    sight = Seen()
    firsts = Counter(order(offers, Strategy.WEIGHTED, sight)[0] for _ in range(4000))
    assert 2850 < firsts["a"] < 3150
    assert firsts["c"] == 0


LONG_PROMPT = b'{"max_tokens": 10}' + b" " * 40_000
LONG_ANSWER = b'{"max_completion_tokens":9000}'
CHEAP_IN, CHEAP_OUT = rates(0.1, 10.0), rates(1.0, 1.0)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (LONG_PROMPT, "iou"),
        (LONG_ANSWER, "oiu"),
        (b'{"max_output_tokens" : 1, "input": "' + b"x" * 400, "iou"),
        (b"{}", "oiu"),
    ],
)
def test_cheapest_is_about_this_call(body: bytes, expected: str) -> None:
    """A long prompt goes where input is cheap, a long answer where output is; unknown rates come last."""
    offers = [offer("u"), offer("i", rates=CHEAP_IN), offer("o", rates=CHEAP_OUT)]
    assert order(offers, Strategy.CHEAPEST, None, facts(body)) == expected


def test_equal_costs_go_by_load() -> None:
    """Among offers of one price the least loaded is taken."""
    offers = [offer(name, rates=CHEAP_IN) for name in "abc"]
    assert order(offers, Strategy.CHEAPEST, Seen({"a": 1, "b": 2})) == "cab"


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"max_tokens":7}', 7),
        (b'{"max_completion_tokens" :\n 8}', 8),
        (b'{"messages":[{"content":"say \\"max_tokens\\":9"}],"max_tokens":5}', 5),
        (b'{"messages":[{"content":"say \\"max_tokens\\":9"}]}', 500),
        (b'{"max_tokens":null}', 500),
        (b"", 500),
    ],
)
def test_the_limit_of_an_answer(body: bytes, tokens: int) -> None:
    """The request's own limit, in any of OpenAI's and Anthropic's names; words in a prompt are none."""
    assert facts(body).output_tokens(500) == tokens


def test_fastest_takes_the_better_of_two() -> None:
    """The slowest of three is never first, and the others share, the faster more often."""
    sight = Seen(wait_ms={"a": 100, "b": 200, "c": 3000})
    firsts = Counter(order(CBA, Strategy.FASTEST, sight)[0] for _ in range(3000))
    assert firsts["c"] == 0
    assert 1900 < firsts["a"] < 2100


def test_fastest_minds_what_is_running() -> None:
    """A quick offer with a queue is no longer the quickest; the rest come in the order of their wait."""
    two = [offer("a"), offer("b")]
    assert order(two, Strategy.FASTEST, Seen({"a": 5}, {"a": 100, "b": 300})) == "ba"
    sight = Seen({}, {"a": 100, "b": 200, "c": 300})
    assert {order(CBA, Strategy.FASTEST, sight)[1:] for _ in range(50)} == {"bc", "ac"}


def test_an_unknown_offer_is_tried_soon() -> None:
    """Of two offers the one of which nothing is known goes first, or it would stay unknown."""
    assert order([offer("a"), offer("b")], Strategy.FASTEST, Seen(wait_ms={"a": 100})) == "ba"


def chat(system: str, question: str) -> bytes:
    """The body of a chat."""
    return (
        f'{{"model":"m","user":"{question}","messages":[{{"role":"system","content":"{system}"}},'
        f'{{"role":"user","content":"{question}"}}]}}'
    ).encode()


MANY = [offer(f"{n:x}") for n in range(8)]


def test_prompts_that_begin_alike_stay_together() -> None:
    """Parts of the body before the prompt, and after its beginning, do not matter."""
    system = "You are the helpful assistant of a shop. " * 60
    first = {order(MANY, Strategy.PREFIX, None, facts(chat(system, q)))[0] for q in "abcdefgh"}
    assert len(first) == 1


def test_prompts_that_begin_otherwise_spread() -> None:
    """Different beginnings go to different offers, about evenly."""
    firsts = Counter(
        order(MANY, Strategy.PREFIX, None, facts(chat(f"Prompt {n}", "?")))[0] for n in range(1600)
    )
    assert len(firsts) == 8
    assert max(firsts.values()) < 260
    assert min(firsts.values()) > 140


def test_a_hot_prefix_spills() -> None:
    """An offer over the bound comes after all others, which keep their own order."""
    call = facts(chat("hot", "?"))
    usual = order(MANY, Strategy.PREFIX, None, call)
    at_bound = Seen({usual[0]: 8})
    assert order(MANY, Strategy.PREFIX, at_bound, call) == usual[1:] + usual[0]
    assert order(MANY, Strategy.PREFIX, at_bound, call, spill_above=9) == usual
    busy = Seen({o.id: 20 for o in MANY})
    assert order(MANY, Strategy.PREFIX, busy, call) == usual


def test_sessions_stay_together_and_move_little() -> None:
    """A session has one order of offers; when one goes only its own sessions move."""
    sessions = [facts(session=b"session %d" % n) for n in range(400)]
    before = [order(MANY, Strategy.SESSION, None, s) for s in sessions]
    assert before == [order(MANY, Strategy.SESSION, Seen({"3": 50}), s) for s in sessions]
    without = [o for o in MANY if o.id != "3"]
    after = [order(without, Strategy.SESSION, None, s) for s in sessions]
    assert after == [names.replace("3", "") for names in before]
    assert len({names[0] for names in before}) == 8


def test_a_call_without_a_session_goes_by_load() -> None:
    """A call without a session has nothing to keep together."""
    assert order(CBA, Strategy.SESSION, Seen({"a": 1})) == "bca"


def test_sessions_spread_by_weight() -> None:
    """An offer of three times the weight gets three times the sessions, and weight 0 none."""
    offers = [offer("a", weight=3.0), offer("b"), offer("c", weight=0.0)]
    sessions = (facts(session=b"session %d" % n) for n in range(2000))
    firsts = Counter(order(offers, Strategy.SESSION, None, s)[0] for s in sessions)
    assert 1400 < firsts["a"] < 1600
    assert firsts["c"] == 0


EARNERS = [
    offer("d", rates=rates(9, 9)),
    offer("u"),
    offer("m", rates=rates(2, 2)),
    offer("c", rates=rates(1, 1)),
]


@pytest.mark.parametrize(
    ("price", "wait_ms", "expected"),
    [
        ((3, 3), {}, "cmud"),
        (None, {}, "cmdu"),
        ((3, 3), {"c": 2001}, "mudc"),
        ((3, 3), {"c": 2000}, "cmud"),
        ((3, 3), {"c": 9000, "m": 5000}, "udmc"),
    ],
)
def test_highest_margin(
    price: tuple[int, int] | None, wait_ms: dict[str, int], expected: str
) -> None:
    """The call's revenue counts; an unknown cost before a known loss; the slow last, by their latency."""
    sight = Seen(wait_ms=wait_ms)
    assert order(EARNERS, Strategy.MARGIN, sight, facts(price=price)) == expected


@pytest.mark.parametrize("body", [b'"input":"x"', b'{"model":"m","messages":[]}'])
def test_a_prefix_begins_with_the_prompt(body: bytes) -> None:
    """The prompt's own key is where it begins."""
    assert facts(body).prefix(6) in (b'"input', b'"messa')


def test_a_body_without_a_prompt_is_its_own_prefix() -> None:
    """A form, say."""
    assert facts(b"--boundary").prefix(4) == b"--bo"
