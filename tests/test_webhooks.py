"""Signatures of webhooks: what is right is taken, and nothing else."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.webhooks import TOLERANCE_S, WebhookError, signed, signing_key, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
ID, AT_S, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'


def headers(**changes: str) -> dict[str, str]:
    """Return right headers, with changes."""
    right = signed(ID, AT_S, BODY, [SECRET])
    return right | {f"webhook-{name}": value for name, value in changes.items()}


def test_the_example_of_the_specification() -> None:
    """Our signature is the one that the libraries of Standard Webhooks hold theirs to."""
    right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers()["webhook-signature"] == right
    assert verify(headers(), BODY, [SECRET], now_s=AT_S) == ID
    shouted = {name.upper(): value for name, value in headers().items()}
    assert verify(shouted, BODY, [SECRET], now_s=AT_S + TOLERANCE_S) == ID


@pytest.mark.parametrize(
    ("changed", "body", "secrets"),
    [
        ({}, BODY + b" ", [SECRET]),
        ({"id": "msg_other"}, BODY, [SECRET]),
        ({"timestamp": str(AT_S + 1)}, BODY, [SECRET]),
        ({"signature": "v1,AAAA"}, BODY, [SECRET]),
        ({"signature": "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, BODY, [SECRET]),
        ({"signature": "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, BODY, [SECRET]),
        ({"signature": "ü é"}, BODY, [SECRET]),
        ({"signature": "v1,AAAA " * 16 + headers()["webhook-signature"]}, BODY, [SECRET]),
        ({}, BODY, [OTHER]),
        ({}, BODY, []),
    ],
)
def test_what_is_forged_or_altered_is_refused(
    changed: dict[str, str], body: bytes, secrets: list[str]
) -> None:
    """Body, id, time, signature and secret: none may differ."""
    with pytest.raises(WebhookError, match="no signature of the webhook is right"):
        verify(headers(**changed), body, secrets, now_s=AT_S)


@pytest.mark.parametrize("apart_s", [TOLERANCE_S + 1, -TOLERANCE_S - 1])
def test_what_is_replayed_later_is_refused(apart_s: int) -> None:
    """An old message with its right signature is refused, and so is one that comes from the future."""
    with pytest.raises(WebhookError, match="too far from now"):
        verify(headers(), BODY, [SECRET], now_s=AT_S + apart_s)
    with pytest.raises(WebhookError, match="too far from now"):
        verify(headers(), BODY, [SECRET])


@pytest.mark.parametrize("name", ["id", "timestamp", "signature"])
def test_a_header_that_lacks_is_named(name: str) -> None:
    """All three are needed."""
    with pytest.raises(WebhookError, match="has the headers webhook-id"):
        verify(headers(**{name: ""}), BODY, [SECRET], now_s=AT_S)


@pytest.mark.parametrize("moment", ["1e9", "-1", "1614265330.0", "9" * 13, "٣"])
def test_a_time_that_is_none_is_refused(moment: str) -> None:
    """Only a whole number of seconds is a time."""
    with pytest.raises(WebhookError, match="no Unix time"):
        verify(headers(timestamp=moment), BODY, [SECRET], now_s=AT_S)


def test_a_secret_is_replaced_without_a_message_that_is_refused() -> None:
    """While two secrets sign, a receiver may know the old one, the new one or both."""
    both = signed(ID, AT_S, BODY, [OTHER, SECRET])
    for known in ([OTHER], [SECRET], [SECRET, OTHER]):
        assert verify(both, BODY, known, now_s=AT_S) == ID


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_abc", "password", "whsec_" + "A" * 88])
def test_a_secret_is_long_enough_and_base64(secret: str) -> None:
    """A word that somebody could guess is no secret."""
    with pytest.raises(WebhookError, match="24 to 64 bytes in base64"):
        signing_key(secret)


@pytest.mark.parametrize("name", ["id", "timestamp", "signature"])
@pytest.mark.parametrize("value", ["msg_\udcff", "\ud800", b"msg_1", None, ["msg_1"], 7])
def test_a_header_that_is_no_text_is_no_message(name: str, value: Any) -> None:
    """A server that decodes headers with `surrogateescape` gives lone surrogates to its application."""
    with pytest.raises(WebhookError):
        verify(headers() | {f"webhook-{name}": value}, BODY, [SECRET], now_s=AT_S)


def test_a_body_is_bytes_or_text() -> None:
    """Text is taken as the UTF-8 that it was; anything else is no message."""
    body = '{"é": "\u2713"}'
    right = signed(ID, AT_S, body.encode(), [SECRET])
    assert verify(right, body, [SECRET], now_s=AT_S) == ID
    assert verify(right, bytearray(body.encode()), [SECRET], now_s=AT_S) == ID
    for other in (body + " ", "\udcff", None, {"é": "\u2713"}):
        with pytest.raises(WebhookError):
            verify(right, other, [SECRET], now_s=AT_S)  # type: ignore[arg-type]


_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
_ANYTHING = _TEXT | st.binary(max_size=40) | st.none() | st.integers() | st.lists(_TEXT, max_size=2)

_NAMES = _TEXT | st.binary(max_size=9) | st.none()


@given(st.dictionaries(st.sampled_from(sorted(headers())) | _NAMES, _ANYTHING), _ANYTHING)
def test_whatever_comes_is_a_message_or_a_webhook_error(came: Any, body: Any) -> None:
    """No header and no body makes anything else of it."""
    for part in (came, headers() | came):
        with suppress(WebhookError):
            assert verify(part, body, [SECRET], now_s=AT_S) is None, "nothing of it was signed"
