"""The embedded engine: a thread that steps, and an event loop that is told once per step.

Problem. A step takes well under a millisecond, so what surrounds it decides the speed: a wake-up of
the event loop per token, a lock per token, a thread that spins while nothing runs.

Decision. One thread owns the batch, the model and every choice's state; nothing of it is shared. Calls
come to it through a queue, which it drains between steps and sleeps on when there is nothing to do.
It answers with one callback per step, carrying the pieces of all calls. A call that is given up is
a message in the same queue, so it is gone before the next step begins.

A failure of the thread is not caught: it ends the thread, every open call is answered with an error,
and `ended` tells the process, which must not go on pretending to be a replica.

Rejected. Stepping in an executor (a future and two thread switches per step); stepping in the event
loop itself (a long prompt would stop the clock for every reader).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import numpy as np
from numpy.typing import NDArray

from inferworks.clock import Clock
from inferworks.errors import CallError
from inferworks.hardware.engines.base import (
    Answer,
    Finish,
    GenerationRequest,
    TextDelta,
    check_fits,
    overloaded,
)
from inferworks.hardware.engines.embedded.batch import (
    Batch,
    Chunk,
    Move,
    QueuedSequence,
    Slot,
    Ticket,
)
from inferworks.hardware.engines.embedded.model import PREFILL_CHUNK, Model
from inferworks.hardware.engines.embedded.sampling import Logits, Sampler, draw
from inferworks.hardware.engines.embedded.tokenizer import BYTES, Detokenizer
from inferworks.hardware.engines.stopping import StopScanner
from inferworks.hardware.spool import CallTokens

OnStep = Callable[[int, int, tuple[CallTokens, ...]], None]
"""Function called with each step: start_ns, duration_ns, and the tokens of each call in it."""

OnIdle = Callable[[], None]
"""Function called between steps when nothing has run for a while."""


class _Mailbox:
    """The event loop's end of a call: pieces arrive, one reader takes them."""

    def __init__(self, prompt_tokens: int, choices: int) -> None:
        self._prompt_tokens = prompt_tokens
        self._unfinished = choices
        self._pieces: list[TextDelta] = []
        self._error: CallError | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return self._prompt_tokens

    @property
    def over(self) -> bool:
        """True when every choice has finished, or the engine gave the call up."""
        return self._unfinished == 0 or self._error is not None

    async def next(self) -> tuple[TextDelta, ...]:
        """Return what has come; () when all is over. CallError when the engine failed."""
        if not self._pieces and not self.over:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        pieces, self._pieces = tuple(self._pieces), []
        if not pieces and self._error is not None:
            raise self._error
        return pieces

    def put(self, piece: TextDelta) -> None:
        """Deliver a piece."""
        self._pieces.append(piece)
        if piece.finish is not None:
            self._unfinished -= 1
        self._wake()

    def fail(self, error: CallError) -> None:
        """Deliver an error, after what has come already."""
        self._error = error
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


@dataclass(slots=True)
class _Choice:
    """One answer in the making."""

    index: int
    sampler: Sampler
    detokenizer: Detokenizer
    scanner: StopScanner
    tokens: int = 0
    newest: int = 0


class _Call:
    """One call inside the thread."""

    __slots__ = ("_min_tokens", "choices", "id", "ignore_eos", "limit", "mailbox", "prompt")

    def __init__(
        self, ask: GenerationRequest, prompt: NDArray[np.int64], mailbox: _Mailbox, room: int
    ) -> None:
        self.id = ask.call
        self.prompt = prompt
        self.mailbox = mailbox
        self.limit = room if ask.max_tokens is None else min(ask.max_tokens, room)
        self.ignore_eos = ask.ignore_eos
        self._min_tokens = ask.min_tokens
        self.choices = tuple(
            _Choice(
                index,
                Sampler.of(ask.temperature, ask.top_p, ask.seed, index),
                Detokenizer(),
                StopScanner(ask.stop),
            )
            for index in range(ask.choices)
        )

    def bars_end(self, choice: _Choice) -> bool:
        """Say whether the next token of `choice` may not be the end of turn."""
        return self.ignore_eos or choice.tokens < self._min_tokens

    def advance(self, choice: _Choice, token: int) -> TextDelta:
        """Append `token` to `choice` and say what text that makes."""
        choice.newest = token
        choice.tokens += 1
        if token == BYTES:
            return self._close(choice, "", "stop")
        text, stopped = choice.detokenizer.feed(token), False
        if choice.tokens >= self._min_tokens:
            text, stopped = choice.scanner.feed(text)
        if stopped:
            return TextDelta(choice.index, text, choice.tokens, "stop")
        if choice.tokens >= self.limit:
            return self._close(choice, text, "length")
        return TextDelta(choice.index, text, choice.tokens)

    def _close(self, choice: _Choice, text: str, finish: Finish) -> TextDelta:
        """End a choice and let out what was held back, unless it completes a stop sequence."""
        rest, stopped = choice.scanner.feed(choice.detokenizer.rest())
        whole = text + rest + choice.scanner.rest()
        return TextDelta(choice.index, whole, choice.tokens, "stop" if stopped else finish)


@dataclass(frozen=True, slots=True)
class _Enter:
    ticket: Ticket
    call: _Call


@dataclass(frozen=True, slots=True)
class _Withdraw:
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class _Close:
    pass


_Order = _Enter | _Withdraw | _Close
_News = list[tuple[_Mailbox, TextDelta]]


class _Stepper:
    """State of the engine's thread; other threads call `orders.put` only."""

    def __init__(
        self,
        model: Model,
        batch: Batch,
        clock: Clock,
        on_step: OnStep,
        on_idle: OnIdle,
        beat_s: float,
        tell: Callable[[_News], None],
        refuse: Callable[[_Mailbox, CallError], None],
    ) -> None:
        self.orders: SimpleQueue[_Order] = SimpleQueue()
        self._model = model
        self._batch = batch
        self._clock = clock
        self._on_step = on_step
        self._on_idle = on_idle
        self._beat_s = beat_s
        self._tell = tell
        self._refuse = refuse
        self._calls: dict[Ticket, _Call] = {}
        self._open = True

    def run(self) -> None:
        """Step until told to close."""
        while self._open:
            try:
                while self._open:
                    # with nothing to step, it sleeps until there is an order
                    self._obey(self.orders.get(self._batch.empty, self._beat_s))
            except Empty:
                if self._batch.empty:
                    self._on_idle()
                else:
                    self._step()

    def _obey(self, order: _Order) -> None:
        match order:
            case _Enter(ticket, call):
                if self._batch.join(QueuedSequence(ticket, len(call.prompt), len(call.choices))):
                    self._calls[ticket] = call
                else:
                    self._refuse(call.mailbox, overloaded(self._batch.waiting))
            case _Withdraw(ticket):
                self._calls.pop(ticket, None)
                for move in self._batch.withdraw(ticket):
                    self._move(move)
            case _Close():
                self._open = False

    def _step(self) -> None:
        clock = self._clock.carried()
        start_ns = clock.now_ns()
        step = self._batch.plan()
        news: _News = []
        done: list[Slot] = []
        work = self._work_of(step.chunk, step.seats)
        if (chunk := step.chunk) is not None:
            call = self._calls[chunk.ticket]
            last = self._model.prefill(call.prompt[chunk.start : chunk.stop], chunk.start)
            seated = self._batch.read(chunk)
            for row, seat in seated:
                self._model.seat(row, seat.length)
            if seated:
                rows = np.broadcast_to(last, (len(seated), len(last)))
                self._advance([seat for _, seat in seated], rows, news, done)
        if step.seats:
            tokens = [self._calls[seat.ticket].choices[seat.choice].newest for seat in step.seats]
            logits = self._model.decode(tokens, [seat.length for seat in step.seats])
            for seat in step.seats:
                seat.length += 1
            self._advance(step.seats, logits, news, done)
        for seat in done:
            move = self._batch.leave(seat)
            if move is not None:
                self._move(move)
        self._on_step(start_ns, clock.now_ns() - start_ns, work)
        if news:
            self._tell(news)

    def _work_of(self, chunk: Chunk | None, seats: tuple[Slot, ...]) -> tuple[CallTokens, ...]:
        """Say what each call has of a step; see `hardware.spool` for the meaning."""
        rows: dict[Ticket, list[int]] = {}
        for seat in seats:
            entry = rows.setdefault(seat.ticket, [0, seat.length + 1])
            entry[0] += 1
        work = [(self._calls[ticket].id, 0, n, length) for ticket, (n, length) in rows.items()]
        if chunk is not None:
            call = self._calls[chunk.ticket]
            work.append((call.id, chunk.stop - chunk.start, 0, chunk.stop))
        return tuple(work)

    def _advance(
        self, seats: Sequence[Slot], logits: Logits, news: _News, done: list[Slot]
    ) -> None:
        """Draw a token for every seat from `logits` (seats, vocabulary)."""
        calls = [self._calls[seat.ticket] for seat in seats]
        choices = [call.choices[seat.choice] for call, seat in zip(calls, seats, strict=True)]
        barred = [call.bars_end(choice) for call, choice in zip(calls, choices, strict=True)]
        tokens = draw(logits, [choice.sampler for choice in choices], barred)
        for seat, call, choice, token in zip(seats, calls, choices, tokens, strict=True):
            piece = call.advance(choice, token)
            if piece.finish is not None:
                done.append(seat)
            news.append((call.mailbox, piece))

    def _move(self, move: Move) -> None:
        self._model.move(move.source, move.target, move.length)


def ignore_step(start_ns: int, duration_ns: int, calls: tuple[CallTokens, ...]) -> None:
    """Record nothing, for whoever does not count."""


def ignore_idle() -> None:
    """Record nothing."""


class EmbeddedEngine:
    """The engine seam over a `Model`. Made inside a running event loop, whose callbacks it uses."""

    def __init__(
        self,
        model: Model,
        name: str,
        clock: Clock,
        *,
        on_step: OnStep = ignore_step,
        on_idle: OnIdle = ignore_idle,
        beat_s: float = 10.0,
        waiting_limit: int = 1024,
    ) -> None:
        """Start the thread, in which `on_step` and `on_idle` are called.

        `on_idle` is called every `beat_s` seconds in which nothing ran; `waiting_limit` bounds
        the calls that wait for a row.
        """
        self._loop = asyncio.get_running_loop()
        self._card = model.card
        self._slots = model.slots
        self._name = name
        self._tickets = 0
        self._mailboxes: dict[Ticket, _Mailbox] = {}
        self.ended = asyncio.Event()
        """Set when the thread is no more, whether closed or failed."""
        batch = Batch(model.slots, waiting_limit, PREFILL_CHUNK)
        self._stepper = _Stepper(
            model, batch, clock, on_step, on_idle, beat_s, self._tell, self._refuse
        )
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def model(self) -> str:
        """The name under which the model is asked for."""
        return self._name

    @property
    def context_tokens(self) -> int:
        """Positions of a row of the cache."""
        return self._card.positions

    @asynccontextmanager
    async def generate(self, ask: GenerationRequest) -> AsyncIterator[Answer]:
        """Begin to answer; leaving the context takes the call out before the next step."""
        prompt = self._card.tokenizer.chat(ask.messages)
        check_fits(len(prompt), self.context_tokens)
        if ask.choices > self._slots:
            raise CallError(400, f"n must be at most {self._slots} here", param="n")
        if self.ended.is_set():
            raise _stopped()
        self._tickets += 1
        ticket = self._tickets
        mailbox = self._mailboxes[ticket] = _Mailbox(len(prompt), ask.choices)
        call = _Call(ask, np.array(prompt, np.int64), mailbox, self.context_tokens - len(prompt))
        self._stepper.orders.put(_Enter(ticket, call))
        try:
            yield mailbox
        finally:
            del self._mailboxes[ticket]
            self._stepper.orders.put(_Withdraw(ticket))

    async def close(self) -> None:
        """End the thread after its step; calls still open fail with 503."""
        self._stepper.orders.put(_Close())
        await self.ended.wait()
        self._thread.join()

    # --- in the thread

    def _run(self) -> None:
        try:
            self._stepper.run()
        finally:
            self._loop.call_soon_threadsafe(self._end)

    def _tell(self, news: _News) -> None:
        self._loop.call_soon_threadsafe(_deliver, news)

    def _refuse(self, mailbox: _Mailbox, error: CallError) -> None:
        self._loop.call_soon_threadsafe(mailbox.fail, error)

    # --- in the event loop

    def _end(self) -> None:
        self.ended.set()
        for mailbox in self._mailboxes.values():
            if not mailbox.over:
                mailbox.fail(_stopped())


def _deliver(news: _News) -> None:
    for mailbox, piece in news:
        mailbox.put(piece)


def _stopped() -> CallError:
    return CallError(503, "the engine has stopped", kind="server_error", code="engine_stopped")
