"""A lake in an object store: S3, Google Cloud Storage, Azure, and whatever speaks like one of them.

A put of an object store is whole or nothing, and durable when it is answered; `create` is a conditional
put (`If-None-Match: *`). Credentials are those of the environment, as the cloud's own tools read them
(`AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME`, ...).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from inferworks.errors import ConfigError, LakeError
from inferworks.extras import install

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_KNOWN: Final = re.compile(
    r"(s3|s3a|gs|az|adl|azure|abfs|abfss|https?)://[^/\s]+|memory://", re.IGNORECASE
)
"""Addresses that obstore reads."""


class ObjectLake:
    """Keeps objects in `store`, one of obstore's, which `url` names for people and other tools."""

    def __init__(self, store: ObjectStore, url: str) -> None:
        self._store = store
        self._url = url.rstrip("/")

    @property
    def url(self) -> str:
        """URL of the lake."""
        return self._url

    def put(self, name: str, data: bytes) -> None:
        """Keep `data` as `name`."""
        with self._told("cannot be written", name):
            self._store.put(name, data)

    def create(self, name: str, data: bytes) -> bool:
        """Keep `data` as `name` if there is none yet."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._told("cannot be written", name):
            try:
                self._store.put(name, data, mode="create")
            except (AlreadyExistsError, PreconditionError):
                return False
            return True

    def get(self, name: str) -> bytes:
        """The bytes of `name`."""
        with self._told("cannot be read", name):
            try:
                return bytes(self._store.get(name).bytes())
            except FileNotFoundError:
                raise LakeError(f"{name}: is missing from the lake {self.url}") from None

    def remove(self, name: str) -> None:
        """Take `name` away."""
        with self._told("cannot be removed", name), suppress(FileNotFoundError):
            self._store.delete(name)

    def names(self, folder: str) -> Sequence[str]:
        """The names below `folder`."""
        with self._told("cannot be read", folder):
            return sorted(entry["path"] for page in self._store.list(folder) for entry in page)

    def locate(self, name: str) -> str:
        """The URL of `name`."""
        return f"{self.url}/{name}"

    @contextmanager
    def _told(self, what: str, name: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            raise LakeError(f"{name}: {what} in the lake {self.url}: {_reason(error)}") from error


def object_lake(url: str) -> ObjectLake:
    """The lake at `url`; ConfigError when it names none or obstore is not installed."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError as error:
        raise ConfigError(
            f"lake.url: {url} needs obstore; install it with: {install('objects')}"
        ) from error
    if not _KNOWN.match(url):
        raise ConfigError(
            f"lake.url: {url} is no lake; give a folder, or s3://, gs:// or az:// with a bucket"
        )
    try:
        return ObjectLake(from_url(url), url)
    except (BaseError, ValueError) as error:
        raise ConfigError(f"lake.url: {url} cannot be used: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return what an error of obstore says in its first sentence: its state follows, as Rust prints it."""
    return " ".join(str(error).partition("Debug source:")[0].split())
