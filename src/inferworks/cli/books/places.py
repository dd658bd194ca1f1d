"""Locations of bills on the command line: files, folders, patterns and object stores.

A folder, a pattern or a URL stands for its files in the order of their names; where a manifest is among
them, for its export, of the parts that it names (`bills/manifests.py`). Objects of an object store are
downloaded first, once each, into a temporary folder: files are read twice (exchange rates are imported
before the rest), and a network that breaks then breaks before anything was imported.
"""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, NamedTuple

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
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.lakes.detect import lake_at

_MOST_FILES: Final = 100_000
_WILD: Final = frozenset("*?[")


class Place(NamedTuple):
    """File with its name, its path, and whether it was named itself."""

    name: str
    path: Path
    chosen: bool
    """False where a folder or a pattern brought it: then it may be no bill at all."""
    folder: str
    """Location of the file's folder, the same however it is named."""
    part: Delivered | None = None
    """Part of a delivery that it is, where a manifest names it."""


class _Found(NamedTuple):
    places: list[Place]
    notes: Sequence[str] = ()
    problems: Sequence[str] = ()


@contextmanager
def places(words: Sequence[str]) -> Iterator[tuple[list[Place], list[str], list[str]]]:
    """Yield the files that `words` name, the reasons for words without files, and remarks."""
    found: list[Place] = []
    missing: list[str] = []
    empty: list[str] = []
    with tempfile.TemporaryDirectory(prefix="inferworks-bills-") as folder:
        for number, word in enumerate(words):
            try:
                here = _at(word, Path(folder) / str(number))
                found += here.places
                missing += here.problems
                empty += here.notes
                if not (here.places or here.problems):
                    empty.append(f"{word}: the folder is empty")
            except (BillError, ConfigError, LakeError) as error:
                text = str(error).removeprefix("lake.url: ").partition(" Debug source")[0]
                missing.append(text)
        yield found, missing, empty


def _at(word: str, cache: Path) -> _Found:
    if "://" in word and not word.startswith("file://"):
        return _in_store(word, cache)
    path = Path(word.removeprefix("file://"))
    if path.is_dir():
        return _in_folder(path)
    if path.exists() or _WILD.isdisjoint(word):
        manifest = _manifest_at(path)
        return (
            _of_manifest(manifest) if manifest else _Found([_local(path.name, path, chosen=True)])
        )
    matches = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 - absolute too
    if not matches:
        raise BillError(f"{word}: no file is called so")
    found = [_in_folder(match) for match in matches if match.is_dir()]
    files = [place for one in found for place in one.places]
    files += [_local(match.name, match, chosen=True) for match in matches if match.is_file()]
    return _Found(
        sorted(files, key=lambda place: str(place.path)),
        [note for one in found for note in one.notes],
        [problem for one in found for problem in one.problems],
    )


def _local(name: str, path: Path, *, chosen: bool, part: Delivered | None = None) -> Place:
    return Place(name, path, chosen, str(path.absolute().parent), part)


def _in_folder(folder: Path) -> _Found:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    _check_count(str(folder), len(paths))
    by_name = {path.relative_to(folder).as_posix(): path for path in paths}
    which = chosen(
        list(by_name),
        lambda name: bytes_of(by_name[name]),
        lambda name: by_name[name].stat().st_size,
    )
    return _Found(
        [
            _local(name, path, chosen=False, part=which.parts.get(name))
            for name, path in by_name.items()
            if name not in which.left_out
        ],
        _left_out(which),
        which.problems,
    )


def _left_out(which: Chosen) -> list[str]:
    return [f"{name}: left out, {reason}" for name, reason in which.left_out.items() if reason]


def _manifest_at(path: Path) -> Manifest | None:
    """The manifest in a file that was named itself."""
    if not (is_manifest(path.name) and path.is_file()):
        return None
    return read_manifest(str(path.absolute()), bytes_of(path))


def _of_manifest(manifest: Manifest) -> _Found:
    """The files that a manifest names, wherever they lie from it."""
    found = parts_of(
        manifest, lambda name: Path(name).is_file(), lambda name: Path(name).stat().st_size
    )
    return _Found(
        [
            _local(Path(name).name, Path(name), chosen=True, part=part)
            for name, part in found.items()
        ]
    )


def _in_store(url: str, cache: Path) -> _Found:
    """Download the object at `url`, those below it, or those that match it as a pattern, to `cache`."""
    start = next((at for at, letter in enumerate(url) if letter in _WILD), len(url))
    scheme, _, rest = url[:start].partition("://")
    base, _, last = rest.rpartition("/") if "/" in rest else (rest, "", "")
    store = lake_at(f"{scheme}://{base}")
    wild = start < len(url)
    if is_manifest(last) and not wild:
        manifest = read_manifest(rest, store.get(last))
        if manifest is not None:
            return _delivered_in_store(scheme, manifest, cache)
    if wild:
        pattern = url[len(f"{scheme}://{base}/") :]
        names = [name for name in store.names("") if fnmatch(name, pattern)]
    else:
        names = list(store.names(last))
    is_chosen = wild or not names
    if not names and last and not wild:
        names = [last]
    if not names:
        raise BillError(f"{url}: there is no such object, and none below it")
    _check_count(url, len(names))
    brought = _Brought(store, cache)
    which = chosen(
        names, lambda name: bytes_of(brought[name]), lambda name: brought[name].stat().st_size
    )
    return _Found(
        [
            Place(
                name,
                brought[name],
                is_chosen,
                f"{scheme}://{base}/{name}".rpartition("/")[0],
                which.parts.get(name),
            )
            for name in sorted(names)
            if name not in which.left_out
        ],
        _left_out(which),
        which.problems,
    )


def _delivered_in_store(scheme: str, manifest: Manifest, cache: Path) -> _Found:
    """The objects that a manifest names, which may lie in another folder of its bucket."""
    bucket = manifest.name.partition("/")[0]
    brought = _Brought(lake_at(f"{scheme}://{bucket}"), cache)

    def within(name: str) -> str:
        return name.removeprefix(f"{bucket}/")

    found = parts_of(
        manifest,
        lambda name: name.startswith(f"{bucket}/") and within(name) in brought,
        lambda name: brought[within(name)].stat().st_size,
    )
    return _Found(
        [
            Place(
                name.rpartition("/")[2],
                brought[within(name)],
                True,
                f"{scheme}://{name}".rpartition("/")[0],
                part,
            )
            for name, part in found.items()
        ]
    )


class _Brought(dict[str, Path]):
    """Objects of a store by name, brought into a folder when they are first asked for."""

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
        raise BillError(f"{where}: {count} files; at most {_MOST_FILES} are read, name fewer")
