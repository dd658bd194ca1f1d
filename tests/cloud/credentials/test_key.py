"""A fixed key in a header, and none at all."""

from __future__ import annotations

import asyncio

from inferworks.cloud.credentials.key import KeyCredential, NoCredential

SENT = [(b"content-type", b"application/json")]


def test_a_key_is_added_behind_what_is_sent() -> None:
    """The list that was given stays as it was."""
    for credential, header in (
        (KeyCredential.bearer("sk-1"), (b"authorization", b"Bearer sk-1")),
        (KeyCredential(b"x-api-key", "sk-ä"), (b"x-api-key", b"sk-\xe4")),
    ):
        headers = asyncio.run(credential.headers("POST", "https://h/v1", SENT, b"{}"))
        assert headers == [*SENT, header]
    assert len(SENT) == 1


def test_no_credential_adds_nothing() -> None:
    """The key is sent as it was given."""
    assert asyncio.run(NoCredential().headers("GET", "http://h", SENT, b"")) == SENT
