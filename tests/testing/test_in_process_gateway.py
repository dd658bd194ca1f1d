"""The gateway in this process: its client's view of an answer, its keys, and its checks at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from inferworks.cloud.providers.stub import StubProvider
from inferworks.ids import CustomerId
from inferworks.purpose import Purpose
from inferworks.testing.facts import make_opened, make_usage
from inferworks.testing.in_process_gateway import (
    A_CUSTOMER,
    InProcessGateway,
    ListedModels,
    open_gateway_over,
    parse_answer,
)
from inferworks.testing.providers import A_MODEL, make_offer

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length: 3\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def within(act: Callable[[InProcessGateway], object]) -> None:
    """Run `act` on a gateway over a stub, which nobody calls."""

    async def main() -> None:
        async with open_gateway_over(StubProvider()) as gateway:
            act(gateway)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("data", "body", "whole"),
    [
        (PLAIN + b"abc", b"abc", True),
        (PLAIN + b"ab", b"ab", False),
        (PLAIN, b"", False),
        (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", b"abc", True),
        (CHUNKED + b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", b"abc0123456789", True),
        (CHUNKED + b"0\r\n\r\n", b"", True),
        (CHUNKED + b"3\r\nabc\r\n0\r\n", b"abc", False),
        (CHUNKED + b"3\r\nabc\r\n", b"abc", False),
        (CHUNKED + b"3\r\nab", b"ab", False),
        (CHUNKED + b"3", b"", False),
        (CHUNKED, b"", False),
    ],
)
def test_an_answer_is_whole_by_its_own_account(data: bytes, body: bytes, whole: bool) -> None:
    """The body is there as far as it came, without the framing."""
    answer = parse_answer(data)
    assert (answer.status, answer.body, answer.whole) == (200, body, whole)


def test_an_answer_has_its_headers_and_its_content() -> None:
    """Names are in lower case; JSON and events are decoded when they are asked for."""
    answer = parse_answer(PLAIN + b"[1]")
    assert answer.headers == {"content-type": "text/plain", "content-length": "3"}
    assert answer.json == [1]
    events = b"data: a\n\n: comment\n\ndata: [DONE]\n\n"
    answer = parse_answer(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(events), events))
    assert answer.events == [b"a", b"[DONE]"]


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", b"HTTP/1.1 x\r\ncontent-length: 0"]
)  # fmt: skip
def test_bytes_that_are_no_answer_are_refused(data: bytes) -> None:
    """A head without a length or a status is none."""
    with pytest.raises((ValueError, KeyError)):
        parse_answer(data)


def test_models_are_those_that_were_put() -> None:
    """A model that is not there has no offers."""
    offer = make_offer()
    models = ListedModels({A_MODEL: [offer]})
    assert (models.models(), models.offers(A_MODEL), models.status()) == ([A_MODEL], [offer], {})
    assert models.offers("other") == ()  # type: ignore[arg-type]


def test_a_request_has_the_default_key() -> None:
    """Unless another or none is given; headers that are given come last."""

    def act(gateway: InProcessGateway) -> None:
        default = gateway.request("POST", "/v1/x", b"abc").decode()
        assert default.startswith("POST /v1/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n")
        assert f"authorization: Bearer {gateway.secret}\r\n" in default
        assert default.endswith("\r\n\r\nabc")
        assert "content-length: 3\r\n" in default
        other = gateway.request("GET", "/", b"", secret="iw_x", headers={"a": "b"}).decode()
        assert other.endswith("authorization: Bearer iw_x\r\na: b\r\n\r\n")
        assert b"authorization" not in gateway.request("GET", "/", b"", secret="")
        assert gateway.url == f"http://127.0.0.1:{gateway.port}/v1"

    within(act)


def test_keys_are_known_at_once() -> None:
    """A new customer is added with the first key; a revoked one is known as such."""

    def act(gateway: InProcessGateway) -> None:
        ring = gateway.context.keyring
        key_id, secret = gateway.new_key(Purpose.SERVE_FREE, monitor=True)
        key = ring.find(secret)
        assert key is not None
        assert (key.id, key.customer, key.purpose) == (key_id, A_CUSTOMER, Purpose.SERVE_FREE)
        assert key.monitor
        customer = CustomerId("globex")
        for _ in range(2):
            gateway.new_key(customer=customer)
        assert {one.id for one in gateway.accounts.customers()} == {A_CUSTOMER, customer}
        gateway.revoke(key_id)
        revoked = ring.find(secret)
        assert revoked is not None
        assert revoked.revoked_ns == 2

    within(act)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (make_opened(), "an opened call has no Usage"),
        (make_usage(), "not every call on record is counted"),
    ],
    ids=["opened", "not counted"],
)
def test_the_end_finds_calls_left_behind(record: Any, words: str) -> None:
    """A call that is open, or of which the metrics know nothing, fails the test."""
    with pytest.raises(AssertionError, match=words):
        within(lambda gateway: gateway.store.write([record]))


def test_usages_that_were_reported_are_not_served() -> None:
    """Their ids have a source before them, and the metrics of calls need not know them."""
    reported = make_usage(call_id="gateway-b/1")

    def act(gateway: InProcessGateway) -> None:
        gateway.store.write([reported])
        assert gateway.stored_usages() == [reported]

    within(act)
