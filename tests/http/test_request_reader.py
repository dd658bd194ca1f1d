"""Requests that the server reads and refuses: framing, limits and every known way to smuggle."""

from __future__ import annotations

import asyncio

import pytest

from inferworks.http.server import Admission, Exchange, Limits, Refused, RequestHead, field_lines

LAST = b"connection: close\r\n"
POST = b"POST /p HTTP/1.1\r\nhost: x\r\n"


def bodies(answers: bytes) -> list[bytes]:
    """The bodies of answers with a content-length, one after the other."""
    found = []
    while answers:
        head, _, rest = answers.partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        size = int(fields[b"content-length"])
        found.append(rest[:size])
        answers = rest[size:]
    return found


def get(path: str, extra: bytes = b"") -> bytes:
    """A request for `path`."""
    return b"GET %b HTTP/1.1\r\nhost: x\r\n%b\r\n" % (path.encode(), extra)


def test_keep_alive(kit):
    """One connection serves one request after the other, and ends when the client says so."""

    async def main():
        async with kit.serving() as world:
            reader, writer = await world.open()
            for number in range(3):
                writer.write(get(f"/{number}"))
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"connection: close" not in head
                assert await reader.readexactly(7) == b"GET /%d " % number
            writer.write(get("/last", LAST))
            assert b"connection: close" in await reader.read()
            await kit.shut(writer)

    kit.run(main())


def test_pipelined_requests_are_answered_in_order_one_at_a_time(kit):
    """Requests sent at once are run one after the other, and the last one's close is its own."""
    running = 0

    async def slow(exchange: Exchange):
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.001)
        running -= 1
        await kit.echo(exchange)

    async def main():
        async with kit.serving(slow) as world:
            requests = [get(f"/{n}") for n in range(9)] + [get("/9", LAST)]
            answers = await world.ask(b"".join(requests))
            assert bodies(answers) == [b"GET /%d " % n for n in range(10)]
            assert answers.count(b"connection: close") == 1
            assert answers.index(b"connection: close") > answers.index(b"GET /8 ")
            assert not world.errors

    kit.run(main())


@pytest.mark.slow
def test_pipelined_flood_is_answered_whole_and_held_in_bounds(kit):
    """Little is held at a time and nothing is lost, however many requests are sent ahead."""
    most = 0

    async def main():
        nonlocal server
        async with kit.serving(watch) as world:
            server = world.server
            count = 20_000
            flood = get("/f") * (count - 1) + get("/end", LAST)
            answers = await world.ask(flood)
            assert answers.count(b"HTTP/1.1 200 OK") == count
            assert answers.endswith(b"GET /end ")
            assert most < 1000

    server = None

    async def watch(exchange: Exchange):
        nonlocal most
        (connection,) = server.connections
        most = max(most, len(connection._waiting))
        await kit.echo(exchange)

    kit.run(main())


def test_bad_request_behind_a_good_one(kit):
    """A pipelined request that cannot be read is refused in its turn; the one before is answered."""

    async def main():
        async with kit.serving() as world:
            answers = await world.ask(get("/good") + b"rubbish\r\n\r\n")
            assert bodies(answers)[0] == b"GET /good "
            assert answers.count(b"HTTP/1.1 400 Bad Request") == 1

    kit.run(main())


def test_data_after_the_last_request_does_not_disturb_its_answer(kit):
    """Data after a request that closes is ignored, also while that request runs."""

    async def slow(exchange: Exchange):
        await asyncio.sleep(0.01)
        await kit.echo(exchange)

    async def main():
        async with kit.serving(slow) as world:
            assert bodies(await world.ask(get("/a", LAST) + get("/b"), b"more")) == [b"GET /a "]

    kit.run(main())


SPLIT = {
    "length": POST + LAST + b"content-length: 5\r\n\r\nhello",
    "chunked": b"\r\n" + POST + LAST + b"Transfer-Encoding: Chunked\r\n\r\n"
    + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\ntrailer: t\r\n\r\n",
    "upgrade": POST + b"connection: upgrade, close\r\nupgrade: h2c\r\ncontent-length: 5\r\n\r\nhello",
}  # fmt: skip


@pytest.mark.parametrize("request_bytes", SPLIT.values(), ids=SPLIT)
def test_split_at_every_offset(kit, request_bytes):
    """A request reads the same wherever the network cuts it, and one byte at a time."""

    async def main():
        async with kit.serving() as world:
            cuts = [(request_bytes[:at], request_bytes[at:]) for at in range(1, len(request_bytes))]
            single = tuple(bytes([byte]) for byte in request_bytes)
            for pieces in [*cuts, single]:
                assert bodies(await world.ask(*pieces)) == [b"POST /p hello"], pieces
            await world.alone()

    kit.run(main())


def test_one_request_split_within_a_pipelined_pair(kit):
    """Two requests cut anywhere give the same two answers."""
    pair = b"POST /1 HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi" + get("/2", LAST)

    async def main():
        async with kit.serving() as world:
            for at in range(1, len(pair)):
                assert bodies(await world.ask(pair[:at], pair[at:])) == [b"POST /1 hi", b"GET /2 "]

    kit.run(main())


REFUSED = {
    "length and chunked": (
        POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400,
    ),
    "chunked and length": (
        POST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n", 400,
    ),
    "two lengths": (POST + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc", 400),
    "list of lengths": (POST + b"content-length: 3, 3\r\n\r\nabc", 400),
    "signed length": (POST + b"content-length: +3\r\n\r\nabc", 400),
    "overflowing length": (POST + b"content-length: 99999999999999999999999\r\n\r\n", 400),
    "space before colon": (POST + b"content-length : 3\r\n\r\nabc", 400),
    "unknown coding": (POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked is not last": (POST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "almost chunked": (POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "two codings": (POST + b"transfer-encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", 400),
    "negative chunk": (POST + b"transfer-encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk ends in a bare LF": (POST + b"transfer-encoding: chunked\r\n\r\n3\nabc\n0\n\n", 400),
    "two hosts": (get("/", b"host: y\r\n"), 400),
    "two credentials": (get("/", b"authorization: a\r\nAuthorization: a\r\n"), 400),
    "two keys": (get("/", b"x-api-key: a\r\nX-Api-Key: b\r\n"), 400),
    "folded header": (get("/", b"a: b\r\n c\r\n"), 400),
    "bare CR": (get("/", b"a: b\rc\r\n"), 400),
    "bare LF": (get("/", b"a: b\nc: d\r\n"), 400),
    "NUL": (get("/", b"a: b\0c\r\n"), 400),
    "space in a name": (get("/", b"a b: c\r\n"), 400),
    "space in the path": (b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "absolute target": (b"GET http://x/ HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "absolute target of CONNECT": (b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", 405),
    "CONNECT *": (b"CONNECT * HTTP/1.1\r\nhost: x\r\n\r\n", 405),
    "CONNECT /": (b"CONNECT / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc", 405),
    "CONNECT that offers": (
        b"CONNECT * HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", 405,
    ),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "no host but a body": (b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", 400),
    "no host but an offer": (b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", 400),
    "list of hosts": (b"GET / HTTP/1.1\r\nhost: x, y\r\n\r\n", 400),
    "host with a user": (b"GET / HTTP/1.1\r\nhost: u@x\r\n\r\n", 400),
    "host with a path": (b"GET / HTTP/1.1\r\nhost: x/y\r\n\r\n", 400),
    "host with a bad port": (b"GET / HTTP/1.1\r\nhost: x:y\r\n\r\n", 400),
    "host beyond ASCII": (b"GET / HTTP/1.1\r\nhost: \xe9\r\n\r\n", 400),
    "open bracket": (b"GET / HTTP/1.1\r\nhost: [::1\r\n\r\n", 400),
    "bad host of HTTP/1.0": (b"GET / HTTP/1.0\r\nhost: x y\r\n\r\n", 400),
    "HTTP/0.9": (b"GET / HTTP/0.9\r\nhost: x\r\n\r\n", 505),
    "no version": (b"GET /\r\n\r\n", 505),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", 505),
    "HTTP/2.0 with an offer": (
        b"GET / HTTP/2.0\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", 505,
    ),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nhost: x\r\n\r\n", 505),
    "HTTP/3.0": (b"GET / HTTP/3.0\r\nhost: x\r\n\r\n", 505),
    "chunks of HTTP/1.0": (
        b"POST / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400,
    ),
    "unknown method": (b"BREW / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "huge header": (get("/", b"a: " + b"x" * 5000 + b"\r\n"), 431),
    "many headers": (get("/", b"a: b\r\n" * 600), 431),
    "many small headers": (get("/", b"a:b\r\n" * 256), 431),
    "many small trailers": (
        POST + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"a:b\r\n" * 256 + b"\r\n", 431,
    ),
    "huge target": (get("/" + "x" * 5000), 431),
    "huge body": (POST + b"content-length: 2001\r\n\r\n", 413),
    "huge chunked body": (
        POST + b"transfer-encoding: chunked\r\n\r\n" + b"3e8\r\n" + b"x" * 1000 + b"\r\n"
        + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", 413,
    ),
    "huge body under an upgrade": (
        POST + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2001\r\n\r\n", 413,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("request_bytes", "status"), REFUSED.values(), ids=REFUSED)
def test_refused_messages(kit, request_bytes, status):
    """A message that two readers could read differently, or that is too large, never runs."""
    ran = []

    async def note(exchange: Exchange):
        ran.append(exchange.path)
        await kit.echo(exchange)

    async def main():
        limits = Limits(body_bytes=2000, header_bytes=2000)
        async with kit.serving(note, limits) as world:
            answer = await world.ask(request_bytes)
            assert answer.startswith(b"HTTP/1.1 %d " % status), answer
            assert b"connection: close" in answer
            await world.alone()
        assert ran == []

    kit.run(main())


HOSTS = [b"x", b"x:80", b"x:", b"", b"127.0.0.1:8080", b"[::1]", b"[::1]:80", b"a_b.c-d~", b"%41"]


@pytest.mark.parametrize("host", HOSTS, ids=repr)
def test_hosts(kit, host):
    """Every form that the standard has for a host is taken."""

    async def main():
        async with kit.serving() as world:
            request = b"GET /p HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (host, LAST)
            assert bodies(await world.ask(request)) == [b"GET /p "]

    kit.run(main())


def test_host_is_not_needed_before_http_1_1(kit):
    """HTTP/1.0 knows no hosts."""

    async def main():
        async with kit.serving() as world:
            assert bodies(await world.ask(b"GET /p HTTP/1.0\r\n\r\n")) == [b"GET /p "]

    kit.run(main())


def test_refusals_of_methods_say_what_is_allowed(kit):
    """An answer 405 lists the methods that are allowed, as it must: here none."""

    async def main():
        async with kit.serving() as world:
            answer = await world.ask(b"CONNECT * HTTP/1.1\r\nhost: x\r\n\r\n" * 1000)
            assert answer.count(b"HTTP/1.1 405 ") == 1
            assert b"\r\nallow: \r\n" in answer

    kit.run(main())


@pytest.mark.slow
def test_many_offers_at_once(kit):
    """Each offer is declined once, however many come in one segment, and none inside another."""
    offer = get("/o", b"connection: upgrade\r\nupgrade: h2c\r\n")
    count = 10_000

    async def main():
        async with kit.serving() as world:
            answers = await world.ask(offer * count + get("/end", LAST))
            assert answers.count(b"HTTP/1.1 200 OK") == count + 1
            assert not world.errors

    kit.run(main())


REFUSED_BY_HEAD = Refused(401, b"text/plain", b"who are you?", ((b"x-why", b"no key"),))
WITH_BODY = {
    "length": b"content-length: 1000000\r\n\r\n",
    "chunked": b"transfer-encoding: chunked\r\n\r\n",
    "asked about": b"expect: 100-continue\r\ncontent-length: 5\r\n\r\n",
    "asked about in chunks": b"Expect: 100-Continue\r\ntransfer-encoding: chunked\r\n\r\n",
    "behind an offer": b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 5\r\n\r\n",
}


@pytest.mark.parametrize("rest", WITH_BODY.values(), ids=WITH_BODY)
@pytest.mark.parametrize("before", [b"", get("/first")], ids=["first", "behind another"])
def test_a_body_that_is_not_admitted(kit, rest, before):
    """A body that is not admitted is refused by its head alone: no 100, nothing kept, nothing run."""
    ran = []

    async def note(exchange: Exchange):
        ran.append(exchange.path)
        await kit.echo(exchange)

    async def main():
        async with kit.serving(note, admit=lambda _: REFUSED_BY_HEAD) as world:
            reader, writer = await world.open()
            writer.write(before + POST + rest)
            answers = await reader.read()
            assert bodies(answers)[-1] == b"who are you?"
            assert b"HTTP/1.1 401 " in answers
            assert b"\r\nx-why: no key\r\n" in answers
            assert b"connection: close" in answers
            assert b"100 Continue" not in answers
            assert ran == (["/first"] if before else [])
            writer.write(b"x" * 100_000)  # is ignored, and no reason to answer again
            await kit.shut(writer)
            await world.alone()

    kit.run(main())


def test_admission_bounds_a_body(kit):
    """Admission bounds a body by its sender, but never beyond the bound of all."""

    def admit(head: RequestHead) -> Admission:
        return Admission(body_bytes=int(head.query))

    async def main():
        async with kit.serving(limits=Limits(body_bytes=100), admit=admit) as world:
            for most, length, status in [
                (3, 3, 200),
                (3, 4, 413),
                (1000, 100, 200),
                (1000, 101, 413),
            ]:
                line = b"POST /?%d HTTP/1.1\r\nhost: x\r\n" % most + LAST
                told = line + b"content-length: %d\r\n\r\n" % length + bytes(length)
                chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (length, bytes(length))
                untold = line + b"transfer-encoding: chunked\r\n\r\n" + chunk
                for request in (told, untold):
                    assert (await world.ask(request)).startswith(b"HTTP/1.1 %d " % status)

    kit.run(main())


def test_requests_without_a_body_are_not_asked_about(kit):
    """A request without a body costs nothing to take, and is the handler's to refuse."""

    async def main():
        async with kit.serving(admit=lambda _: REFUSED_BY_HEAD) as world:
            assert bodies(await world.ask(get("/", LAST))) == [b"GET / "]
            empty = POST + LAST + b"content-length: 0\r\n\r\n"
            assert bodies(await world.ask(empty)) == [b"POST /p "]

    kit.run(main())


ENDLESS = {
    "name": (b"GET / HTTP/1.1\r\n", b"x" * 500),
    "value": (b"GET / HTTP/1.1\r\na: ", b"x" * 500),
    "trailer": (POST + b"transfer-encoding: chunked\r\n\r\n0\r\na: ", b"x" * 500),
    "chunk extension": (POST + b"transfer-encoding: chunked\r\n\r\n3;", b"x" * 500),
}


@pytest.mark.parametrize(("start", "piece"), ENDLESS.values(), ids=ENDLESS)
def test_endless_header_is_refused_while_it_comes(kit, start, piece):
    """A header that never ends is refused at the limit, though the parser tells nothing of it."""

    async def main():
        async with kit.serving(limits=Limits(header_bytes=4000)) as world:
            reader, writer = await world.open()
            writer.write(start)
            answer = asyncio.ensure_future(reader.read())
            for _ in range(40):
                if answer.done():
                    break
                writer.write(piece)
                await asyncio.sleep(0.001)
            assert (await answer).startswith(b"HTTP/1.1 431 ")
            await kit.shut(writer)

    kit.run(main())


def test_many_small_chunks_are_one_body(kit):
    """Chunk framing that comes apart from its data is not taken for headers."""
    count = 500

    async def main():
        async with kit.serving(limits=Limits(header_bytes=300)) as world:
            reader, writer = await world.open()
            writer.write(POST + LAST + b"transfer-encoding: chunked\r\n\r\n")
            for _ in range(count):
                for piece in (b"1\r\n", b"x", b"\r\n"):
                    writer.write(piece)
                    await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
            assert bodies(await reader.read()) == [b"POST /p " + b"x" * count]
            await kit.shut(writer)

    kit.run(main())


def test_trailers_are_not_headers(kit):
    """A field after the body cannot pose as a header: proxies do not check it there."""

    async def main():
        seen = []

        async def note(exchange: Exchange):
            seen.append(exchange.headers)
            await kit.echo(exchange)

        async with kit.serving(note) as world:
            chunked = POST + LAST + b"transfer-encoding: chunked\r\n\r\n"
            await world.ask(chunked + b"1\r\nx\r\n0\r\nauthorization: Bearer stolen\r\n\r\n")
        assert b"authorization" not in seen[0]

    kit.run(main())


def test_repeated_header_is_a_list(kit):
    """Header lines of one name are one value, joined as the standard says."""

    async def main():
        seen = []

        async def note(exchange: Exchange):
            seen.append(exchange.headers[b"accept"])
            await kit.echo(exchange)

        async with kit.serving(note) as world:
            await world.ask(get("/", b"accept: a\r\nAccept: b\r\n" + LAST))
        assert seen == [b"a, b"]

    kit.run(main())


def test_expect_continue(kit):
    """A client that asks before it sends its body is told to."""

    async def main():
        async with kit.serving() as world:
            reader, writer = await world.open()
            writer.write(POST + LAST + b"content-length: 2\r\nexpect: 100-continue\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"hi")
            assert bodies(await reader.read()) == [b"POST /p hi"]
            await kit.shut(writer)

    kit.run(main())


def test_expect_continue_does_not_break_into_another_answer(kit):
    """The go-ahead for a pipelined body waits for the answer before it."""

    async def main():
        async with kit.serving() as world:
            reader, writer = await world.open()
            asking = POST + LAST + b"content-length: 2\r\nexpect: 100-continue\r\n\r\n"
            writer.write(get("/first") + asking)
            await reader.readuntil(b"GET /first ")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"hi")
            assert bodies(await reader.read()) == [b"POST /p hi"]
            await kit.shut(writer)

    kit.run(main())


def test_too_large_is_said_before_the_body_is_sent(kit):
    """A client that asks first is spared sending a body that would be refused."""

    async def main():
        async with kit.serving(limits=Limits(body_bytes=10)) as world:
            asking = POST + b"content-length: 11\r\nexpect: 100-continue\r\n\r\n"
            assert (await world.ask(asking)).startswith(b"HTTP/1.1 413 ")

    kit.run(main())


def test_upgrade_is_declined_and_the_connection_goes_on(kit):
    """An offer of another protocol is answered in HTTP/1.1, body and next request included."""
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAA\r\n"

    async def main():
        async with kit.serving() as world:
            first = POST + offer + b"content-length: 4\r\n\r\nbody"
            answers = await world.ask(first + get("/next", offer) + get("/last", LAST))
            assert bodies(answers) == [b"POST /p body", b"GET /next ", b"GET /last "]

    kit.run(main())


def test_head_has_the_head_only(kit):
    """HEAD gives the head that GET would, and no body, streamed or whole."""

    async def stream(exchange: Exchange):
        await exchange.start(200, [])
        await exchange.send(b"x")
        await exchange.end(b"y")

    async def main():
        for handler in (kit.echo, stream):
            async with kit.serving(handler) as world:
                answer = await world.ask(b"HEAD / HTTP/1.1\r\nhost: x\r\n" + LAST + b"\r\n")
                assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
                assert answer.endswith(b"\r\n\r\n")
                assert answer.count(b"\r\n\r\n") == 1

    kit.run(main())


def test_http_1_0_client_gets_no_chunks(kit):
    """A stream for HTTP/1.0 ends with the connection, since that version has no chunks."""

    async def stream(exchange: Exchange):
        await exchange.start(200, [(b"content-type", b"text/plain")])
        await exchange.send(b"one ")
        await exchange.end(b"two")

    async def main():
        async with kit.serving(stream) as world:
            for extra in (b"", b"connection: keep-alive\r\n"):
                answer = await world.ask(b"GET / HTTP/1.0\r\n" + extra + b"\r\n")
                head, _, body = answer.partition(b"\r\n\r\n")
                assert body == b"one two"
                assert b"transfer-encoding" not in head
                assert b"connection: close" in head

    kit.run(main())


def test_stream_head_travels_with_the_first_piece(kit):
    """The head of a stream waits for its first piece, and leaves in one segment with it."""

    async def main():
        go_on = asyncio.Event()

        async def stream(exchange: Exchange):
            await exchange.start(200, [(b"content-type", b"text/event-stream")])
            await exchange.send(b"")
            (connection,) = world.server.connections
            written.append(connection._transport.get_write_buffer_size())
            await exchange.send(b"data: 1\n\n")
            await go_on.wait()
            await exchange.end(b"data: 2\n\n")

        written: list[int] = []
        async with kit.serving(stream) as world:
            reader, writer = await world.open()
            writer.write(get("/", LAST))
            first = await reader.read(65536)
            assert first.startswith(b"HTTP/1.1 200 OK\r\n")
            assert first.endswith(b"\r\n\r\n9\r\ndata: 1\n\n\r\n")
            go_on.set()
            assert await reader.read() == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"
            assert written == [0]
            await kit.shut(writer)

    kit.run(main())


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\n", b"a\r", b"a\0"])
def test_header_with_a_line_break_is_never_sent(kit, value):
    """A handler cannot be made to write a second header or answer into the first."""
    with pytest.raises(ValueError, match="line break"):
        field_lines([(b"x", value)])

    async def split(exchange: Exchange):
        await exchange.respond(200, b"", headers=[(b"x", value)])

    async def main():
        async with kit.serving(split) as world:
            assert (await world.ask(get("/"))).startswith(b"HTTP/1.1 500 ")
            assert [type(error) for error in world.errors] == [ValueError]

    kit.run(main())
