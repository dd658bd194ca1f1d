"""Disk that fails and loses its power: then data that was not synced survives in part, or not at all.

Problem. A file system promises little: written data may be lost until the file is synced, a new name until
its folder is, and after a failed sync nothing is certain. A test on a real disk never sees any of it.

Decision. Files lie in a folder in memory and stand for the kernel's cache: a process that is killed loses
none of it. Beside them stands the durable state of the disk: for each file its content as of the last sync
and the writes since, for each folder its names as of the last sync and the changes since. When the power
is lost, the seed chooses for each file how many of its later writes survive (none, all, the first few, any
of them, the last one torn at a sector), and which changes of names. A sync that fails drops the data it
was to make durable, though later syncs succeed, as Linux does (the "fsync trap").

Simulated are `os` and `open` for the program's own files, and SQLite by a VFS (`database`). A call that
goes past them would pass for lost data: so files are compared with what was seen before the power is lost.
Each sync takes simulated time, in which other threads run; and at any operation the process may be killed.

Rejected. A file system in Python alone (SQLite's locks and shared memory are real, and stay so); a device
below a real file system (needs root, and its order of writes is not ours to choose).
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from inferworks.simulation.turns import Process, Turns

_SECTOR_BYTES: Final = 512
_SYNC_NS: Final = (30_000, 3_000_000)
_FLOCK_NS: Final = 1_000_000

real_open, real_os_open, real_close, real_write = io.open, os.open, os.close, os.write
real_fsync, real_ftruncate, real_unlink, real_rename = os.fsync, os.ftruncate, os.unlink, os.rename
real_link, real_mkdir, real_rmdir, real_flock = os.link, os.mkdir, os.rmdir, fcntl.flock


@dataclass(eq=False)
class Write:
    """A write of `data` at `offset`; without data: cut off there."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        """Do it to `content`."""
        if self.data is None:
            if len(content) > self.offset:
                del content[self.offset :]
            else:
                content.extend(bytes(self.offset - len(content)))
            return
        if len(content) < self.offset:
            content.extend(bytes(self.offset - len(content)))
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(eq=False)
class File:
    """The content that the disk is sure to have of a file, and the writes since."""

    durable: bytearray = field(default_factory=bytearray)
    later: list[Write] = field(default_factory=list)
    dropped: bool = False
    """True since a sync failed: the kernel has data then of which the disk knows nothing."""

    def current(self) -> bytearray:
        """The content that a process reads, unless data was dropped."""
        content = bytearray(self.durable)
        for write in self.later:
            write.apply(content)
        return content

    def synced(self, n: int) -> None:
        """The first `n` of the later writes are durable."""
        for write in self.later[:n]:
            write.apply(self.durable)
        del self.later[:n]


@dataclass(eq=False)
class Change:
    """A change of names, which a crash does wholly or not at all."""

    names: tuple[tuple[Folder, str, File | Folder | None], ...]
    """Changes of names, each in a folder: the new file or folder; None: the name is removed."""
    done: bool = False

    def apply(self) -> None:
        """Apply the change to the durable state."""
        if not self.done:
            self.done = True
            for folder, name, node in self.names:
                if node is None:
                    folder.durable.pop(name, None)
                else:
                    folder.durable[name] = node


@dataclass(eq=False)
class Folder:
    """The names in a folder."""

    names: dict[str, File | Folder] = field(default_factory=dict)
    """Names as the kernel knows them."""
    durable: dict[str, File | Folder] = field(default_factory=dict)
    later: list[Change] = field(default_factory=list)

    def synced(self, n: int) -> None:
        """The first `n` of the later changes are durable."""
        for change in self.later[:n]:
            change.apply()
        del self.later[:n]


@dataclass
class Opened:
    """A descriptor."""

    node: File | Folder
    process: Process
    name: str
    appends: bool = False


class Disk:
    """Everything below `root`."""

    def __init__(self, turns: Turns, root: Path, seed: int) -> None:
        self.turns = turns
        self.root = str(root)
        self.random = Random(f"disk {seed}")  # noqa: S311 reproducible, no secret
        self.descriptors: dict[int, Opened] = {}
        self.faults: dict[str, float] = {}
        """Probability of each fault: `no space`, `write`, `sync`, `read only`, `descriptors`."""
        self.failed = 0
        """Operations that were made to fail."""
        self.syncs = 0
        self._top = Folder()

    # --- what stands in for the operating system

    def holds(self, path: Any) -> bool:
        """True when `path` lies on this disk."""
        return isinstance(path, str | os.PathLike) and str(path).startswith(self.root)

    def open(self, path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        """`os.open`."""
        self.turns.check()
        path = str(path)
        if self._chance("descriptors"):
            raise self._fault(errno.EMFILE, path)
        is_new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        if is_new:
            self.may_fail(path)
        descriptor = real_os_open(path, flags, mode, **more)
        if is_new:
            self.turns.note(f"creates {self.shown(path)}")
            self.changed((path, File()))
        node = self._find(path)
        if node is None:
            return descriptor
        opened = Opened(node, self.turns.process, self.shown(path), bool(flags & os.O_APPEND))
        self.descriptors[descriptor] = opened
        if flags & os.O_TRUNC and isinstance(node, File) and not is_new:
            node.later.append(Write(0, None))
        return descriptor

    def close(self, descriptor: int) -> None:
        """`os.close`."""
        self.descriptors.pop(descriptor, None)
        real_close(descriptor)

    def write(self, descriptor: int, data: Any) -> int:
        """`os.write`; it may write less than all."""
        opened = self.descriptors[descriptor]
        assert isinstance(opened.node, File), "folders are not written to"
        self.turns.breathe(0.1)
        self.may_fail(opened.name)
        data = bytes(data)
        if len(data) > 1 and self._chance("no space"):
            self.failed += 1
            data = data[: self.random.randrange(1, len(data))]
        where = os.SEEK_END if opened.appends else os.SEEK_CUR
        offset = os.lseek(descriptor, 0, where)
        real_write(descriptor, data)
        opened.node.later.append(Write(offset, data))
        return len(data)

    def sync(self, descriptor: int) -> None:
        """`os.fsync` and `os.fdatasync`."""
        opened = self.descriptors[descriptor]
        self.make_durable(opened.node, opened.name)

    def truncate(self, descriptor: int, length: int) -> None:
        """`os.ftruncate`."""
        opened = self.descriptors[descriptor]
        self.turns.breathe(0.1)
        if self._chance("read only") or self._chance("write"):
            raise self._fault(errno.EIO, opened.name)
        real_ftruncate(descriptor, length)
        if isinstance(opened.node, File):
            opened.node.later.append(Write(length, None))

    def unlink(self, path: Any, **more: Any) -> None:
        """`os.unlink`."""
        self.turns.breathe(0.1)
        if self._chance("read only"):
            raise self._fault(errno.EROFS, str(path))
        real_unlink(path, **more)
        self.turns.note(f"unlinks {self.shown(path)}")
        self.changed((str(path), None))

    def rename(self, source: Any, target: Any, **more: Any) -> None:
        """`os.rename` and `os.replace`."""
        self.turns.breathe(0.1)
        self.may_fail(str(target))
        node = self._find(str(source))
        real_rename(source, target, **more)
        if node is not None:
            self.changed((str(source), None), (str(target), node))

    def link(self, source: Any, target: Any, **more: Any) -> None:
        """`os.link`."""
        self.turns.breathe(0.1)
        self.may_fail(str(target))
        node = self._find(str(source))
        real_link(source, target, **more)
        if node is not None:
            self.changed((str(target), node))

    def mkdir(self, path: Any, mode: int = 0o777, **more: Any) -> None:
        """`os.mkdir`."""
        self.turns.check()
        self.may_fail(str(path))
        real_mkdir(path, mode, **more)
        self.changed((str(path), Folder()))

    def rmdir(self, path: Any, **more: Any) -> None:
        """`os.rmdir`."""
        self.turns.check()
        real_rmdir(path, **more)
        self.changed((str(path), None))

    def flock(self, descriptor: int, operation: int) -> None:
        """Simulate `fcntl.flock`; a waiter gives up the turn."""
        self.turns.check()
        while True:
            try:
                real_flock(descriptor, operation | fcntl.LOCK_NB)
            except BlockingIOError:
                if operation & fcntl.LOCK_NB:
                    raise
                self.turns.sleep(_FLOCK_NS)
            else:
                return

    def open_file(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        *text: Any,
        closefd: bool = True,
        **named: Any,
    ) -> Any:
        """Simulate `open` of a path or a descriptor: the real one to read a path, else a simulated file."""
        self.turns.check()
        writes = bool(set(mode) & set("wax+"))
        if not writes and not isinstance(file, int):
            return real_open(file, mode, buffering, encoding, *text, **named)
        flags = os.O_RDWR if "+" in mode else os.O_WRONLY
        flags |= os.O_CREAT if set(mode) & set("wax") else 0
        flags |= os.O_TRUNC if "w" in mode else 0
        flags |= os.O_APPEND if "a" in mode else 0
        flags |= os.O_EXCL if "x" in mode else 0
        # a descriptor is taken as it is: its flags were chosen when it was opened, and "w" cuts nothing off
        descriptor = file if isinstance(file, int) else self.open(file, flags, 0o666)
        raw = _Raw(
            self, descriptor, readable="+" in mode or not writes, writable=writes, closes=closefd
        )
        if buffering == 0:
            return raw
        kind = (
            io.BufferedRandom if "+" in mode else io.BufferedWriter if writes else io.BufferedReader
        )
        buffered = kind(raw)
        if "b" in mode:
            return buffered
        wrapper = io.TextIOWrapper(buffered, encoding or "utf-8", *text, **named)
        wrapper.reconfigure(write_through=True)
        return wrapper

    # --- what SQLite's files share with these

    def file_at(self, path: str) -> File | None:
        """The file at `path`, if it is one of ours."""
        node = self._find(path)
        return node if isinstance(node, File) else None

    def may_fail(self, what: str) -> None:
        """Begin a write of any kind to `what`. OSError when a fault is due."""
        if self._chance("read only"):
            raise self._fault(errno.EROFS, what)
        if self._chance("no space"):
            raise self._fault(errno.ENOSPC, what)
        if self._chance("write"):
            raise self._fault(errno.EIO, what)

    def make_durable(self, node: File | Folder, name: str) -> None:
        """A sync: it takes time, and may fail."""
        turns = self.turns
        turns.check()
        self.syncs += 1
        later = len(node.later)
        turns.sleep(self.random.randint(*_SYNC_NS))
        if self._chance("sync"):
            del node.later[:later]  # the kernel takes these pages for written from now on
            if isinstance(node, File):
                node.dropped = True
            raise self._fault(errno.EIO, name)
        turns.note(f"syncs {name} {later}")
        node.synced(min(later, len(node.later)))

    def changed(self, *names: tuple[str, File | Folder | None]) -> None:
        """Names have become files, or have gone."""
        parts: list[tuple[Folder, str, File | Folder | None]] = []
        for path, node in names:
            folder, name = self._parent(path)
            parts.append((folder, name, node))
            if node is None:
                folder.names.pop(name, None)
            else:
                folder.names[name] = node
        change = Change(tuple(parts))
        for folder, _, _ in parts:
            folder.later.append(change)

    def folder_of(self, path: str) -> Folder:
        """The folder that `path` lies in."""
        return self._parent(path)[0]

    def shown(self, path: Any) -> str:
        """`path` below the root."""
        name = str(path).removeprefix(self.root).lstrip("/")
        return name.split("/.tmp/")[0] + "/.tmp/*" if "/.tmp/" in name else name

    # --- what happens to it

    def closed_by_kernel(self, process: Process) -> None:
        """Close the files of a dead process."""
        for descriptor in [
            d for d, opened in self.descriptors.items() if opened.process is process
        ]:
            self.close(descriptor)

    def lose_power(self) -> None:
        """Keep the durable state, and any part of the rest; all files are closed by now."""
        for descriptor in list(self.descriptors):
            self.close(descriptor)
        self._check_seen(Path(self.root), self._top)
        changes = {change: None for folder in self._folders(self._top) for change in folder.later}
        for change in self._survivors(list(changes)):
            change.apply()
        for folder in list(self._folders(self._top, durable=True)):
            folder.names = dict(folder.durable)
            folder.later.clear()
        _empty(Path(self.root))
        self._lay_out(Path(self.root), self._top, {})

    def kept_for_good(self, name: str) -> bytes | None:
        """The content that a power failure now would surely leave of the file `name`."""
        node: File | Folder | None = self._top
        for part in name.split("/"):
            node = node.durable.get(part) if isinstance(node, Folder) else None
        return bytes(node.durable) if isinstance(node, File) else None

    def _check_seen(self, path: Path, folder: Folder) -> None:
        """AssertionError when files are not as the calls left them that this disk has seen.

        Then some call went past it, and what it takes for lost would be no fault of production.
        """
        found = {entry.name for entry in path.iterdir() if not entry.name.endswith("-shm")}
        assert found == set(folder.names), f"{path}: unseen {found ^ set(folder.names)}"
        for name, node in folder.names.items():
            if isinstance(node, Folder):
                self._check_seen(path / name, node)
            elif not node.dropped:
                with real_open(path / name, "rb") as file:
                    assert file.read() == node.current(), f"{path / name}: was written to unseen"

    def _survivors(self, later: list[Any]) -> Iterable[Any]:
        """Return the operations that a power failure leaves done."""
        match self.random.choice(("none", "all", "first", "any")):
            case "all":
                return later
            case "first":
                return later[: self.random.randint(0, len(later))]
            case "any":
                return [one for one in later if self.random.random() < 0.5]
        return []

    def _lay_out(self, path: Path, folder: Folder, seen: dict[File, Path]) -> None:
        for name, node in folder.names.items():
            below = path / name
            if isinstance(node, Folder):
                real_mkdir(below, 0o700)
                self._lay_out(below, node, seen)
            elif node in seen:
                real_link(seen[node], below)
            else:
                seen[node] = below
                survivors = list(self._survivors(node.later))
                for write in survivors[:-1]:
                    write.apply(node.durable)
                for write in survivors[-1:]:
                    self._torn(write).apply(node.durable)
                node.later.clear()
                with real_open(real_os_open(below, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                    file.write(node.durable)

    def _torn(self, write: Write) -> Write:
        """`write`, or as many of its sectors as the disk has managed."""
        if write.data is None or len(write.data) <= _SECTOR_BYTES or self.random.random() < 0.5:
            return write
        first = _SECTOR_BYTES - write.offset % _SECTOR_BYTES
        sectors = self.random.randint(0, (len(write.data) - first) // _SECTOR_BYTES)
        return Write(write.offset, write.data[: first + sectors * _SECTOR_BYTES])

    def _folders(self, folder: Folder, *, durable: bool = False) -> Iterable[Folder]:
        yield folder
        for node in list((folder.durable if durable else folder.names).values()):
            if isinstance(node, Folder):
                yield from self._folders(node, durable=durable)

    def _find(self, path: str) -> File | Folder | None:
        node: File | Folder | None = self._top
        for part in self._parts(path):
            if not isinstance(node, Folder):
                return None
            node = node.names.get(part)
        return node

    def _parent(self, path: str) -> tuple[Folder, str]:
        *parts, name = self._parts(path)
        folder = self._top
        for part in parts:
            below = folder.names.get(part)
            assert isinstance(below, Folder), f"{path} lies in a folder of this disk"
            folder = below
        return folder, name

    def _parts(self, path: str) -> list[str]:
        return [part for part in path.removeprefix(self.root).split("/") if part]

    def _chance(self, fault: str) -> bool:
        probability = self.faults.get(fault)
        return probability is not None and self.random.random() < probability

    def _fault(self, number: int, what: str) -> OSError:
        self.failed += 1
        self.turns.note(f"fails {errno.errorcode[number]} {self.shown(what)}")
        return OSError(number, os.strerror(number), self.shown(what))


def _empty(folder: Path) -> None:
    """Remove the content of `folder` with the real system calls."""
    for entry in folder.iterdir():
        if entry.is_dir():
            _empty(entry)
            real_rmdir(entry)
        else:
            real_unlink(entry)


class _Raw(io.RawIOBase):
    """File whose operations are those of the simulated disk."""

    def __init__(
        self, disk: Disk, descriptor: int, *, readable: bool, writable: bool, closes: bool
    ) -> None:
        self._disk = disk
        self._descriptor = descriptor
        self._readable = readable
        self._writable = writable
        self._opened = disk.descriptors[descriptor] if closes else None

    def fileno(self) -> int:
        return self._descriptor

    def readable(self) -> bool:
        return self._readable

    def writable(self) -> bool:
        return self._writable

    def seekable(self) -> bool:
        return stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def readinto(self, buffer: Any) -> int:
        data = os.read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._descriptor, offset, whence)

    def write(self, data: Any) -> int:
        return self._disk.write(self._descriptor, data)

    def truncate(self, size: int | None = None) -> int:
        length = self.tell() if size is None else size
        self._disk.truncate(self._descriptor, length)
        return length

    def close(self) -> None:
        if not self.closed:
            super().close()
            # the file of a killed process comes here late, when its number may be another's
            if self._opened and self._disk.descriptors.get(self._descriptor) is self._opened:
                self._disk.close(self._descriptor)


def opening(disk: Disk) -> Callable[..., Any]:
    """`open` that comes here for files and descriptors of `disk` alone."""

    def open_here(file: Any, *more: Any, **named: Any) -> Any:
        ours = file in disk.descriptors if isinstance(file, int) else disk.holds(file)
        return (disk.open_file if ours else real_open)(file, *more, **named)

    return open_here
