"""The lake that ships as a fake: objects in memory, in a store that can break at any moment."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from inferworks.errors import LakeError


class MemoryLake:
    """Keeps objects in `objects`, which a test may read and damage.

    `steps` counts down with every change; at zero the lake is dead and each call of it raises `death`:
    as if the process had been killed between two operations, or the disk were full.
    """

    def __init__(self, *, steps: int | None = None, death: BaseException | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self.steps = steps
        self.death = death or LakeError("the lake in memory is broken")
        self._turn = threading.Lock()

    @property
    def url(self) -> str:
        """URL of the lake: `memory://`."""
        return "memory://"

    def put(self, name: str, data: bytes) -> None:
        """Keep `data` as `name`."""
        self._step()
        self.objects[name] = data

    def create(self, name: str, data: bytes) -> bool:
        """Keep `data` as `name` if there is none yet."""
        self._step()
        with self._turn:
            is_new = name not in self.objects
            if is_new:
                self.objects[name] = data
        return is_new

    def get(self, name: str) -> bytes:
        """The bytes of `name`."""
        self._alive()
        if name not in self.objects:
            raise LakeError(f"{name}: is missing from the lake {self.url}")
        return self.objects[name]

    def remove(self, name: str) -> None:
        """Take `name` away."""
        self._step()
        self.objects.pop(name, None)

    def names(self, folder: str) -> Sequence[str]:
        """The names below `folder`."""
        self._alive()
        return sorted(name for name in self.objects if name.startswith(f"{folder}/"))

    def locate(self, name: str) -> str:
        """The URL of `name`."""
        return f"{self.url}/{name}"

    def _step(self) -> None:
        self._alive()
        if self.steps is not None:
            self.steps -= 1

    def _alive(self) -> None:
        if self.steps is not None and self.steps <= 0:
            raise self.death
