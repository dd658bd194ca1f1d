"""The lake seam: named objects of bytes, in a folder or an object store.

`stub.MemoryLake` is the fake that ships, `local.LocalLake` a folder, `object.ObjectLake` any object
store. All pass `inferworks.testing.lakes.check_lake_store`, and so should yours.

A name is made of parts joined by `/`, e.g. `usage/day=2026-11-21/0f3c.parquet`. Every LakeError names the
object and the lake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class LakeStore(Protocol):
    """Keeps objects. Any number of processes may use one lake at once."""

    @property
    def url(self) -> str:
        """Location of the lake, for people."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Keep `data` as `name`, durably: whole, or LakeError and the previous object is unchanged."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Put `data` under `name` if it is new; return False, and change nothing, if it exists.

        Of several at once, one wins. The object is durable then, whoever made it. After a LakeError it is
        there whole or not at all.
        """
        ...

    def get(self, name: str) -> bytes:
        """The bytes of `name`; LakeError when there is none or it cannot be read."""
        ...

    def remove(self, name: str) -> None:
        """Take `name` away, if it is there; LakeError when it cannot be."""
        ...

    def names(self, folder: str) -> Sequence[str]:
        """Return the names of all whole objects below `folder`, in order."""
        ...

    def locate(self, name: str) -> str:
        """The path or URL under which other tools find `name`."""
        ...
