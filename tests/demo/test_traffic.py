"""The demo's client sends each call as it was planned, and takes its answer as far as the plan wants it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from inferworks.demo.scenario import UNKNOWN_MODEL, Ending, PlannedCall
from inferworks.demo.traffic import Answered, send_all
from inferworks.errors import UpstreamError
from inferworks.ids import CustomerId
from inferworks.testing.upstream import Answer, FakeUpstream, Fault, open_upstream
from inferworks.testing.upstreams.vendors import VLLM

ACME = CustomerId("acme")
WORDS = ("Hello", " there", ".")


def planned(number: int = 0, **changes: Any) -> PlannedCall:
    """A call that is due at once."""
    call = PlannedCall(
        number, ACME, 0, "What is it?", stream=False, max_tokens=9, exact=False, temperature=0.5
    )
    return replace(call, **changes)


def sent(*calls: PlannedCall, answer: Answer | None = None) -> tuple[list[Answered], FakeUpstream]:
    """The answers to `calls`, and the upstream that gave them."""
    told: list[None] = []

    async def send() -> tuple[list[Answered], FakeUpstream]:
        named = ((b"x-inferworks-call-id", b"call-7"),)
        async with open_upstream(
            answer or Answer(words=WORDS, headers=named), vendor=VLLM
        ) as upstream:
            answers = await send_all(
                upstream.origin.url, "m", {ACME: "iw_1"}, calls, lambda: told.append(None)
            )
            return list(answers), upstream

    found = asyncio.run(send())
    assert len(told) == len(calls)
    return found


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_is_joined_from_its_pieces(stream: bool) -> None:
    """The same text, whether it came whole or streamed, with the gateway's id of the call."""
    [answered], _ = sent(planned(stream=stream))
    assert answered == Answered("call-7", whole=True, text="Hello there.")


def test_a_request_is_what_the_plan_says() -> None:
    """The key of its customer, its limits, and the number as its seed; an exact one bars the end."""
    _, upstream = sent(planned(3), planned(4, stream=True, exact=True))
    plain, exact = sorted(
        (json.loads(one.body) for one in upstream.received), key=lambda r: r["seed"]
    )
    assert plain == {
        "model": "m",
        "messages": [{"role": "user", "content": "What is it?"}],
        "max_tokens": 9,
        "temperature": 0.5,
        "seed": 3,
    }
    assert exact == {
        **plain,
        "seed": 4,
        "min_tokens": 9,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert {one.headers[b"authorization"] for one in upstream.received} == {b"Bearer iw_1"}


def test_a_call_that_is_left_has_no_text() -> None:
    """Its caller goes with the first piece."""
    [answered], upstream = sent(planned(stream=True, ending=Ending.LEFT))
    assert answered == Answered("call-7", whole=False, text="")
    assert len(upstream.received) == 1


def test_a_refused_call_asks_for_a_model_that_is_not_there() -> None:
    """The words of the refusal are its text; it has no id where the gateway gave none."""
    [answered], upstream = sent(planned(ending=Ending.REFUSED), answer=Answer(status=404))
    assert (answered.call_id, answered.whole) == ("", False)
    assert "does not exist" in answered.text
    assert json.loads(upstream.received[0].body)["model"] == UNKNOWN_MODEL


def test_answers_are_in_the_order_of_the_plan() -> None:
    """Each at its time, though a later one in the plan is sent first; no calls are no answers."""
    calls = (planned(1, at_ns=20_000_000, ending=Ending.LEFT, stream=True), planned(2))
    answers, upstream = sent(*calls)
    assert [answered.whole for answered in answers] == [False, True]
    assert [json.loads(one.body)["seed"] for one in upstream.received] == [2, 1]
    assert sent()[0] == []


@pytest.mark.parametrize(
    ("call", "answer", "words"),
    [
        (planned(5), Answer(status=503), "call 5 was answered with 503: "),
        (planned(5, ending=Ending.REFUSED), Answer(), "call 5 was answered with 200"),
        (
            planned(5, stream=True),
            Answer(fault=Fault.CLOSE, fault_after=2),
            "the answer to call 5 was cut off",
        ),
        (planned(5, stream=True), Answer(fault=Fault.GARBAGE, fault_after=1), "cannot be read"),
        (planned(5), Answer(fault=Fault.ERROR_EVENT, fault_after=1), "cannot be read"),
    ],
)
def test_an_answer_that_the_plan_does_not_expect_ends_the_run(
    call: PlannedCall, answer: Answer, words: str
) -> None:
    """The error says the call and the answer; nothing is sent twice."""
    with pytest.raises(ExceptionGroup) as raised:
        sent(call, answer=answer)
    [error] = raised.value.exceptions
    assert isinstance(error, UpstreamError)
    assert words in str(error)
