"""Address of an upstream: parsed, refused, written again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.errors import ConfigError
from inferworks.http.origin import Origin


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("http://127.0.0.1:8000/v1", Origin("127.0.0.1", 8000, False, "/v1"), "127.0.0.1:8000"),
        ("https://api.example.com", Origin("api.example.com", 443, True, ""), "api.example.com"),
        ("https://API.Example.com/v1/", Origin("api.example.com", 443, True, "/v1"), "api.example.com"),
        ("http://[::1]:80/x", Origin("::1", 80, False, "/x"), "[::1]"),
        ("https://h:80", Origin("h", 80, True, ""), "h:80"),
    ],
)  # fmt: skip
def test_addresses(url: str, origin: Origin, authority: str) -> None:
    """The port that a scheme implies is not in the `host` header; a slash at the end says nothing."""
    assert Origin.parse(url) == origin
    assert origin.authority == authority
    assert Origin.parse(origin.url) == origin


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "not an http or https address"),
        ("ftp://h", "not an http or https address"),
        ("h:80", "not an http or https address"),
        ("http://", "not an http or https address"),
        ("http://h:port", "not an http or https address"),
        ("http://h:70000", "not an http or https address"),
        ("http://[::1", "not an http or https address"),
        ("http://a b", "not an http or https address"),
        ("http://me:secret@h", "the address of h may have no user"),
        ("http://h/?q=1", "the address of h may have no user, query or fragment"),
        ("http://h/#x", "the address of h may have no user, query or fragment"),
    ],
)
def test_what_is_no_address_is_refused(url: str, reason: str) -> None:
    """One line that says why, without a password in it."""
    with pytest.raises(ConfigError, match=reason) as refused:
        Origin.parse(url)
    assert "secret" not in str(refused.value)


@settings(max_examples=15)
@given(st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True), st.integers(1, 65535), st.booleans())
def test_what_is_written_is_parsed_again(host: str, port: int, tls: bool) -> None:
    """An origin and its address say the same."""
    origin = Origin(host, port, tls, "/v1")
    assert Origin.parse(origin.url) == origin
