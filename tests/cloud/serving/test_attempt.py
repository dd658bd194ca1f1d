"""One attempt: its judgement, what the caller and the log are told of it, and what is on record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest

from inferworks.clock import SimClock
from inferworks.cloud.call import Chunk, Reply
from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.cloud.routing.health import BreakerState, Health
from inferworks.cloud.routing.route import (
    ELSEWHERE,
    FINAL,
    LACKS,
    SERVED,
    UNDELIVERABLE,
    UNREAD,
    UNTRANSLATED,
    AttemptOutcome,
    AttemptResult,
)
from inferworks.cloud.serving.attempt import (
    Attempt,
    broken_off,
    description_of,
    detached,
    failure_of,
    judge,
    untranslatable,
)
from inferworks.errors import (
    CallError,
    RefusalError,
    UnreadableError,
    UntranslatableError,
    UpstreamError,
)
from inferworks.meter.call_recorder import Meter
from inferworks.meter.journal import Journal
from inferworks.meter.stores.stub import MemoryStore
from inferworks.meter.usage import Confidence, Leg, Outcome, Tokens
from inferworks.testing.facts import make_opened
from inferworks.testing.providers import make_call, make_offer
from inferworks.units import NS_PER_SECOND

SECRET = "sk-1234567890abcdef"
TRANSIENT = (408, 429)
OURS_TO_SET_RIGHT = (401, 402, 403, 404, 407)
PROMPT = Tokens(input=3)
"""`Say hello.` has 10 bytes: 2.5 tokens of 4, rounded up."""


async def nothing() -> AsyncIterator[Chunk]:
    """No further chunks."""
    for chunk in ():
        yield chunk


def reply(
    status: int, data: bytes = b"{}", *, retry_after_ns: int | None = None, lacks: bool = False
) -> Reply:
    """A whole answer."""
    chunk = Chunk(data, last=True)
    return Reply(
        status, b"application/json", chunk, nothing(), retry_after_ns=retry_after_ns, lacks=lacks
    )


def refusing(message: str, code: str = "") -> bytes:
    """An error body of OpenAI's."""
    return json.dumps({"error": {"message": message, "code": code, "type": "x"}}).encode()


@pytest.mark.parametrize("status", [200, 201, 299])
def test_an_answer_is_served(status: int) -> None:
    """Any status below 300 is an answer, whatever it holds."""
    assert judge(reply(status, refusing("no"))) is SERVED


@pytest.mark.parametrize("status", [400, 405, 409, 413, 422, 499])
def test_a_refusal_of_the_request_is_final(status: int) -> None:
    """A status that blames the request would come again from any other offer, also later."""
    assert judge(reply(status)) is FINAL
    assert judge(reply(status, retry_after_ns=1)) is FINAL


@pytest.mark.parametrize(
    "status", [*TRANSIENT, *OURS_TO_SET_RIGHT, 300, 302, 399, 424, 500, 503, 529, 599]
)
def test_another_offer_may_do_better(status: int) -> None:
    """A limit, our account, a redirection or a failure there is no reason to refuse the call."""
    assert judge(reply(status)) is ELSEWHERE
    waits = judge(reply(status, retry_after_ns=7))
    assert waits == AttemptResult(AttemptOutcome.ELSEWHERE, 7)


def test_a_feature_that_only_this_model_lacks() -> None:
    """A refusal of a parameter sends the call to other models, in the upstream's words or as translated."""
    assert judge(reply(400, refusing("no", "unsupported_parameter"))) is LACKS
    assert judge(reply(400, refusing("no", "invalid_prompt"))) is FINAL
    assert judge(reply(400, b"translated", lacks=True)) is LACKS


def test_errors_are_judged_by_their_kind() -> None:
    """A paid answer is not asked for again; what was not read may be, at the same offer."""
    assert judge(UntranslatableError("x")) is UNDELIVERABLE
    assert judge(UpstreamError("x", sent=False, unread=True)) is UNREAD
    assert judge(UpstreamError("x", sent=True)) is ELSEWHERE
    assert judge(UnreadableError("x")) is ELSEWHERE
    assert judge(CallError(400, "x")) is UNTRANSLATED


@pytest.mark.parametrize(
    ("answer", "status", "code", "kind"),
    [
        (UpstreamError("x", sent=False, ours=True), 503, "no_room", "server_error"),
        (UntranslatableError("x"), 500, "untranslatable_answer", "server_error"),
        (UnreadableError("x"), 502, "upstream_failed", "server_error"),
        (UpstreamError("x", sent=True), 502, "upstream_unreachable", "server_error"),
        (reply(408), 429, "upstream_busy", "rate_limit_error"),
        (reply(429), 429, "upstream_busy", "rate_limit_error"),
        (reply(401), 502, "upstream_failed", "server_error"),
        (reply(404), 502, "upstream_failed", "server_error"),
        (reply(302), 502, "upstream_failed", "server_error"),
        (reply(500), 502, "upstream_failed", "server_error"),
        (reply(503), 502, "upstream_failed", "server_error"),
        (reply(424), 502, "upstream_failed", "server_error"),
    ],
)
def test_a_failure_in_the_terms_of_the_caller(
    answer: Reply | UpstreamError, status: int, code: str, kind: str
) -> None:
    """A caller learns if it should wait, and never where the call ran or what was said there."""
    error = failure_of(answer, None)
    assert (error.status, error.code, error.kind) == (status, code, kind)
    assert error.retry_after_s is None
    assert not error.is_callers


def test_a_failure_of_our_account_is_told_apart() -> None:
    """A caller whom the operator must help is sent to the operator; one whom a retry helps is not."""
    assert "the operator finds the reason in the log" in failure_of(reply(401), None).message
    assert failure_of(reply(500), None).message == "The model's server failed before it answered."


@pytest.mark.parametrize(
    ("again_ns", "again_s"),
    [(0, 1), (1, 1), (NS_PER_SECOND, 1), (NS_PER_SECOND + 1, 2), (90 * NS_PER_SECOND, 90)],
)
def test_the_time_to_wait_is_in_whole_seconds(again_ns: int, again_s: int) -> None:
    """A wait is rounded up and at least one second, for a limit and for an overload."""
    assert failure_of(reply(429), again_ns).retry_after_s == again_s
    overloaded = failure_of(reply(503), again_ns)
    assert (overloaded.status, overloaded.code) == (503, "upstream_busy")
    assert overloaded.retry_after_s == again_s
    assert failure_of(reply(500), again_ns).retry_after_s is None


def test_the_log_is_told_what_the_upstream_said() -> None:
    """The log has status and words, shortened to 200 letters and without a secret."""
    assert description_of(reply(500)) == "answered with status 500"
    assert description_of(reply(500, refusing("disk"))) == "answered with status 500: disk"
    long = description_of(reply(500, refusing("x" * 201)))
    assert long == "answered with status 500: " + "x" * 200
    assert description_of(reply(401, refusing(f"key {SECRET}"))).endswith("key ***")
    assert description_of(UpstreamError("reset", sent=True)) == "failed: reset"


def test_a_large_error_body_is_not_read() -> None:
    """A body above 64 KiB is no words, and one of just that size is still read."""
    body = refusing("disk")
    assert description_of(reply(500, body.ljust(64 * 1024))) == "answered with status 500: disk"
    assert description_of(reply(500, body.ljust(64 * 1024 + 1))) == "answered with status 500"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UpstreamError("reset", sent=True), ""),
        (RefusalError(500, b"", "disk"), ""),
        (RefusalError(429, b"", "busy"), ""),
        (RefusalError(400, b"", ""), ""),
        (RefusalError(400, b"", "too long"), "too long"),
        (RefusalError(400, b"", f"key {SECRET}"), "key ***"),
    ],
)
def test_a_stream_that_ends_early(error: UpstreamError, words: str) -> None:
    """Only an error that is the caller's own is told in the upstream's words."""
    reported = broken_off(error)
    early = "The model's server ended its answer early"
    assert reported.message == (f"{early}: {words}" if words else f"{early}.")
    assert (reported.status, reported.code) == (502, "upstream_failed")


def test_an_answer_that_cannot_be_translated_is_a_fault_of_ours() -> None:
    """Before a stream and within it the caller is told the same."""
    for error in (broken_off(UntranslatableError("x")), failure_of(UntranslatableError("x"), None)):
        assert error.message == untranslatable().message
        assert error.status == 500


def test_a_detached_error_holds_no_frames() -> None:
    """An error that is kept does not keep what led to it alive."""
    try:
        try:
            raise ValueError
        except ValueError as cause:
            raise UpstreamError("x", sent=True) from cause
    except UpstreamError as caught:
        error = detached(caught)
    assert (error.__cause__, error.__context__, error.__traceback__) == (None, None, None)


def legs_of(
    script: Script, act: Callable[[Attempt, int], object], *, begins: bool = True
) -> tuple[list[Leg], Health]:
    """The legs on record after one attempt, on which `act` was done; and the health of its offer."""
    store = MemoryStore()
    clock = SimClock(10**18)
    health = Health(clock)

    async def main() -> None:
        journal = Journal(store)
        journal.start()
        try:
            opened = make_opened(opened_ns=10**18)
            async with Meter(journal, clock).open(opened) as recorder:
                provider = StubProvider([script])
                call = make_call(stream=False)
                attempt = Attempt(call, make_offer(), provider, health, recorder)
                if begins:
                    await attempt.begin()
                act(attempt, clock.now_ns())
                await attempt.leave()
                await attempt.leave()
                await recorder.close(Outcome.FAILED, status=502)
        finally:
            journal.close()

    asyncio.run(main())
    with store.reads() as reads:
        (usage,) = reads.usages(0, 2**62)
    return list(usage.legs), health


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (Script(unreachable=True), (0, Tokens(), Confidence.COUNTED)),
        (Script(breaks_after=0), (0, Tokens(), Confidence.ESTIMATED)),
        (Script(status=500), (500, Tokens(), Confidence.ESTIMATED)),
        (Script(untranslatable=True), (0, Tokens(5, 3), Confidence.REPORTED)),
    ],
)
def test_a_failed_leg_has_what_it_cost(
    script: Script, expected: tuple[int, Tokens, Confidence]
) -> None:
    """Nothing that reached nobody cost anything; otherwise none is a guess, unless it was told."""
    (leg,), health = legs_of(script, lambda attempt, _: attempt.failed())
    assert leg.outcome is Outcome.FAILED
    assert (leg.status, leg.tokens, leg.confidence) == expected
    assert not any(health.loads().values()), "its place is given back once"


def test_a_refused_leg_cost_nothing() -> None:
    """An upstream that refuses has done no work."""
    (leg,), _ = legs_of(Script(status=400), lambda attempt, _: attempt.refused())
    assert (leg.outcome, leg.status) == (Outcome.REFUSED, 400)
    assert (leg.tokens, leg.confidence) == (Tokens(), Confidence.COUNTED)


def test_a_leg_that_was_not_sent_is_no_leg() -> None:
    """A call that could not be translated has asked nobody."""
    legs, _ = legs_of(Script(unsaid="no such field"), lambda attempt, _: attempt.unsent())
    assert legs == []


@pytest.mark.parametrize(
    ("act", "outcome"),
    [(Attempt.outrun, Outcome.CANCELLED), (Attempt.timed_out, Outcome.FAILED)],
)
def test_a_leg_that_is_cut_off_cost_its_prompt_at_least(
    act: Callable[[Attempt, int], None], outcome: Outcome
) -> None:
    """Before an answer the prompt is an estimate; an answer that has come tells by itself."""
    (leg,), _ = legs_of(Script(), act, begins=False)
    assert (leg.outcome, leg.tokens, leg.confidence) == (outcome, PROMPT, Confidence.ESTIMATED)
    (leg,), _ = legs_of(Script(), act)
    assert (leg.outcome, leg.tokens, leg.confidence) == (outcome, Tokens(5, 3), Confidence.REPORTED)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (Script(), AttemptOutcome.SERVED),
        (Script(status=400), AttemptOutcome.FINAL),
        (Script(unreachable=True), AttemptOutcome.ELSEWHERE),
        (Script(unsaid="no"), AttemptOutcome.UNTRANSLATED),
        (Script(untranslatable=True), AttemptOutcome.UNDELIVERABLE),
    ],
)
def test_one_attempt_opens_no_breaker(script: Script, outcome: AttemptOutcome) -> None:
    """Its judgement is that of its answer, and one failure alone says nothing of an offer."""
    found: list[AttemptResult] = []

    def act(attempt: Attempt, now_ns: int) -> None:
        found.append(attempt.judge(now_ns))
        if outcome is AttemptOutcome.UNTRANSLATED:
            attempt.unsent()

    _, health = legs_of(script, act)
    assert [result.outcome for result in found] == [outcome]
    assert all(state is BreakerState.CLOSED for state in health.states().values())
