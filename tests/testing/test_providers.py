"""The conformance suite of providers finds a driver that breaks a promise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens
from inferworks.testing.providers import (
    A_MODEL,
    CHECKS,
    EVERYWHERE,
    Stage,
    Staging,
    check_breaks_amid,
    check_breaks_before_the_first,
    check_refusal,
    check_stream,
    check_unreachable,
    check_usage_event,
    check_whole,
    make_call,
    make_offer,
    scripted,
    stage_stub,
    told_tokens,
)
from inferworks.testing.upstreams.script import Fault, Scripted


class ForItself(StubProvider):
    """Asks for usage, or for none, whatever its caller wants."""

    wants_usage = True

    @asynccontextmanager
    async def send(self, offer: Offer, call: Call) -> AsyncIterator[Reply]:
        """Answer a call that is no longer the caller's."""
        async with super().send(
            offer, msgspec.structs.replace(call, wants_usage=self.wants_usage)
        ) as reply:
            yield reply


class ForNobody(ForItself):
    """Asks for no usage."""

    wants_usage = False


def of(kind: type[StubProvider]) -> Staging:
    """A stage with a stub of a kind."""

    @asynccontextmanager
    async def stage(script: Script) -> AsyncIterator[Stage]:
        provider = kind([script])
        yield Stage(provider, make_offer(), lambda: provider.left_early)

    return stage


def deaf(**changes: Any) -> Staging:
    """A stage on which parts of the script are not followed."""
    return lambda script: stage_stub(msgspec.structs.replace(script, **changes))


@pytest.mark.parametrize(
    "check",
    [
        check_stream, check_usage_event, check_whole, check_refusal, check_unreachable,
        check_breaks_before_the_first, check_breaks_amid,
    ],
)  # fmt: skip
def test_the_stub_keeps_the_contract(check: Any) -> None:
    """The fake that ships with the seam passes each check."""
    asyncio.run(check(stage_stub))
    assert check in CHECKS


@pytest.mark.parametrize(
    ("check", "stage"),
    [
        (check_stream, deaf(input_tokens=6)),
        (check_stream, deaf(words=("a", "b"))),
        (check_stream, of(ForItself)),
        (check_usage_event, of(ForNobody)),
        (check_whole, deaf(words=("a", "c"))),
        (check_whole, deaf(input_tokens=8)),
        (check_refusal, deaf(status=200)),
        (check_refusal, deaf(status=502)),
    ],
)
def test_a_wrong_answer_is_found(check: Any, stage: Staging) -> None:
    """Tokens, texts, usage that nobody asked for or that is missing, and statuses are looked at."""
    with pytest.raises(AssertionError):
        asyncio.run(check(stage))


@pytest.mark.parametrize(
    ("check", "stage"),
    [
        (check_unreachable, deaf(unreachable=False)),
        (check_breaks_before_the_first, deaf(breaks_after=None)),
        (check_breaks_amid, deaf(breaks_after=None)),
    ],
)
def test_a_failure_that_is_hidden_is_found(check: Any, stage: Staging) -> None:
    """A driver has to raise where its upstream failed."""
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        asyncio.run(check(stage))


def test_work_that_was_not_begun_is_not_said_to_be() -> None:
    """An upstream that broke is no upstream that could not be reached, and the other way round."""
    with pytest.raises(AssertionError):
        asyncio.run(check_unreachable(deaf(unreachable=False, breaks_after=0)))
    with pytest.raises(AssertionError):
        asyncio.run(check_breaks_before_the_first(deaf(unreachable=True)))


def test_the_part_for_every_operation_is_a_part() -> None:
    """No check stands in the contract twice."""
    assert set(EVERYWHERE) < set(CHECKS)
    assert len(set(CHECKS)) == len(CHECKS)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wants_usage", [True, False])
def test_the_body_of_a_call_agrees_with_its_fields(stream: bool, wants_usage: bool) -> None:
    """Usage is asked for in the body where the call says so."""
    call = make_call(stream=stream, wants_usage=wants_usage)
    body = json.loads(call.body)
    assert (call.stream, call.wants_usage, call.model) == (stream, wants_usage, A_MODEL)
    assert (body["stream"], body["model"]) == (stream, A_MODEL)
    assert body.get("stream_options") == ({"include_usage": True} if wants_usage else None)


@pytest.mark.parametrize(
    ("breaks_after", "fault", "fault_after"),
    [(None, Fault.NONE, 0), (0, Fault.RESET, 0), (2, Fault.RESET, 5)],
)
def test_a_script_becomes_one_of_an_upstream(
    breaks_after: int | None, fault: Fault, fault_after: int
) -> None:
    """A break amid its tokens comes behind the first events, which are none; one at once does not."""
    script = Script(
        words=("a",), input_tokens=9, status=503, token_s=0.5, breaks_after=breaks_after
    )
    assert scripted(Scripted, script, first_events=3) == Scripted(
        words=("a",),
        input_tokens=9,
        status=503,
        event_s=0.5,
        fault=fault,
        fault_after=fault_after,
    )


def test_the_tokens_told_last_count() -> None:
    """Chunks that tell of none change nothing."""
    first, last = (Chunk(b"", ReportedUsage(Tokens(1, output))) for output in (1, 2))
    assert told_tokens([]) is None
    assert told_tokens([Chunk(b"")]) is None
    assert told_tokens([first, last, Chunk(b"")]) == Tokens(1, 2)
