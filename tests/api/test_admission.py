"""Authentication: the key of a request by any of the headers that clients send, and its call's purpose."""

from __future__ import annotations

import msgspec
import pytest

from inferworks.accounts.key import SERVING, Grant, Key, mint
from inferworks.api.admission import PURPOSE, authenticate, purpose_of
from inferworks.clock import SimClock
from inferworks.errors import CallError, DataFolderError
from inferworks.http.server import RequestHead
from inferworks.ids import CustomerId
from inferworks.purpose import Purpose
from inferworks.testing.facts import A_PEPPER

CLOCK = SimClock(100)


def asked(headers: dict[bytes, bytes], peer: str = "192.0.2.7") -> RequestHead:
    """A request from `peer`."""
    return RequestHead("POST", "/v1/x", "", headers, peer=peer)


class Ring:
    """Keys by their secrets."""

    def __init__(self, *, fresh: bool = True) -> None:
        self.fresh = fresh
        self.keys: dict[str, Key] = {}

    def new(self, grant: Grant = SERVING) -> str:
        """The secret of a new key."""
        key, secret = mint(CustomerId("acme"), 1, grant, pepper=A_PEPPER)
        self.keys[secret] = key
        return secret

    def find(self, secret: str) -> Key | None:
        """The key of `secret`."""
        return self.keys.get(secret)


def refused(ring: Ring, headers: dict[bytes, bytes], **how: bool) -> tuple[int, str | None]:
    """Status and code of a refusal."""
    with pytest.raises(CallError) as error:
        authenticate(asked(headers), ring, CLOCK, **how)
    return error.value.status, error.value.code


def test_a_key_by_each_header() -> None:
    """A bearer token in any case, Anthropic's header and Azure's; blanks around it do not count."""
    ring = Ring()
    secret = ring.new().encode()
    for headers in (
        {b"authorization": b"Bearer " + secret},
        {b"authorization": b"bearer  " + secret + b" "},
        {b"x-api-key": secret},
        {b"api-key": b" " + secret},
        {b"authorization": b"Bearer " + secret, b"x-api-key": secret},
        {b"authorization": b"Basic eA==", b"x-api-key": secret},
        {b"authorization": b"Bearer " + secret, b"api-key": b" "},
    ):
        assert authenticate(asked(headers), ring, CLOCK) is ring.keys[secret.decode()]


@pytest.mark.parametrize(
    "headers",
    [{}, {b"authorization": b"Bearer"}, {b"authorization": b"Basic eA=="}, {b"x-api-key": b" "}],
)
def test_no_key(headers: dict[bytes, bytes]) -> None:
    """The answer says how to send one."""
    with pytest.raises(CallError, match="You didn't provide an API key") as error:
        authenticate(asked(headers), Ring(), CLOCK)
    assert error.value.status == 401


def test_two_keys_in_one_request_are_no_key() -> None:
    """Two keys are refused even where both are good: the call could be charged to either."""
    ring = Ring()
    one, other = ring.new().encode(), ring.new().encode()
    with pytest.raises(CallError, match="name two different API keys"):
        authenticate(asked({b"authorization": b"Bearer " + one, b"api-key": other}), ring, CLOCK)
    with pytest.raises(CallError, match="name two different API keys"):
        authenticate(asked({b"x-api-key": one, b"api-key": other}), ring, CLOCK)


def test_unknown_and_revoked_keys() -> None:
    """Bytes that are no text are unknown, too."""
    ring = Ring()
    assert refused(ring, {b"x-api-key": b"iw_x"}) == (401, "invalid_api_key")
    assert refused(ring, {b"x-api-key": b"\xff\x00"}) == (401, "invalid_api_key")
    secret = ring.new()
    key = ring.keys[secret]
    ring.keys[secret] = msgspec.structs.replace(key, revoked_ns=2)
    assert refused(ring, {b"x-api-key": secret.encode()}) == (401, "invalid_api_key")


def test_monitors_read_metrics_and_callers_do_not() -> None:
    """Each key for its own; metrics are read while keys cannot be checked, calls are not made."""
    ring = Ring()
    caller, monitor = ring.new().encode(), ring.new(Grant(monitor=True)).encode()
    assert refused(ring, {b"x-api-key": monitor}) == (403, "monitor_key")
    assert refused(ring, {b"x-api-key": caller}, monitor=True) == (403, "not_a_monitor_key")
    ring.fresh = False
    assert refused(ring, {b"x-api-key": caller}) == (503, "keys_not_fresh")
    assert authenticate(asked({b"x-api-key": monitor}), ring, CLOCK, monitor=True).monitor


def test_a_key_is_refused_from_its_moment_on() -> None:
    """By the gateway's own clock: in the nanosecond before it serves, in that one not."""
    ring, clock = Ring(), SimClock(99)
    secret = ring.new()
    key = ring.keys[secret] = msgspec.structs.replace(ring.keys[secret], expires_ns=100)
    assert authenticate(asked({b"x-api-key": secret.encode()}), ring, clock) is key
    assert refused(ring, {b"x-api-key": secret.encode()}) == (401, "invalid_api_key")


def test_a_key_works_from_its_networks_alone() -> None:
    """Its networks are compared with the address of the connection."""
    ring = Ring()
    secret = ring.new(Grant(networks=("192.0.2.0/24",)))
    headers = {b"x-api-key": secret.encode(), b"x-forwarded-for": b"192.0.2.7"}
    assert authenticate(asked(headers, "192.0.2.7"), ring, CLOCK) is ring.keys[secret]
    with pytest.raises(CallError) as error:
        authenticate(asked(headers, "192.0.3.7"), ring, CLOCK)
    assert (error.value.status, error.value.code) == (401, "ip_not_authorized")


def test_a_store_that_cannot_be_read_is_no_wrong_key() -> None:
    """Its caller is told to come again, as for keys that nobody could look at."""

    class Broken(Ring):
        def find(self, secret: str) -> Key | None:
            raise DataFolderError("the disk is gone")

    assert refused(Broken(), {b"x-api-key": b"iw_x"}) == (503, "keys_not_fresh")


def test_a_purpose_is_the_keys_unless_one_is_named_that_it_allows() -> None:
    """A name that is none is a mistake, one that is not allowed a refusal."""
    grant = Grant(Purpose.SERVE_PAID, allowed=(Purpose.EVALUATE,))
    key, _ = mint(CustomerId("acme"), 1, grant, pepper=A_PEPPER)
    assert purpose_of({}, key) is Purpose.SERVE_PAID
    assert purpose_of({PURPOSE: b"evaluate"}, key) is Purpose.EVALUATE
    for named, status, code in (
        (b"fun", 400, "unknown_purpose"),
        (b"", 400, "unknown_purpose"),
        (b"support", 403, "purpose_not_allowed"),
    ):
        with pytest.raises(CallError) as error:
            purpose_of({PURPOSE: named}, key)
        assert (error.value.status, error.value.code) == (status, code)
