"""Verification of Amazon's signatures, against those that Amazon's own library makes."""

from __future__ import annotations

import datetime as dt

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from inferworks.testing.upstreams.bedrock_signature import (
    MISMATCH,
    Key,
    Request,
    signature_flaw,
)

REGION = "eu-central-1"
HOST = f"bedrock-runtime.{REGION}.amazonaws.com"
KEY = Key("AKIDEXAMPLE", "a/secret+EXAMPLE")
SESSION = Key("ASIAEXAMPLE", "another", "a session")
PATH = "/model/anthropic.claude-v1%3A0/converse"
INVALID = "The security token included in the request is invalid."
SCOPE = f"Credential should be scoped to a valid region: {REGION}, bedrock"


def signed(
    *, key: Key = KEY, query: str = "", region: str = REGION, service: str = "bedrock"
) -> Request:
    """A request as the library signs it."""
    url = f"https://{HOST}{PATH}{'?' if query else ''}{query}"
    made = AWSRequest("POST", url, data=b"{}", headers={"Content-Type": "application/json"})
    credentials = ReadOnlyCredentials(key.access_key_id, key.secret, key.session_token or None)
    SigV4Auth(credentials, service, region).add_auth(made)
    headers = {name.lower().encode(): text.encode() for name, text in made.headers.items()}
    return Request("POST", PATH, query, {**headers, b"host": HOST.encode()}, b"{}")


def moment_of(request: Request) -> dt.datetime:
    """The time at which a request was signed."""
    stamp = request.headers[b"x-amz-date"].decode()
    return dt.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)


def flaw(request: Request, *, key: Key = KEY, later_s: float = 0.0) -> str | None:
    """The flaw that is found so many seconds after the signing."""
    return signature_flaw(request, key, REGION, moment_of(request) + dt.timedelta(seconds=later_s))


def changed(request: Request, **fields: object) -> Request:
    """The request with other fields."""
    names = ("method", "path", "query", "headers", "body")
    return Request(**{name: getattr(request, name) for name in names} | fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("query", ["", "a=1", "b=2&a=1", "a=x%20y"])
@pytest.mark.parametrize("key", [KEY, SESSION], ids=["long-lived", "of a session"])
def test_the_librarys_signature_is_right(query: str, key: Key) -> None:
    """Its path is quoted twice, and its parameters are sorted."""
    assert flaw(signed(key=key, query=query), key=key) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "PUT"},
        {"path": PATH.replace("%3A", ":")},
        {"path": f"{PATH}-stream"},
        {"query": "a=1"},
        {"body": b"{ }"},
        {"body": b""},
    ],
)
def test_any_change_behind_the_signing_is_found(fields: dict[str, object]) -> None:
    """Method, path, query and body are those that were signed."""
    assert flaw(changed(signed(), **fields)) == MISMATCH


def test_signed_headers_are_those_that_came() -> None:
    """Another value is found; more space within it, or a header that nobody signed, is none."""
    request = signed()
    for name, value, expected in (
        (b"content-type", b"text/plain", MISMATCH),
        (b"host", b"elsewhere.example", MISMATCH),
        (b"content-type", b"  application/json ", None),
        (b"x-trace", b"1", None),
    ):
        headers = {**request.headers, name: value}
        assert flaw(changed(request, headers=headers)) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (Key(KEY.access_key_id, "guessed"), MISMATCH),
        (Key("AKIDOTHER", KEY.secret), INVALID),
        (Key(KEY.access_key_id, KEY.secret, "a session"), INVALID),
    ],
)
def test_a_request_is_signed_by_the_key(key: Key, expected: str) -> None:
    """A secret that is guessed, another key, and one without its session."""
    assert flaw(signed(key=KEY), key=key) == expected


@pytest.mark.parametrize(
    "asked", [{"region": "us-east-1"}, {"service": "s3"}], ids=["region", "service"]
)
def test_a_signature_is_for_a_place(asked: dict[str, str]) -> None:
    """One for another region or service is told its own."""
    assert flaw(signed(**asked)) == SCOPE  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [b"", b"Bearer x", b"AWS4-HMAC-SHA256 Credential=a"])
def test_a_header_that_is_no_signature_is_none(value: bytes) -> None:
    """Another kind, or a part of one, counts as missing."""
    request = signed()
    headers = {**request.headers, b"authorization": value}
    assert flaw(changed(request, headers=headers)) == "Missing Authentication Token"


def test_host_and_date_are_signed() -> None:
    """A signature that leaves one of them out is refused before it is recomputed."""
    request = signed()
    for name in (b"host;", b";x-amz-date"):
        shown = request.headers[b"authorization"].replace(name, b"")
        headers = {**request.headers, b"authorization": shown}
        assert flaw(changed(request, headers=headers)) == (
            "'Host' and 'X-Amz-Date' must be 'SignedHeaders' in the AWS Authorization header."
        )


@pytest.mark.parametrize(
    ("later_s", "is_good"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)]
)
def test_a_signature_is_good_for_five_minutes(later_s: float, is_good: bool) -> None:
    """The clocks of both sides may differ by as much, either way."""
    request = signed()
    stamp = request.headers[b"x-amz-date"].decode()
    expected = None if is_good else f"Signature expired: {stamp}"
    assert flaw(request, later_s=later_s) == expected
