"""Requests signed as Amazon wants them, with the keys that Amazon's own library finds.

botocore looks for keys where every tool of Amazon's does (environment, profiles and the roles they name,
web identity, single sign-on, containers, instances), and it signs (`SigV4Auth`). Signed are the host, the
date, the type of the content, the hash of the exact body and the session's token: what no honest hop in
between may change, and nothing that one may.

A signature takes 0.14 milliseconds with a body of a kilobyte, and 1.2 with one of 900.

botocore renews keys that end 10 to 15 minutes before they do. So they are asked for again every minute,
in a thread, and what was found is used for five minutes more when its source is away.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from inferworks.clock import Clock, SystemClock
from inferworks.cloud.credentials.extra import library
from inferworks.cloud.credentials.renewed import Early, Lease, Renewed
from inferworks.errors import ConfigError

BEDROCK: Final = "bedrock"
"""Bedrock's name in a signature, whichever of its hosts is asked."""
_LOOK_AGAIN_S: Final = 60.0
_GOOD_NS: Final = 360 * 1_000_000_000
_FOR_EVER_NS: Final = 1 << 62
_LARGE_BYTES: Final = 1 << 20
"""Size above which a body is hashed in a thread: it takes more than a millisecond."""

Keys = Any
"""botocore's `ReadOnlyCredentials`: access_key, secret_key and token."""


class SigningCredential:
    """Signs requests to one service in one region."""

    def __init__(self, keys: Renewed[Keys], region: str, service: str = BEDROCK) -> None:
        self._keys = keys
        self._region = region
        self._service = service
        self._auth = library("botocore.auth", "aws").SigV4Auth
        self._request = library("botocore.awsrequest", "aws").AWSRequest

    def __repr__(self) -> str:
        return f"SigningCredential({self._service} in {self._region}, {self._keys})"

    async def headers(
        self, method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> list[tuple[bytes, bytes]]:
        """`headers` and those of the signature. UpstreamError (not sent) when there are no keys."""
        keys = await self._keys.get()
        content_type = dict(headers).get(b"content-type", b"").decode("latin-1")
        if len(body) < _LARGE_BYTES:
            signed = self._signed(keys, method, url, content_type, body)
        else:
            signed = await asyncio.to_thread(self._signed, keys, method, url, content_type, body)
        return [*headers, *signed]

    def _signed(
        self, keys: Keys, method: str, url: str, content_type: str, body: bytes
    ) -> list[tuple[bytes, bytes]]:
        given = {"content-type": content_type} if content_type else {}
        request = self._request(method=method, url=url, data=body, headers=given)
        self._auth(keys, self._service, self._region).add_auth(request)
        return [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in request.headers.items()
            if name.lower() != "content-type"
        ]


def chain_credential(
    region: str, profile: str = "", *, clock: Clock | None = None
) -> SigningCredential:
    """The keys that Amazon's tools would use here, of `profile` if one is named.

    ConfigError when there is no such profile.
    """
    session = library("botocore.session", "aws").Session(profile=profile or None)
    if profile and profile not in session.available_profiles:
        known = ", ".join(session.available_profiles) or "none"
        raise ConfigError(f"there is no AWS profile {profile}; there are: {known}")
    clock = clock or SystemClock()
    what = f"the AWS credentials of profile {profile}" if profile else "AWS credentials"
    keys = Renewed(
        _found(session, clock),
        what=what,
        early=Early(_GOOD_NS / 1e9 - _LOOK_AGAIN_S, part=1.0),
        clock=clock,
    )
    return SigningCredential(keys, region)


def _found(session: Any, clock: Clock) -> Callable[[], Lease[Keys]]:
    def fetch() -> Lease[Keys]:
        credentials = session.get_credentials()
        if credentials is None:
            raise ConfigError(
                "none are found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile"
            )
        return Lease(credentials.get_frozen_credentials(), clock.now_ns() + _GOOD_NS)

    return fetch


def key_credential(region: str, access_key_id: str, secret: str) -> SigningCredential:
    """One key that does not end."""
    keys = library("botocore.credentials", "aws").ReadOnlyCredentials(access_key_id, secret, None)
    lease = Lease(keys, _FOR_EVER_NS)
    return SigningCredential(Renewed(lambda: lease, what=f"the AWS key {access_key_id}"), region)
