"""Google's access tokens: of a service account's file, or whatever this machine is logged in as.

google-auth finds the account (application default credentials: the file that
`GOOGLE_APPLICATION_CREDENTIALS` names, the login of `gcloud`, the machine's own account) and fetches its
tokens, which are good for an hour.

Source: https://cloud.google.com/docs/authentication/application-default-credentials
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from inferworks.clock import Clock
from inferworks.cloud.credentials.extra import library
from inferworks.cloud.credentials.renewed import Lease, Renewed
from inferworks.cloud.credentials.token import TokenCredential
from inferworks.errors import ConfigError
from inferworks.files import SECRET_BYTES, read_bytes

_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


def file_credential(path: Path, *, clock: Clock | None = None) -> TokenCredential:
    """The service account whose key file is at `path`. ConfigError when there is no such file."""
    account = library("google.oauth2.service_account", "google").Credentials
    try:
        info = json.loads(read_bytes(path, SECRET_BYTES))
        credentials = account.from_service_account_info(info, scopes=_SCOPES)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError):  # none repeats the text, which holds a key
        raise ConfigError(f"{path} is not the key file of a Google service account") from None
    return _credential(lambda: credentials, f"a Google token for {path.name}", clock)


def default_credential(*, clock: Clock | None = None) -> TokenCredential:
    """Application default credentials; they are looked for when the first call is made."""
    auth = library("google.auth", "google")

    def find() -> Any:
        credentials, _project = auth.default(scopes=_SCOPES)
        return credentials

    return _credential(find, "a Google token", clock)


def _credential(find: Callable[[], Any], what: str, clock: Clock | None) -> TokenCredential:
    request = library("google.auth.transport.requests", "google").Request

    def fetch() -> Lease[str]:
        credentials = find()
        credentials.refresh(request())
        ends = credentials.expiry.replace(tzinfo=dt.UTC)  # google-auth's times are naive, in UTC
        return Lease(credentials.token, round(ends.timestamp()) * 1_000_000_000)

    return TokenCredential(Renewed(fetch, what=what, clock=clock))
