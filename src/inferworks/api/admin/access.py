"""Access to the admin API by a request's head: its host, its token and its idempotency key.

The host is checked because a page in an operator's browser can have a name of its own resolve to
127.0.0.1 (DNS rebinding) and so reach a port that listens there alone. It could not show a token; it
shall not even be answered.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from typing import Final

from inferworks.accounts.member import PREFIX
from inferworks.api.admin.errors import AdminError, invalid

_TOKEN: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_KEY: Final = re.compile(rb"[\x21-\x7e]{1,255}")
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(:\d{1,5})?")
IDEMPOTENCY_KEY: Final = b"idempotency-key"


def check_host(headers: Mapping[bytes, bytes], names: Collection[str]) -> None:
    """Check that a request is meant for this server; AdminError 421 when its host has another name.

    `names` are those that it goes by; an address is no name that a stranger could give it.
    """
    found = _HOST.fullmatch(headers.get(b"host", b"").decode("latin-1"))
    host = "" if found is None else found[1].strip("[]").lower()
    if host in {"localhost", *names} or _is_address(host):
        return
    raise AdminError(
        421, "misdirected", "this server does not go by that host name; name it in admin.names"
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def bearer(headers: Mapping[bytes, bytes]) -> str:
    """Return the token of a request; AdminError 401 when it has none of the form of one."""
    scheme, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    token = text.strip()
    if scheme.lower() == "bearer" and _TOKEN.fullmatch(token):
        return token
    raise unauthenticated()


def unauthenticated() -> AdminError:
    """The error of every credential that is none: the same, whatever is wrong with it."""
    return AdminError(
        401,
        "unauthenticated",
        "show a valid token of a member: Authorization: Bearer iwm_... "
        "(inferworks members token MEMBER makes one)",
        ((b"www-authenticate", b'Bearer realm="inferworks admin"'),),
    )


def idempotency_key(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the idempotency key of a request, if it has one."""
    key = headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise invalid("an idempotency key has 1 to 255 printed characters, without spaces")
    return key.decode("ascii")
