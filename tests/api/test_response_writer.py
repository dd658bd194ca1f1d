"""Record and answer: what is delivered is recorded, whatever happens to disk, upstream or client."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import msgspec
import pytest

from inferworks.cloud.call import Call, Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.providers.stub import Script, StubProvider
from inferworks.errors import JournalError
from inferworks.http.server import ClientGone, Connection, Exchange, RequestHead
from inferworks.meter.record import Record
from inferworks.meter.stores.stub import MemoryStore
from inferworks.meter.usage import Confidence, Opened, Outcome, Tokens, Usage
from inferworks.testing.in_process_gateway import (
    CHAT,
    Answered,
    InProcessGateway,
    open_gateway,
    open_gateway_over,
    parse_answer,
)
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, FakeUpstream, Fault

Run = Callable[[Coroutine[Any, Any, None]], None]
PROMPT = "a very secret prompt"
WHOLE = {"model": A_MODEL, "messages": [{"role": "user", "content": PROMPT}]}
STREAM = {**WHOLE, "stream": True}
BODIES = pytest.mark.parametrize("body", [WHOLE, STREAM], ids=["whole", "stream"])


class Disk(MemoryStore):
    """A store that can be told to wait or to fail before it writes a kind of record."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_for: type[Record] | None = None
        self.fails_at: type[Record] | None = None
        self.writing = threading.Event()
        self.go_on = threading.Event()

    def write(self, records: Sequence[Record]) -> None:
        """Write, after waiting or failing as told."""
        kinds = {type(record) for record in records}
        if self.waits_for in kinds:
            self.writing.set()
            assert self.go_on.wait(10), "nobody let the disk go on"
        if self.fails_at in kinds:
            self._fail()
        super().write(records)

    def opened(self, opened: Opened) -> None:
        """Keep it, or fail as told."""
        if self.fails_at is Opened:
            self._fail()
        super().opened(opened)

    def _fail(self) -> NoReturn:
        self.broken = True
        raise JournalError("the disk is gone")


async def read_for(reader: asyncio.StreamReader, seconds: float) -> bytes:
    """Bytes that come within `seconds`."""
    data = b""
    try:
        async with asyncio.timeout(seconds):
            while piece := await reader.read(65536):
                data += piece
    except TimeoutError:
        pass
    return data


async def ask_while_the_disk_waits(
    gateway: InProcessGateway, disk: Disk, body: dict[str, Any]
) -> tuple[bytes, bytes, list[Usage]]:
    """Bytes that a client has while its record waits, those after, and the record at that moment."""
    reader, writer = await gateway.connect()
    writer.write(gateway.request("POST", CHAT, msgspec.json.encode(body)))
    await asyncio.to_thread(disk.writing.wait, 5)
    before = await read_for(reader, 0.05)
    assert gateway.stored_usages() == []
    disk.go_on.set()
    after = await reader.read()
    usages = gateway.stored_usages()
    writer.close()
    return before, after, usages


@BODIES
def test_the_end_waits_for_the_record(run: Run, body: dict[str, Any]) -> None:
    """The last bytes of an answer leave only when its Usage is in the store."""

    async def main() -> None:
        disk = Disk()
        disk.waits_for = Usage
        async with open_gateway(store=disk) as (gateway, _):
            before, after, usages = await ask_while_the_disk_waits(gateway, disk, body)
            assert [usage.outcome for usage in usages] == [Outcome.ANSWERED]
            if body is STREAM:
                assert b"there" in before, "the stream itself does not wait"
                assert b"[DONE]" not in before
                assert after.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
            else:
                assert before == b""
                assert parse_answer(after).whole

    run(main())


def test_the_call_is_on_record_before_its_upstream_hears_of_it(run: Run) -> None:
    """The call is open on record when its upstream is asked, and has no Usage yet."""

    class Looking(StubProvider):
        """Notes which calls are open when it is asked."""

        def send(self, offer: Offer, call: Call) -> AbstractAsyncContextManager[Reply]:
            """Look, then answer."""
            with disk.reads() as reads:
                seen.append([opened.call_id for opened in reads.opened_unclosed()])
            return super().send(offer, call)

    disk = Disk()
    seen: list[list[str]] = []

    async def main() -> None:
        provider = Looking()
        async with open_gateway_over(provider, store=disk) as gateway:
            assert (await gateway.chat(WHOLE)).status == 200
            assert seen == [[call.id for call in provider.calls]]

    run(main())


def test_a_refusal_waits_for_its_record(run: Run) -> None:
    """A call that is turned away is told so when that is on record."""

    async def main() -> None:
        disk = Disk()
        disk.waits_for = Usage
        async with open_gateway_over(StubProvider(), store=disk) as gateway:
            before, after, usages = await ask_while_the_disk_waits(gateway, disk, {"model": 1})
            assert before == b""
            assert parse_answer(after).status == 400
            assert [usage.outcome for usage in usages] == [Outcome.REFUSED]

    run(main())


@BODIES
@pytest.mark.parametrize("kind", [Opened, Usage], ids=["opened", "usage"])
def test_a_failed_journal_gives_no_success(
    run: Run, body: dict[str, Any], kind: type[Record], caplog: pytest.LogCaptureFixture
) -> None:
    """A call that cannot be recorded is not answered: 503, or a stream that is cut before its end."""

    async def main() -> None:
        disk = Disk()
        disk.fails_at = kind
        provider = StubProvider()
        async with open_gateway_over(provider, store=disk) as gateway:
            answer = await gateway.chat(body)
            if kind is Usage and body is STREAM:
                assert answer.status == 200
                assert not answer.whole
                assert b"[DONE]" not in answer.body
            else:
                assert (answer.status, answer.json["error"]["code"]) == (503, "journal")
                assert b"x-inferworks-call-id" not in answer.headers
                assert "disk" not in answer.json["error"]["message"]
            assert len(provider.calls) == (kind is Usage)
            assert (await gateway.chat(body)).status == 503, "and so are all calls after it"
            assert gateway.stored_usages() == []

    run(main())
    assert "the disk is gone" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("is_well", [False, True], ids=["to its end", "for a while"])
def test_a_disk_that_fails_amid_a_stream(
    run: Run, monkeypatch: pytest.MonkeyPatch, is_well: bool
) -> None:
    """A stream goes on beside a failing disk; its end is held back for good if it cannot be recorded."""
    monkeypatch.setattr("inferworks.meter.journal._TRY_AGAIN_S", 0.01)

    async def main() -> None:
        async with open_gateway_over(
            StubProvider([Script(words=("a",) * 50, token_s=0.01)])
        ) as gateway:
            reader, writer = await gateway.connect()
            writer.write(gateway.request("POST", CHAT, msgspec.json.encode(STREAM)))
            await reader.readuntil(b"content")
            gateway.store.broken = True
            while not gateway.context.journal.failed:
                await asyncio.sleep(0.005)
            assert (await gateway.chat(STREAM)).status == 503, "no other call is begun"
            gateway.store.broken = not is_well
            answer = await reader.read()
            assert answer.count(b"content") >= 49
            assert (b"[DONE]" in answer) == is_well
            assert answer.endswith(b"0\r\n\r\n") == is_well
            writer.close()
            gateway.store.broken = False
            while gateway.context.journal.failed:
                await asyncio.sleep(0.005)
            (usage,) = await gateway.usages()
            (leg,) = usage.legs
            assert (leg.outcome, leg.tokens.output) == (Outcome.ANSWERED, 50)
            reported = (usage.outcome, usage.status, usage.error_code, usage.tokens.output)
            assert reported == (
                (Outcome.ANSWERED, 200, None, 50)
                if is_well
                else (Outcome.FAILED, 200, "journal", 0)
            )

    run(main())


def test_a_disk_that_is_full_for_a_while(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that was worked on in vain is on record once that is possible, and calls are served again."""
    monkeypatch.setattr("inferworks.meter.journal._TRY_AGAIN_S", 0.01)

    async def main() -> None:
        disk = Disk()
        disk.fails_at = Usage
        async with open_gateway(store=disk) as (gateway, upstream):
            refused = await gateway.chat(WHOLE)
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert (await gateway.chat(WHOLE)).status == 503
            assert len(upstream.received) == 1, "what cannot be recorded is not begun"
            disk.fails_at, disk.broken = None, False
            while gateway.context.journal.failed:
                await asyncio.sleep(0.005)
            assert (await gateway.chat(WHOLE)).status == 200
            failed, answered = await gateway.usages()
            assert (failed.outcome, failed.status, failed.error_code) == (
                Outcome.FAILED,
                503,
                "journal",
            )
            assert (failed.tokens, failed.response_bytes) == (Tokens(), 0)
            assert failed.legs[0].tokens == answered.tokens, "what was used is known"

    run(main())


# --- upstreams that break


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CLOSE, Fault.GARBAGE, Fault.ERROR_EVENT])
def test_an_upstream_that_breaks_amid(run: Run, fault: Fault) -> None:
    """The stream ends with an error event and no `[DONE]`; the leg keeps the tokens that were made."""

    async def main() -> None:
        answer = Answer(fault=fault, fault_after=3)
        async with open_gateway(answer, running_usage=True) as (gateway, _):
            answer = await gateway.chat(STREAM)
            assert (answer.status, answer.whole) == (200, True)
            assert b"[DONE]" not in answer.body
            error = msgspec.json.decode(answer.events[-1])["error"]
            assert (error["type"], error["code"]) == ("server_error", "upstream_failed")
            assert b"Hello" in answer.body
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.status) == (Outcome.FAILED, 200)
            assert usage.error_code == "upstream_failed"
            assert usage.tokens == Tokens()
            (leg,) = usage.legs
            assert (leg.outcome, leg.status, leg.tokens) == (Outcome.FAILED, 200, Tokens(5, 2))
            assert leg.confidence is Confidence.COUNTED

    run(main())


@BODIES
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CLOSE, Fault.GARBAGE, Fault.ERROR_EVENT])
def test_an_upstream_that_breaks_at_once(run: Run, body: dict[str, Any], fault: Fault) -> None:
    """A failure before the first byte is an honest 502, and nothing of it reaches the client."""

    async def main() -> None:
        async with open_gateway(Answer(fault=fault)) as (gateway, upstream):
            answer = await gateway.chat(body)
            assert answer.status == 502
            code = "upstream_unreachable" if fault is Fault.RESET else "upstream_failed"
            assert answer.json["error"]["code"] == code
            assert str(upstream.origin.port) not in answer.body.decode()
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.status, len(usage.legs)) == (Outcome.FAILED, 502, 1)
            (leg,) = usage.legs
            assert leg.confidence is Confidence.ESTIMATED
            cut = (
                fault is Fault.CLOSE and body is not STREAM
            )  # half an answer, whole by its framing
            worked = cut or fault is Fault.GARBAGE  # it answered, so it did the work
            assert (leg.tokens.input > 0) is worked

    run(main())


# --- clients that leave


async def leave_after(gateway: InProcessGateway, size: int, body: dict[str, Any]) -> bytes:
    """Ask, read `size` bytes of the answer and drop the connection."""
    reader, writer = await gateway.connect()
    writer.write(gateway.request("POST", CHAT, msgspec.json.encode(body)))
    try:
        return await reader.readexactly(size) if size else b""
    finally:
        writer.transport.abort()


async def told_to_stop(upstream: FakeUpstream, times: int) -> None:
    """Wait until the upstream has been left so many times, and not more often."""
    async with asyncio.timeout(5):
        while upstream.left_early < times:
            await asyncio.sleep(0.005)
    assert upstream.left_early == times


@pytest.mark.slow
def test_leaving_at_every_byte_of_a_stream(run: Run) -> None:
    """Wherever a client leaves, its call has one Usage, its upstream knows, and nothing stays behind."""

    async def main() -> None:
        # Without the headers that tell a time, an answer is as long each time.
        async with open_gateway(Answer(event_s=0.01), answer_headers=False) as (gateway, upstream):
            reader, writer = await gateway.connect()
            writer.write(gateway.request("POST", CHAT, msgspec.json.encode(STREAM)))
            length = len(await reader.read())
            writer.close()
            for start in range(0, length + 1, 200):
                sizes = range(start, min(start + 200, length + 1))
                seen = await asyncio.gather(*[leave_after(gateway, size, STREAM) for size in sizes])
                await gateway.alone()
                check_each(await gateway.usages(), seen)
            usages = await gateway.usages()
            assert len(usages) <= length + 2
            cancelled = sum(usage.outcome is Outcome.CANCELLED for usage in usages)
            assert cancelled > length // 2
            reached = sum(bool(u.legs) for u in usages if u.outcome is Outcome.CANCELLED)
            await left_by(upstream, reached)

    run(main())


def check_each(usages: list[Usage], seen: list[bytes]) -> None:
    """Every client that saw a call's id has that call's one Usage, and no more bytes than it counts."""
    by_id = {usage.call_id: usage for usage in usages}
    assert len(by_id) == len(usages)
    for data in seen:
        if b"\r\n\r\n" not in data:
            continue
        answer = parse_answer(data)
        usage = by_id.pop(answer.headers["x-inferworks-call-id"])
        assert usage.outcome in {Outcome.ANSWERED, Outcome.CANCELLED}
        assert usage.outcome is Outcome.ANSWERED or b"[DONE]" not in answer.body
        assert usage.outcome is Outcome.ANSWERED or usage.status == 200
        assert usage.response_bytes >= len(answer.body)


async def left_by(upstream: FakeUpstream, most: int) -> None:
    """Nothing runs upstream any more; it had not begun or had finished only for some of those who left."""
    async with asyncio.timeout(5):
        while upstream.server.running:
            await asyncio.sleep(0.005)
    assert most // 4 < upstream.left_early <= most


@BODIES
def test_leaving_before_the_answer_begins(run: Run, body: dict[str, Any]) -> None:
    """A client that leaves while its upstream thinks is a cancelled call of status 0."""

    async def main() -> None:
        async with open_gateway(Answer(fault=Fault.HANG_BEFORE_HEADERS)) as (gateway, upstream):
            asking = asyncio.ensure_future(gateway.chat(body))
            while not upstream.received:
                await asyncio.sleep(0.005)
            asking.cancel()
            await asyncio.wait({asking})
            await gateway.alone()
            await told_to_stop(upstream, 1)
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.status) == (Outcome.CANCELLED, 0)
            assert usage.first_byte_ns is None
            assert [leg.outcome for leg in usage.legs] == [Outcome.CANCELLED]

    run(main())


class Deaf:
    """A connection whose client is found gone when the `writes`-th piece is written."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def head(self, *_: object, keep_alive: bool) -> bytes:
        """The head of an answer."""
        return b""

    async def write(self, _: bytes) -> None:
        """Take a piece, or notice that nobody is there."""
        if self.left == 0:
            raise ClientGone
        self.left -= 1


@pytest.mark.parametrize(
    ("body", "writes", "outcome"),
    [
        (STREAM, 0, Outcome.CANCELLED),
        (STREAM, 2, Outcome.CANCELLED),
        (STREAM, 4, Outcome.ANSWERED),
        (WHOLE, 0, Outcome.ANSWERED),
    ],
)
def test_a_client_found_gone_when_written_to(
    run: Run, body: dict[str, Any], writes: int, outcome: Outcome
) -> None:
    """A client that is found gone has its call cancelled, or answered if that was on record."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            fields = {b"authorization": f"Bearer {gateway.secret}".encode()}
            line = cast(Connection, Deaf(writes))
            exchange = Exchange(
                line, RequestHead("POST", CHAT, "", fields), msgspec.json.encode(body)
            )
            answering = asyncio.ensure_future(gateway.server.handler(exchange))
            await asyncio.wait({answering})
            assert answering.cancelled() or isinstance(answering.exception(), ClientGone)
            assert [usage.outcome for usage in await gateway.usages()] == [outcome]

    run(main())


def test_leaving_amid_keeps_the_count(run: Run) -> None:
    """A client that leaves is charged for the tokens that were made until then."""

    async def main() -> None:
        answer = Answer(fault=Fault.HANG, fault_after=3)
        async with open_gateway(answer, running_usage=True) as (gateway, upstream):
            reader, writer = await gateway.connect()
            writer.write(gateway.request("POST", CHAT, msgspec.json.encode(STREAM)))
            await reader.readuntil(b"there")
            writer.close()
            await gateway.alone()
            await told_to_stop(upstream, 1)
            (usage,) = await gateway.usages()
            assert (usage.outcome, usage.status) == (Outcome.CANCELLED, 200)
            assert (usage.tokens, usage.confidence) == (Tokens(5, 2), Confidence.COUNTED)

    run(main())


def test_leaving_amid_events_with_many_tokens(run: Run) -> None:
    """A client is charged for the words that have come, where the upstream has told no usage yet."""

    async def main() -> None:
        answer = Answer(words=("word " * 80,) * 9, fault=Fault.HANG, fault_after=4)
        async with open_gateway(answer) as (gateway, upstream):
            reader, writer = await gateway.connect()
            writer.write(gateway.request("POST", CHAT, msgspec.json.encode(STREAM)))
            for _ in range(3):
                await reader.readuntil(b'word "')
            writer.close()
            await gateway.alone()
            await told_to_stop(upstream, 1)
            (usage,) = await gateway.usages()
            assert (usage.tokens.output, usage.confidence) == (300, Confidence.ESTIMATED)

    run(main())


def test_leaving_while_the_record_is_written(run: Run) -> None:
    """A client that vanishes as its Usage is committed leaves that one Usage: answered."""

    async def main() -> None:
        disk = Disk()
        disk.waits_for = Usage
        async with open_gateway(store=disk) as (gateway, _):
            asking = asyncio.ensure_future(gateway.chat(STREAM))
            await asyncio.to_thread(disk.writing.wait, 5)
            asking.cancel()
            await asyncio.wait({asking})
            await gateway.alone()
            disk.go_on.set()
            assert [usage.outcome for usage in await gateway.usages()] == [Outcome.ANSWERED]

    run(main())


def test_stopping_cuts_what_is_late_and_records_it(run: Run) -> None:
    """A gateway that stops has recorded every call that it cut."""

    async def main() -> None:
        async with open_gateway(Answer(fault=Fault.HANG, fault_after=2)) as (gateway, upstream):
            asking = asyncio.ensure_future(gateway.chat(STREAM))
            while not upstream.received:
                await asyncio.sleep(0.005)
            assert await gateway.server.stop(drain_s=0.05) == 1
            assert [usage.outcome for usage in await gateway.usages()] == [Outcome.CANCELLED]
            answer = await asking
            assert not answer.whole

    run(main())


# --- secrets


def test_keys_and_prompts_are_kept_nowhere(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the log nor the journal holds a secret or a prompt, however a call goes."""

    async def main() -> None:
        answers = (
            Answer(), Answer(fault=Fault.RESET), Answer(fault=Fault.RESET, fault_after=2),
            Answer(fault=Fault.GARBAGE), Answer(status=400), Answer(status=401), Answer(),
        )  # fmt: skip
        async with open_gateway(*answers) as (gateway, _):
            for body in (STREAM, WHOLE, STREAM, WHOLE, WHOLE, WHOLE, {**WHOLE, "n": PROMPT}, WHOLE):
                await gateway.chat(body)
            await gateway.chat(f'{{"model": "{PROMPT}'.encode())
            await gateway.chat({**WHOLE, "model": gateway.secret})  # put into the wrong field
            await gateway.chat({**WHOLE, "user": gateway.secret})
            object.__setattr__(
                gateway.context,
                "router",
                SimpleNamespace(health=gateway.context.router.health, slots=lambda *_: None),
            )
            assert (await gateway.chat(WHOLE)).status == 500
            assert len(await gateway.usages()) == 12
            kept = repr(gateway.store._tables)
            assert "acme" in kept
            for secret in (PROMPT, gateway.secret, gateway.secret[3:20]):
                assert secret not in kept
                assert secret not in caplog.text

    with caplog.at_level(logging.DEBUG):
        run(main())
    assert "AttributeError" in caplog.text


def test_an_answer_is_an_answer() -> None:
    """The tests' own reader of answers tells whole bodies from cut ones."""
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    assert parse_answer(head + b"2\r\nab\r\n0\r\n\r\n") == Answered(
        200, {"transfer-encoding": "chunked"}, b"ab", True
    )
    for cut in range(len(b"2\r\nab\r\n0\r\n\r\n")):
        assert not parse_answer(head + b"2\r\nab\r\n0\r\n\r\n"[:cut]).whole
