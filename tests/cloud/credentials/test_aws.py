"""Amazon's keys: found where Amazon's tools find them, and used for signatures that hold."""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.credentials import ReadOnlyCredentials

from inferworks.clock import SimClock
from inferworks.cloud.credentials.aws import (
    SigningCredential,
    _found,
    chain_credential,
    key_credential,
)
from inferworks.cloud.credentials.renewed import Early, Renewed
from inferworks.errors import ConfigError, UpstreamError
from inferworks.testing.upstreams.bedrock_signature import Key, Request, signature_flaw

Run = Callable[[Coroutine[Any, Any, None]], None]
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION = "eu-central-1"
HOST = "bedrock-runtime.eu-central-1.amazonaws.com"
PATH = "/model/eu.amazon.nova-lite-v1%3A0/converse"
FILE = f"""\
[default]
aws_access_key_id = AKIDDEFAULT
aws_secret_access_key = {SECRET}

[staging]
aws_access_key_id = AKIDSTAGING
aws_secret_access_key = {SECRET}
aws_session_token = a-session
"""


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No key of whoever runs the tests is found."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


async def signed(credential: SigningCredential, body: bytes = b"{}") -> Request:
    """A request of Converse with the headers of `credential`, as it arrives."""
    given = [(b"content-type", b"application/json"), (b"x-inferworks-call-id", b"call_1")]
    headers = await credential.headers("POST", f"https://{HOST}{PATH}", given, body)
    assert headers[:2] == given
    return Request("POST", PATH, "", {b"host": HOST.encode(), **dict(headers)}, body)


def flaw(request: Request, key: Key) -> str | None:
    """Fault that Amazon finds in the signature now, or None."""
    return signature_flaw(request, key, REGION, dt.datetime.now(dt.UTC))


def test_a_signature_holds_and_covers_what_counts(run: Run) -> None:
    """Host, date, body, path and type are covered; a header that we add is not."""

    async def main() -> None:
        request = await signed(key_credential(REGION, "AKID", SECRET))
        key = Key("AKID", SECRET)
        assert flaw(request, key) is None
        changes = [
            Request("POST", PATH, "", request.headers, b"{ }"),
            Request("POST", PATH + "-stream", "", request.headers, request.body),
            Request("POST", PATH, "a=b", request.headers, request.body),
            Request("GET", PATH, "", request.headers, request.body),
            *[
                Request("POST", PATH, "", {**request.headers, name: b"other"}, request.body)
                for name in (b"host", b"content-type")
            ],
        ]
        assert all("does not match" in (flaw(changed, key) or "") for changed in changes)
        more = {**request.headers, b"traceparent": b"00-1", b"x-inferworks-call-id": b"call_2"}
        assert flaw(Request("POST", PATH, "", more, request.body), key) is None

    run(main())


def test_keys_of_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual variables are found, a session's token among them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token")

    async def main() -> None:
        request = await signed(chain_credential(REGION))
        assert flaw(request, Key("AKIDENV", SECRET, "a-token")) is None
        assert b"x-amz-security-token" in request.headers[b"authorization"]

    run(main())


@pytest.mark.parametrize(
    ("profile", "key"),
    [("", Key("AKIDDEFAULT", SECRET)), ("staging", Key("AKIDSTAGING", SECRET, "a-session"))],
)
def test_keys_of_a_profile(run: Run, nothing_of_this_machine: Path, profile: str, key: Key) -> None:
    """The file of profiles is read, the named one or the usual one."""
    (nothing_of_this_machine / "credentials").write_text(FILE)

    async def main() -> None:
        assert flaw(await signed(chain_credential(REGION, profile)), key) is None

    run(main())


def test_a_profile_that_is_not_there(nothing_of_this_machine: Path) -> None:
    """An unknown profile is refused before anything is sent, with the names of those that exist."""
    (nothing_of_this_machine / "credentials").write_text(FILE)
    with pytest.raises(ConfigError, match="no AWS profile stagin; there are: default, staging"):
        chain_credential(REGION, "stagin")


def test_no_keys_at_all(run: Run) -> None:
    """A call fails as one that was not sent, with what to do."""

    async def main() -> None:
        with pytest.raises(UpstreamError, match="set AWS_ACCESS_KEY_ID") as caught:
            await signed(chain_credential(REGION))
        assert not caught.value.sent

    run(main())


def test_keys_that_end_are_asked_for_every_minute(run: Run) -> None:
    """Renewed keys are used within a minute; the keys before them serve five minutes more."""
    asked: list[int] = []

    def get_credentials() -> Any:
        asked.append(len(asked))
        key = ReadOnlyCredentials(f"AKID{len(asked)}", SECRET, None)
        return SimpleNamespace(get_frozen_credentials=lambda: key)

    async def main() -> None:
        clock = SimClock()
        session = SimpleNamespace(get_credentials=get_credentials)
        keys: Renewed[Any] = Renewed(
            _found(session, clock), what="keys", early=Early(300.0, part=1.0), clock=clock
        )
        assert (await keys.get()).access_key == "AKID1"
        await clock.advance(59.0)
        assert (await keys.get()).access_key == "AKID1"
        assert len(asked) == 1
        await clock.advance(2.0)
        await keys.get()
        while keys._fetching is not None:
            await asyncio.wait({keys._fetching})
        assert (await keys.get()).access_key == "AKID2"

    run(main())


PROCESS = """\
import datetime, json, pathlib, sys
count = pathlib.Path(sys.argv[1])
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)
print(json.dumps({"Version": 1, "AccessKeyId": f"AKID{number}", "SecretAccessKey": "S",
                  "SessionToken": f"token-{number}", "Expiration": ends.isoformat()}))
"""


def test_keys_that_a_process_hands_out(run: Run, nothing_of_this_machine: Path) -> None:
    """A real process is asked by the library, and again for new keys as those in hand come to their end."""
    script = nothing_of_this_machine / "keys.py"
    script.write_text(PROCESS)
    command = f"{sys.executable} {script} {nothing_of_this_machine / 'count'}"
    config = f"[profile process]\ncredential_process = {command}\n"
    (nothing_of_this_machine / "config").write_text(config)

    def newest() -> Key:
        number = (nothing_of_this_machine / "count").read_text()
        return Key(f"AKID{number}", "S", f"token-{number}")

    async def main() -> None:
        clock = SimClock()
        credential = chain_credential(REGION, "process", clock=clock)
        request = await signed(credential)
        first = newest()
        assert flaw(request, first) is None
        await clock.advance(61.0)
        await signed(credential)
        while credential._keys._fetching is not None:
            await asyncio.wait({credential._keys._fetching})
        assert newest() != first
        assert flaw(await signed(credential), newest()) is None

    run(main())


def test_no_secret_is_shown(run: Run, nothing_of_this_machine: Path) -> None:
    """Neither a credential nor what it sends shows a secret."""
    (nothing_of_this_machine / "credentials").write_text(FILE)

    async def main() -> None:
        for credential in (key_credential(REGION, "AKID", SECRET), chain_credential(REGION)):
            request = await signed(credential)
            assert SECRET not in repr(credential)
            assert SECRET not in repr(request)
        assert (
            repr(credential)
            == "SigningCredential(bedrock in eu-central-1, Renewed(AWS credentials))"
        )

    run(main())
