"""Text for eyes: what is masked in it, and that all else stays."""

from __future__ import annotations

import pytest

from inferworks.errors import BillError, ConfigError, LakeError
from inferworks.redact import redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://me:pass@host:1/v1", "http://***@host:1/v1"),
        ("http://me:p@ss@host/v1", "http://***@host/v1"),
        ("to 'https://u:p@h/x?sig=abc#f', and s3://k:s@b", "to 'https://***@h/x?***', and s3://***@b"),
        ("chart s3:/key:secret@b/c?d", "chart s3:/***@b/c?***"),
        ("postgres://me:pass@host/books", "postgres://***@host/books"),
        ("sk-proj-abcdefghijkl", "***"),
        ("unknown model 'sk-ant-api03-abcdefgh'; choose another", "unknown model '***'; choose another"),
        ("AKIAIOSFODNN7EXAMPLE and AIzaSyA-1234567890abcdef", "*** and ***"),
        ("iw_" + "x" * 43, "***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "***"),
        ("sk-8 task-force-and-a-long-word ask-me-anything",) * 2,
        ("env:OPENAI_API_KEY file:/run/secrets/openai",) * 2,
        ("claude-sonnet-4-5-20250929 meta-llama/Llama-3.3-70B-Instruct",) * 2,
    ],
)  # fmt: skip
def test_what_is_masked(text: str, shown: str) -> None:
    """Logins and queries of addresses, and words with the form of a key; twice does no harm."""
    assert redacted(text) == shown
    assert redacted(shown) == shown


@pytest.mark.parametrize("error", [BillError, ConfigError, LakeError])
def test_an_error_for_the_user_shows_none(error: type[Exception]) -> None:
    """An error shows no secret, whatever its message was made of."""
    assert (
        str(error("lake.url: s3://a:b@c cannot be used")) == "lake.url: s3://***@c cannot be used"
    )


@pytest.mark.slow
def test_masking_is_quick_in_whatever_is_long() -> None:
    """A message of a megabyte takes no longer than its length."""
    for filling in ("://", "sk-", "a", "@", "?", "eyJ", "http://a@", " "):
        redacted(filling * (1_000_000 // len(filling)))
