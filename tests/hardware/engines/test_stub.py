"""The fake engine."""

from __future__ import annotations

import asyncio

import pytest

from inferworks.clock import SimClock
from inferworks.errors import CallError
from inferworks.hardware.engines.base import Engine, GenerationRequest, Message, TextDelta
from inferworks.hardware.engines.stub import StubEngine
from inferworks.ids import CallId

HELLO = (Message("user", "one two three"),)


def ask(**fields: object) -> GenerationRequest:
    """An Ask with a few fields of interest."""
    return GenerationRequest(call=CallId("c"), messages=HELLO, seed=0, **fields)  # type: ignore[arg-type]


def collect(engine: Engine, what: GenerationRequest) -> list[TextDelta]:
    """All the pieces of an answer."""

    async def run() -> list[TextDelta]:
        pieces: list[TextDelta] = []
        async with engine.generate(what) as answer:
            while more := await answer.next():
                pieces += more
        return pieces

    return asyncio.run(run())


def test_it_answers_by_its_rule() -> None:
    """The answer is the rule's text, one token a word, the end counted as a token."""
    pieces = collect(StubEngine(SimClock()), ask())
    assert "".join(piece.text for piece in pieces) == "You said: one two three"
    assert (pieces[-1].finish, pieces[-1].tokens) == ("stop", 6)


def test_limits_stops_and_choices() -> None:
    """Length, stop sequences, ignored ends and several choices are honoured."""
    engine = StubEngine(SimClock())
    assert collect(engine, ask(max_tokens=2))[-1] == TextDelta(0, "said: ", 2, "length")
    assert "".join(p.text for p in collect(engine, ask(stop=("two",)))) == "You said: one "
    assert collect(engine, ask(ignore_eos=True, max_tokens=40))[-1].tokens == 40
    assert {piece.choice for piece in collect(engine, ask(choices=3))} == {0, 1, 2}


def test_a_long_prompt_is_refused() -> None:
    """A prompt that fills the context is refused as OpenAI refuses it."""
    with pytest.raises(CallError) as caught:
        collect(StubEngine(SimClock(), context_tokens=4), ask())
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")


def test_its_time_is_the_clock_s() -> None:
    """The prompt takes `prefill_s` and each further token `step_s`, of the injected clock."""

    async def run() -> int:
        clock = SimClock()
        engine = StubEngine(clock, prefill_s=2.0, step_s=1.0)

        async def read() -> int:
            async with engine.generate(ask(max_tokens=3)) as answer:
                while await answer.next():
                    assert engine.open_calls == 1
            return clock.now_ns()

        reading = asyncio.ensure_future(read())
        await clock.advance(60)
        return await reading

    assert asyncio.run(run()) == 4_000_000_000
