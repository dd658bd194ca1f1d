"""Headers of an upstream's answer that go on to the caller."""

from __future__ import annotations

from inferworks.cloud.providers.forwarded_headers import UPSTREAM_ID, USUAL, forwarded_headers


def test_usual_headers_stay_behind() -> None:
    """An answer with no others tells nothing."""
    assert forwarded_headers(dict.fromkeys(USUAL, b"x")) == ()
    assert forwarded_headers({}) == ()


def test_limits_pass_as_they_were_written() -> None:
    """In their order; cookies and all else do not."""
    headers = {
        b"set-cookie": b"secret",
        b"x-ratelimit-remaining-tokens": b"7",
        b"anthropic-ratelimit-requests-reset": b"2026-11-21T09:00:00Z",
        b"retry-after": b"3",
        b"x-served-by": b"us",
    }
    assert forwarded_headers(headers) == (
        (b"x-ratelimit-remaining-tokens", b"7"),
        (b"anthropic-ratelimit-requests-reset", b"2026-11-21T09:00:00Z"),
        (b"retry-after", b"3"),
    )


def test_the_upstreams_id_has_a_header_of_its_own() -> None:
    """The first of those that vendors use; the gateway's own id is another."""
    assert forwarded_headers({b"x-request-id": b"r", b"x-amzn-requestid": b"a"}) == (
        (UPSTREAM_ID, b"r"),
    )
    assert forwarded_headers({b"request-id": b"q", b"x-request-id": b"r"}) == ((UPSTREAM_ID, b"q"),)


def test_what_is_hostile_is_bounded() -> None:
    """Not more than a few headers, none of them long; a long id leaves room for another."""
    many = {b"x-ratelimit-%d" % number: b"1" for number in range(1000)}
    assert len(forwarded_headers(many)) == 32
    long = b"x" * 257
    assert forwarded_headers(
        {b"retry-after": long, b"request-id": long, b"x-request-id": b"r"}
    ) == ((UPSTREAM_ID, b"r"),)
