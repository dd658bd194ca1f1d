"""Resources of this machine, and limits of the gateway that fit into them.

Problem. A limit that is larger than the machine is none. With ten thousand connections allowed and 1,024
descriptors to be had (a common `ulimit -n`), a thousand idle connections leave none for the journal, and no
call can be recorded. If each body is bounded and their sum is not, the kernel ends the process.

Decision. At the start the soft limit on descriptors is raised to the hard one, and the limits of the
configuration are lowered to the available resources, which one line of the log says. The descriptors that
the gateway itself has open, and `_SPARE` more, are set aside. Of the rest a third is for calls, each of
which takes a connection to an upstream, and two thirds for clients, of whom a call needs one. Memory is
that of the machine, or less within a container or `ulimit -v`: an eighth may be held for bodies and unread
answers (processing a body takes as much again, or twice), a half for the heads of connections, were all of
them as large as they may be.

When descriptors run out all the same, libuv, under the event loop, takes a connection that waits with one
it keeps in reserve and closes it, so an accept that fails does not become a loop; a connection to an
upstream that cannot be made is the refusal of one call (`UpstreamError.ours`). Threads for look-ups are
started with the gateway: libuv ends the process when it cannot start them later.

Rejected. Refusing to start where the configuration asks for more than there is (the defaults would, on most
machines); measuring memory while running (by the time it is short it is too late to refuse).
"""

from __future__ import annotations

import asyncio
import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from inferworks.config import Gateway
from inferworks.errors import ConfigError
from inferworks.http.server import Limits

_SPARE = 32  # descriptors for what is opened now and then: a log, a segment, a look-up
_MOST_DESCRIPTORS = (
    1 << 20
)  # raised to no more: some systems allow a billion, and programs walk them
_LEAST_CONNECTIONS = 16
_HEADS = 2  # times the largest head: what is read of one, and the objects that it becomes
GB = 1 << 30
MB = 1 << 20


class Machine(NamedTuple):
    """Resources available to this process."""

    descriptors: int
    """Most descriptors that this process may have open."""
    open_now: int
    """Descriptors that it has open."""
    memory_bytes: int


class Fit(NamedTuple):
    """Limits that fit into a machine."""

    limits: Limits
    calls: int
    """Calls that may run at once."""
    text: str
    """Description of the limits, for the log."""
    lowered: bool
    """True if any limit is less than configured."""


def this_machine() -> Machine:
    """Return this machine, with the limit on descriptors raised as far as possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY:
        soft = most
    if soft < most:
        with suppress(ValueError, OSError):  # macOS says "infinity" and means less
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    try:
        now_open = sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        now_open = 64  # an estimate, where the system does not tell
    return Machine(soft, now_open, memory_bytes())


def divided(machine: Machine, workers: int) -> Machine:
    """The part of `machine` of one of so many workers: memory is shared, descriptors are each its own."""
    return machine._replace(memory_bytes=machine.memory_bytes // max(1, workers))


def fit(gateway: Gateway, machine: Machine) -> Fit:
    """The limits of `gateway` as far as `machine` carries them; ConfigError when it carries none."""
    free = machine.descriptors - machine.open_now - _SPARE
    if free * 2 // 3 < _LEAST_CONNECTIONS:
        least = machine.open_now + _SPARE + _LEAST_CONNECTIONS * 3 // 2
        raise ConfigError(
            f"this process may have {machine.descriptors} files open and needs {least} at least; "
            f"raise it: ulimit -n 4096"
        )
    calls = min(gateway.max_calls, free // 3)
    by_memory = machine.memory_bytes // 2 // (_HEADS * gateway.max_header_bytes)
    connections = min(
        gateway.max_connections, free - calls, max(by_memory, calls, _LEAST_CONNECTIONS)
    )
    held = gateway.max_held_bytes or machine.memory_bytes // 8
    limits = Limits(
        body_bytes=gateway.max_body_bytes,
        header_bytes=gateway.max_header_bytes,
        connections=connections,
        held_bytes=max(held, 2 * gateway.max_body_bytes),
        request_timeout_s=gateway.request_timeout_s,
    )
    text = (
        f"for {machine.descriptors} descriptors and {machine.memory_bytes / GB:.1f} GB of memory: "
        f"{connections} connections, {calls} calls at once, {limits.held_bytes // MB} MB of bodies"
    )
    lowered = connections < gateway.max_connections or calls < gateway.max_calls
    return Fit(limits, calls, text, lowered)


async def start_threads() -> None:
    """Start the threads that look names up."""
    with suppress(OSError):
        await asyncio.get_running_loop().getaddrinfo("localhost", None)


def memory_bytes(root: Path = Path("/")) -> int:
    """The memory that this process may use: the machine's, or less where something limits it.

    `root` is where `/proc` and `/sys` are found.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    found += [int(text) for text in _cgroup_limits(root) if text.isdigit()]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        found.append(soft)
    return min(found)


def _cgroup_limits(root: Path) -> list[str]:
    """Return the memory limits of this process's control groups and of those around them."""
    at = root / "sys/fs/cgroup"
    names = _lines(root / "proc/self/cgroup")
    own = [line.split(":", 2)[2].strip("/") for line in names if line.count(":") >= 2]
    said = _lines(at / "memory/memory.limit_in_bytes")  # of version 1, as a container sees its own
    for path in {"", *own}:
        for folder in (at / path, *(at / path).parents):
            if folder.is_relative_to(at):
                said += _lines(folder / "memory.max")
    return said


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []  # there is no such thing here
