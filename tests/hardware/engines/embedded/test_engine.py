"""The embedded engine, in process."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise

import pytest

from inferworks.clock import SystemClock
from inferworks.errors import CallError
from inferworks.hardware.engines.base import Answer, GenerationRequest, Message, TextDelta
from inferworks.hardware.engines.embedded.engine import EmbeddedEngine
from inferworks.hardware.engines.embedded.model import PREFILL_CHUNK, Model
from inferworks.hardware.spool import CallTokens
from inferworks.ids import CallId

Steps = list[tuple[int, int, tuple[CallTokens, ...]]]


def ask(text: str = "What is prefill?", call: str = "c", **fields: object) -> GenerationRequest:
    """A greedy Ask, unless told otherwise."""
    plain = GenerationRequest(CallId(call), (Message("user", text),), seed=1, temperature=0.0)
    return replace(plain, **fields)  # type: ignore[arg-type]


class Bench:
    """An engine and the steps it took."""

    def __init__(self, slots: int, waiting: int) -> None:
        self.steps: Steps = []
        self.engine = EmbeddedEngine(
            Model(slots), "tiny", SystemClock(),
            on_step=lambda *step: self.steps.append(step), waiting_limit=waiting,
        )  # fmt: skip

    async def pieces(self, what: GenerationRequest) -> list[TextDelta]:
        """All the pieces of one answer."""
        pieces: list[TextDelta] = []
        async with self.engine.generate(what) as answer:
            while more := await answer.next():
                pieces += more
        return pieces

    async def text(self, what: GenerationRequest, choice: int = 0) -> str:
        """The text of one choice."""
        return "".join(piece.text for piece in await self.pieces(what) if piece.choice == choice)

    def tokens_of(self, call: str) -> tuple[int, int]:
        """The prefill and decode tokens of a call, over all steps."""
        mine = [entry for _, _, calls in self.steps for entry in calls if entry[0] == call]
        return sum(entry[1] for entry in mine), sum(entry[2] for entry in mine)


@asynccontextmanager
async def opened(slots: int, waiting: int) -> AsyncIterator[Bench]:
    """A bench, closed at the end."""
    bench = Bench(slots, waiting)
    try:
        yield bench
    finally:
        await bench.engine.close()


async def drain(answer: Answer) -> None:
    """Read an answer to its end."""
    while await answer.next():
        pass


def on_bench(test: Callable[[Bench], Awaitable[None]], slots: int = 32, waiting: int = 64) -> None:
    """Run a test with a bench of its own."""

    async def run() -> None:
        async with opened(slots, waiting) as bench:
            await asyncio.wait_for(test(bench), timeout=60)

    asyncio.run(run())


@pytest.mark.slow
def test_alone_and_in_a_batch_of_eight() -> None:
    """The same prompt alone and in a batch of 8 gives the same tokens at temperature 0."""

    async def test(bench: Bench) -> None:
        questions = [f"What is {n} + {n * n}?" for n in range(4)] + [
            "Tell me a long story about Nora.", "What is a ledger?", "Hello", "y" * 400,
        ]  # fmt: skip
        asks = [ask(q, str(n), max_tokens=120, ignore_eos=True) for n, q in enumerate(questions)]
        alone = [await bench.text(what) for what in asks]
        together = await asyncio.gather(*(bench.text(what) for what in asks))
        assert together == alone
        assert max(len(calls) for _, _, calls in bench.steps) == 8, "they did run together"

    on_bench(test)


@pytest.mark.slow
def test_a_seed_gives_the_same_answer_in_any_company() -> None:
    """With temperature, the same seed gives the same text alone and among others."""

    async def test(bench: Bench) -> None:
        warm = ask("Tell me a story.", temperature=2.0, top_p=0.99, max_tokens=80, ignore_eos=True)
        alone = await bench.text(warm)
        others = [bench.text(replace(warm, seed=seed)) for seed in range(2, 9)]
        first, *rest = await asyncio.gather(bench.text(warm), *others)
        assert first == alone
        assert len({alone, *rest}) > 4, "other seeds give other texts"

    on_bench(test)


@pytest.mark.slow
def test_lengths() -> None:
    """max_tokens ends with `length`; the end of turn waits for min_tokens and may be ignored."""

    async def test(bench: Bench) -> None:
        natural = await bench.pieces(ask("Hello"))
        assert natural[-1].finish == "stop"
        ended = natural[-1].tokens
        short = await bench.pieces(ask("Hello", max_tokens=3))
        assert (short[-1].finish, short[-1].tokens) == ("length", 3)
        longer = await bench.pieces(ask("Hello", min_tokens=ended + 10))
        assert longer[-1].tokens > ended + 10
        endless = await bench.pieces(ask("Hello", ignore_eos=True))
        prompt = len(bench.engine._card.tokenizer.chat(ask("Hello").messages))
        assert (endless[-1].finish, endless[-1].tokens) == ("length", 1024 - prompt)

    on_bench(test)


def test_stop_sequences_are_not_let_out() -> None:
    """The text ends before the stop sequence, which spans several tokens."""

    async def test(bench: Bench) -> None:
        whole = await bench.text(ask("Hello"))
        stop = whole[10:14]
        pieces = await bench.pieces(ask("Hello", stop=("never", stop)))
        assert "".join(piece.text for piece in pieces) == whole[: whole.index(stop)]
        assert pieces[-1].finish == "stop"
        assert pieces[-1].tokens == whole.index(stop) + len(stop)

    on_bench(test)


def test_steps_reconcile_with_usage() -> None:
    """Prefill sums to the prompt, decode to the tokens written less one for each choice."""

    async def test(bench: Bench) -> None:
        asks = [
            ask("z" * 300, "long", max_tokens=9),
            ask("Hello", "three", choices=3, temperature=1.0, max_tokens=30),
            ask("Hello", "one", max_tokens=1),
        ]
        answers = await asyncio.gather(*(bench.pieces(what) for what in asks))
        for what, pieces in zip(asks, answers, strict=True):
            written = sum(piece.tokens for piece in pieces if piece.finish)
            prompt = len(bench.engine._card.tokenizer.chat(what.messages))
            assert bench.tokens_of(what.call) == (prompt, written - what.choices)

    on_bench(test)


def test_steps_are_in_order_and_bounded() -> None:
    """Steps never overlap, and each reads at most one chunk of one prompt."""

    async def test(bench: Bench) -> None:
        texts = ("a" * 500, "b" * 200, "c", "d" * 300)
        await asyncio.gather(*(bench.text(ask(text, text[0], max_tokens=20)) for text in texts))
        for (start, length, _), (following, _, _) in pairwise(bench.steps):
            assert start + length <= following
        for _, _, calls in bench.steps:
            reading = [entry for entry in calls if entry[1]]
            assert len(reading) <= 1
            assert all(entry[1] <= PREFILL_CHUNK and not entry[2] for entry in reading)
        contexts = defaultdict(list)
        for _, _, calls in bench.steps:
            for call, read, written, context in calls:
                contexts[call].append((read + written, context))
        for entries in contexts.values():
            sums = [sum(n for n, _ in entries[: i + 1]) for i in range(len(entries))]
            assert sums == [context for _, context in entries]

    on_bench(test)


def test_who_leaves_is_gone_before_the_next_step() -> None:
    """A call that is given up frees its rows at once, and the one that waited for them runs."""

    async def test(bench: Bench) -> None:
        async with bench.engine.generate(ask(call="gone", choices=2, ignore_eos=True)) as answer:
            await answer.next()
            waiting = asyncio.ensure_future(bench.pieces(ask("Hello", "next", choices=2)))
            await asyncio.sleep(0)
        assert (await waiting)[-1].finish
        order = [entry[0] for _, _, calls in bench.steps for entry in calls]
        assert "gone" not in order[order.index(CallId("next")) :]
        assert bench.tokens_of("gone")[1] < 2 * 900

    on_bench(test, slots=2)


def test_the_queue_is_bounded() -> None:
    """A call beyond the queue is refused with 503, and those before it are answered."""

    async def test(bench: Bench) -> None:
        first = ask("x" * 900, "first", ignore_eos=True)
        calls = [first, *(ask("Hello", str(n)) for n in range(4))]
        results = await asyncio.gather(
            *(bench.pieces(what) for what in calls), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, CallError)]
        assert {(e.status, e.code) for e in refused} == {(503, "engine_overloaded")}
        assert len(refused) < len(calls)

    on_bench(test, slots=1, waiting=1)


def test_what_does_not_fit_is_refused() -> None:
    """A prompt as long as the context, and more choices than rows, are 400."""

    async def test(bench: Bench) -> None:
        with pytest.raises(CallError) as long:
            await bench.pieces(ask("x" * 1024))
        assert (long.value.status, long.value.code) == (400, "context_length_exceeded")
        with pytest.raises(CallError, match="at most 2"):
            await bench.pieces(ask(choices=3))

    on_bench(test, slots=2)


def test_closing_answers_whoever_still_waits() -> None:
    """An open call and a new one both fail with 503 when the engine is closed."""

    async def run() -> None:
        async with opened(2, 2) as bench:
            async with bench.engine.generate(ask(ignore_eos=True)) as answer:
                await answer.next()
                await bench.engine.close()
                with pytest.raises(CallError, match="stopped"):
                    await drain(answer)
            with pytest.raises(CallError, match="stopped"):
                await bench.pieces(ask())

    asyncio.run(run())


def test_it_says_now_and_then_that_it_is_idle() -> None:
    """While nothing runs, the thread reports it at every beat."""

    async def run() -> None:
        loop, beats = asyncio.get_running_loop(), asyncio.Semaphore(0)

        def beat() -> None:
            loop.call_soon_threadsafe(beats.release)

        engine = EmbeddedEngine(Model(1), "tiny", SystemClock(), on_idle=beat, beat_s=0.01)
        for _ in range(3):
            await asyncio.wait_for(beats.acquire(), timeout=30)
        await engine.close()

    asyncio.run(run())
