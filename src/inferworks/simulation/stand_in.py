"""The simulation in place of the operating system: the library modules of production are patched.

Problem. A simulation proves something about the code that runs in production only if that code runs, all
of it, and cannot go past it: one forgotten `time.monotonic()`, and runs differ; one forgotten `fsync`, and
a fault goes unseen.

Decision. Production knows nothing of the simulation. While it runs, the names under which Python's library
offers time, threads, files, sockets, databases and chance lead to the simulation: in the library's own
modules, and in each module of ours that imported one of them by name. For threads that are not simulated,
and for files that lie elsewhere, everything is as it was.

Rejected. A seam that is handed down to every constructor: it costs a parameter in each, and code that
forgets it bypasses the simulation unnoticed.
"""

from __future__ import annotations

import asyncio
import builtins
import datetime as dt
import fcntl
import io
import os
import queue
import random
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from random import Random
from types import FunctionType, ModuleType
from typing import Any

from inferworks.simulation import threads
from inferworks.simulation.database import connecting
from inferworks.simulation.disk import Disk, opening
from inferworks.simulation.network import Network, Socket
from inferworks.simulation.turns import Strand, Turns

_OURS = "inferworks."
_SIMULATION = "inferworks.simulation"
_PROCESS_ID = 4711

Replaced = list[tuple[Any, str, Any]]


@contextmanager
def standing_in(turns: Turns, disk: Disk, network: Network, seed: int) -> Iterator[None]:
    """Have everything that runs in simulated threads ask the simulation, while the block runs."""
    instead = _instead(turns, disk, network, seed)
    replaced: Replaced = []
    try:
        for (module, name), value in instead.items():
            replaced.append((module, name, getattr(module, name)))
            setattr(module, name, value)
        by_identity = {
            id(old): new for (_, _, old), new in zip(replaced, instead.values(), strict=True)
        }
        by_identity |= _dates(turns)  # for our modules alone: C extensions rely on the real ones
        originals = frozenset(by_identity)
        for module in _modules():
            names, functions = _holding(originals, module, len(vars(module)))
            for name in names:
                value = getattr(module, name)
                replaced.append((module, name, value))
                new = by_identity.get(id(value)) or _written_at_once(disk, value)  # the kernel's
                setattr(module, name, new)
            for function in functions:
                defaults = function.__defaults__ or ()
                replaced.append((function, "__defaults__", defaults))
                function.__defaults__ = tuple(by_identity.get(id(v), v) for v in defaults)
        replaced += _hashed_by_number()
        yield
    finally:
        for module, name, value in reversed(replaced):
            setattr(module, name, value)


def _modules() -> list[ModuleType]:
    return [
        module
        for name, module in sorted(sys.modules.items())
        if name.startswith(_OURS) and not name.startswith(_SIMULATION)
    ]


@cache
def _holding(
    originals: frozenset[int], module: ModuleType, _size: int
) -> tuple[list[str], list[FunctionType]]:
    """The names of `module` for one of `originals`, by identity, and functions with one as a default.

    Looked up once for each size of a module: every run replaces the same ones.
    """
    names = [
        name
        for name, value in vars(module).items()
        if id(value) in originals
        or ("_FuncPtr" in type(value).__name__ and getattr(value, "__name__", "") == "write")
    ]
    functions = [
        function
        for function in _functions(module)
        if any(id(value) in originals for value in function.__defaults__ or ())
    ]
    return names, functions


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """The functions and methods of `module`."""
    for value in list(vars(module).values()):
        if getattr(value, "__module__", None) == module.__name__:
            parts = vars(value).values() if isinstance(value, type) else (value,)
            yield from (part for part in parts if isinstance(part, FunctionType))


def _instead(turns: Turns, disk: Disk, network: Network, seed: int) -> dict[tuple[Any, str], Any]:
    """The stand-ins, by the module and the name that they take."""
    chance = Random(f"process {seed}")  # noqa: S311 reproducible, no secret
    random.seed(f"module {seed}")

    class Seeded(Random):
        """`random.Random`, which without a seed is seeded by ours."""

        def __init__(self, x: Any = None) -> None:
            super().__init__(chance.getrandbits(64) if x is None else x)

    def simulated(ours: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        """`ours` for simulated threads, else `real`."""

        def either(*args: Any, **named: Any) -> Any:
            return (real if turns.mine() is None else ours)(*args, **named)

        return either

    def wall_ns() -> int:
        return turns.wall_ns + turns.read_ns()

    def sleep(seconds: float) -> None:
        turns.sleep(max(0, round(seconds * 1e9)))

    given: dict[tuple[Any, str], Any] = {
        (time, "monotonic"): lambda: turns.read_ns() / 1e9,
        (time, "monotonic_ns"): turns.read_ns,
        (time, "perf_counter"): lambda: turns.read_ns() / 1e9,
        (time, "perf_counter_ns"): turns.read_ns,
        (time, "time"): lambda: wall_ns() / 1e9,
        (time, "time_ns"): wall_ns,
        (time, "sleep"): sleep,
        (threading, "Lock"): lambda: threads.Lock(turns),
        (threading, "RLock"): lambda: threads.Lock(turns, again=True),
        (threading, "Condition"): lambda lock=None: threads.Condition(turns, lock),
        (threading, "Event"): lambda: threads.Event(turns),
        (queue, "SimpleQueue"): lambda: threads.SimpleQueue(turns),
        (os, "getpid"): lambda: _PROCESS_ID,
        (os, "urandom"): chance.randbytes,
        (random, "_urandom"): chance.randbytes,
        (random, "Random"): Seeded,
        (socket, "socket"): lambda *args: Socket(network, *args),
    }
    given = {where: simulated(ours, getattr(*where)) for where, ours in given.items()}
    given |= {
        (os, "open"): _either(disk.holds, disk.open, os.open),
        (os, "unlink"): _either(disk.holds, disk.unlink, os.unlink),
        (os, "remove"): _either(disk.holds, disk.unlink, os.remove),
        (os, "rename"): _either(disk.holds, disk.rename, os.rename),
        (os, "replace"): _either(disk.holds, disk.rename, os.replace),
        (os, "link"): _either(disk.holds, disk.link, os.link),
        (os, "mkdir"): _either(disk.holds, disk.mkdir, os.mkdir),
        (os, "rmdir"): _either(disk.holds, disk.rmdir, os.rmdir),
        (os, "write"): _either(disk.descriptors.__contains__, disk.write, os.write),
        (os, "close"): _either(disk.descriptors.__contains__, disk.close, os.close),
        (os, "fsync"): _either(disk.descriptors.__contains__, disk.sync, os.fsync),
        (os, "fdatasync"): _either(disk.descriptors.__contains__, disk.sync, os.fdatasync),
        (os, "ftruncate"): _either(disk.descriptors.__contains__, disk.truncate, os.ftruncate),
        (fcntl, "flock"): _either(lambda what: _descriptor(what) in disk.descriptors,
                                  lambda what, how: disk.flock(_descriptor(what), how), fcntl.flock),
        (io, "open"): opening(disk),
        (builtins, "open"): opening(disk),
        (sqlite3, "connect"): connecting(disk),
        **_thread_methods(turns),
    }  # fmt: skip
    return given


def _either(
    is_ours: Callable[[Any], bool], ours: Callable[..., Any], real: Callable[..., Any]
) -> Callable[..., Any]:
    def either(what: Any, *args: Any, **named: Any) -> Any:
        return (ours if is_ours(what) else real)(what, *args, **named)

    return either


def _descriptor(what: Any) -> int:
    return what if isinstance(what, int) else int(what.fileno())


def _thread_methods(turns: Turns) -> dict[tuple[Any, str], Any]:
    """Return thread methods that take turns, for all classes of threads."""
    strands: dict[threading.Thread, Strand] = {}
    start, join, is_alive = (
        threading.Thread.start,
        threading.Thread.join,
        threading.Thread.is_alive,
    )

    def start_ours(thread: threading.Thread) -> None:
        if turns.mine() is None:
            start(thread)
        else:
            strands[thread] = turns.spawn(thread.name.split("-")[0], thread.run)

    def join_ours(thread: threading.Thread, timeout: float | None = None) -> None:
        if thread in strands:
            turns.join(strands[thread], threads.until(turns, timeout))
        elif turns.mine() is None:
            join(thread, timeout)

    def is_alive_ours(thread: threading.Thread) -> bool:
        strand = strands.get(thread)
        return strand in strand.process.threads if strand is not None else is_alive(thread)

    return {
        (threading.Thread, "start"): start_ours,
        (threading.Thread, "join"): join_ours,
        (threading.Thread, "is_alive"): is_alive_ours,
    }


def _dates(turns: Turns) -> dict[int, Any]:
    """Return the stand-ins for `datetime.datetime` and its module: their present is simulated."""
    real = dt.datetime

    class AnyDatetime(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, real)

    class Simulated(real, metaclass=AnyDatetime):  # type: ignore[valid-type, misc]
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            if turns.mine() is None:
                return real.now(tz)
            return real.fromtimestamp((turns.wall_ns + turns.read_ns()) / 1e9, tz)

    module = ModuleType(dt.__name__)
    vars(module).update(vars(dt), datetime=Simulated)
    return {id(real): Simulated, id(dt): module}


def _written_at_once(disk: Disk, real: Callable[..., int]) -> Callable[..., int]:
    """The kernel's `write`, as `ctypes` offers it: below zero when it failed."""

    def write(descriptor: int, data: bytes, size: int) -> int:
        if descriptor not in disk.descriptors:
            return real(descriptor, data, size)
        try:
            return disk.write(descriptor, data[:size])
        except OSError:
            return -1

    return write


def _hashed_by_number() -> Replaced:
    """Have protocols hashed by number and not by address, so that sets have the same order in each run."""
    numbers = count()

    def hash_of(self: Any) -> int:
        number: int = self.__dict__.setdefault("_simulated_number", next(numbers))
        return number

    replaced: Replaced = []
    for module in _modules():
        for protocol in _protocols(module, len(vars(module))):
            replaced.append((protocol, "__hash__", object.__hash__))
            protocol.__hash__ = hash_of  # type: ignore[method-assign]
    return replaced


@cache
def _protocols(module: ModuleType, _size: int) -> list[type[asyncio.BaseProtocol]]:
    """The protocols of `module` that are hashed by address, looked up once for each size of it."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and issubclass(value, asyncio.BaseProtocol)
        and value.__hash__ is object.__hash__
    ]
