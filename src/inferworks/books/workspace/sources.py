"""Files that an import is given: by path, folder, pattern, or URL of an object store.

A folder, a pattern or a URL stands for its files in the order of their names; where a manifest is among
them, for its export, of the parts that it names (`bills/manifests.py`). Objects of an object store are
downloaded first, once each, into a temporary folder: files are read twice (exchange rates are imported
before the rest), and a network that breaks then breaks before anything was imported.
"""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from inferworks.books.bills.base import bytes_of
from inferworks.books.bills.manifests import (
    Chosen,
    Delivered,
    Manifest,
    chosen,
    is_manifest,
    parts_of,
    read_manifest,
)
from inferworks.errors import BillError, ConfigError, LakeError
from inferworks.folder import DataFolder
from inferworks.meter.lakes.base import LakeStore

_MOST_FILES: Final = 100_000
_WILDCARDS: Final = frozenset("*?[")

OpenStore: TypeAlias = Callable[[str], LakeStore]
"""Opens the object store at a URL; ConfigError for an unknown scheme."""


class SourceFile(NamedTuple):
    """A file to import: its name, where it lies, and whether the user named it."""

    name: str
    path: Path
    named: bool
    """False where a folder or a prefix brought it: then it may be no bill at all."""
    folder: str
    """Location of the file's folder, the same however it is named."""
    part: Delivered | None = None
    """Part of a delivery that it is, where a manifest names it."""


class Sources(NamedTuple):
    """The files that some words stand for."""

    files: Sequence[SourceFile]
    notes: Sequence[str] = ()
    """Remarks: empty folders, and files that a manifest leaves out."""
    problems: Sequence[str] = ()
    """Reasons for words without files."""


@contextmanager
def source_files(
    words: Sequence[str], open_store: OpenStore, data: DataFolder
) -> Iterator[Sources]:
    """Yield the files that `words` stand for; downloaded ones are gone when the block ends.

    Folders and patterns bring none of the files that we keep in the `data` folder.
    """
    files: list[SourceFile] = []
    notes: list[str] = []
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="inferworks-bills-") as folder:
        for number, word in enumerate(words):
            try:
                found = _files_of(word, Path(folder) / str(number), open_store, data)
                files += found.files
                notes += found.notes
                problems += found.problems
                if not (found.files or found.problems):
                    notes.append(f"{word}: no file to import is in the folder")
            except (BillError, ConfigError, LakeError) as error:
                text = str(error).removeprefix("lake.url: ").partition(" Debug source")[0]
                problems.append(text)
        yield Sources(files, notes, problems)


def _files_of(word: str, cache: Path, open_store: OpenStore, data: DataFolder) -> Sources:
    if not word.strip():
        raise BillError(
            "the name of a file to import is empty; check the variable that it came from"
        )
    if "://" in word and not word.startswith("file://"):
        return _in_store(word, cache, open_store)
    if word == "-":
        raise BillError("-: standard input is not read; save what it has in a file, and name that")
    path = Path(word.removeprefix("file://"))
    if path.is_dir():
        return _in_folder(path, data)
    if path.exists() or _WILDCARDS.isdisjoint(word):
        if is_manifest(path.name) and path.is_file():
            manifest = read_manifest(str(path.absolute()), bytes_of(path))
            if manifest is not None:  # its files, wherever they lie from it
                named = parts_of(
                    manifest,
                    lambda name: Path(name).is_file(),
                    lambda name: Path(name).stat().st_size,
                )
                return Sources(
                    [
                        _local(Path(name).name, Path(name), named=True, part=part)
                        for name, part in named.items()
                    ]
                )
        return Sources([_local(path.name, path, named=True)])
    matches = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 - absolute too
    if not matches:
        raise BillError(f"{word}: no file matches")
    found = [_in_folder(match, data) for match in matches if match.is_dir()]
    files = [file for one in found for file in one.files]
    files += [
        _local(match.name, match, named=True)
        for match in matches
        if not match.is_dir() and not data.is_ours(match)
    ]
    return Sources(
        sorted(files, key=lambda file: str(file.path)),
        [note for one in found for note in one.notes],
        [problem for one in found for problem in one.problems],
    )


def _local(name: str, path: Path, *, named: bool, part: Delivered | None = None) -> SourceFile:
    return SourceFile(name, path, named, str(path.absolute().parent), part)


def _in_folder(folder: Path, data: DataFolder) -> Sources:
    found = sorted(path for path in folder.rglob("*") if not (path.is_dir() or data.is_ours(path)))
    _check_count(str(folder), len(found))
    paths = [path for path in found if path.is_file()]
    by_name = {path.relative_to(folder).as_posix(): path for path in paths}
    which = chosen(
        list(by_name),
        lambda name: bytes_of(by_name[name]),
        lambda name: by_name[name].stat().st_size,
    )
    return Sources(
        [
            _local(name, path, named=False, part=which.parts.get(name))
            for name, path in by_name.items()
            if name not in which.left_out
        ],
        [
            *_left_out(which),
            *(f"{path}: left out, it is no regular file" for path in found if not path.is_file()),
        ],
        which.problems,
    )


def _left_out(which: Chosen) -> list[str]:
    return [f"{name}: left out, {reason}" for name, reason in which.left_out.items() if reason]


def _in_store(url: str, cache: Path, open_store: OpenStore) -> Sources:
    """Download the object at `url`, those below it, or those that match it as a pattern, to `cache`."""
    start = next((at for at, letter in enumerate(url) if letter in _WILDCARDS), len(url))
    scheme, _, rest = url[:start].partition("://")
    base, _, last = rest.rpartition("/") if "/" in rest else (rest, "", "")
    store = open_store(f"{scheme}://{base}")
    is_pattern = start < len(url)
    if is_manifest(last) and not is_pattern:
        manifest = read_manifest(rest, store.get(last))
        if manifest is not None:
            return _delivered_in_store(scheme, manifest, cache, open_store)
    if is_pattern:
        pattern = url[len(f"{scheme}://{base}/") :]
        names = [name for name in store.names("") if fnmatch(name, pattern)]
    else:
        names = list(store.names(last))
    named = is_pattern or not names
    if not names and last and not is_pattern:
        names = [last]
    if not names:
        raise BillError(f"{url}: there is no such object, and none below it")
    _check_count(url, len(names))
    downloads = _Downloads(store, cache)
    which = chosen(
        names, lambda name: bytes_of(downloads[name]), lambda name: downloads[name].stat().st_size
    )
    return Sources(
        [
            SourceFile(
                name,
                downloads[name],
                named,
                f"{scheme}://{base}/{name}".rpartition("/")[0],
                which.parts.get(name),
            )
            for name in sorted(names)
            if name not in which.left_out
        ],
        _left_out(which),
        which.problems,
    )


def _delivered_in_store(
    scheme: str, manifest: Manifest, cache: Path, open_store: OpenStore
) -> Sources:
    """The objects that a manifest names, which may lie in another folder of its bucket."""
    bucket = manifest.name.partition("/")[0]
    downloads = _Downloads(open_store(f"{scheme}://{bucket}"), cache)

    def within(name: str) -> str:
        return name.removeprefix(f"{bucket}/")

    found = parts_of(
        manifest,
        lambda name: name.startswith(f"{bucket}/") and within(name) in downloads,
        lambda name: downloads[within(name)].stat().st_size,
    )
    return Sources(
        [
            SourceFile(
                name.rpartition("/")[2],
                downloads[within(name)],
                True,
                f"{scheme}://{name}".rpartition("/")[0],
                part,
            )
            for name, part in found.items()
        ]
    )


class _Downloads(dict[str, Path]):
    """Objects of a store by name, downloaded into a folder when first asked for."""

    def __init__(self, store: LakeStore, cache: Path) -> None:
        super().__init__()
        self._store, self._cache = store, cache

    def __missing__(self, name: str) -> Path:
        self._cache.mkdir(exist_ok=True)
        path = self._cache / str(len(self))
        path.write_bytes(self._store.get(name))
        self[name] = path
        return path

    def __contains__(self, name: object) -> bool:
        folder = str(name).rpartition("/")[0]
        return super().__contains__(name) or name in self._store.names(folder)


def _check_count(where: str, count: int) -> None:
    if count > _MOST_FILES:
        raise BillError(
            f"{where}: {count} files, more than the {_MOST_FILES} that one import reads; name fewer"
        )
