"""Where bills are: files, folders, patterns and object stores, as they are named on the command line.

A folder, a pattern or a URL stands for its files in the order of their names. What lies in an object store
is brought here first, once each, into a folder that is removed again: files are looked at twice (exchange
rates go in before the rest), and a network that breaks then breaks before anything was taken in.
"""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, NamedTuple

from inferworks.errors import BillError, ConfigError, LakeError
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.lakes.detect import lake_at

_MOST_FILES: Final = 100_000
_WILD: Final = frozenset("*?[")


class Place(NamedTuple):
    """A file: what it is called, where it is, and whether it was named itself."""

    name: str
    path: Path
    chosen: bool
    """False where a folder or a pattern brought it: then it may be no bill at all."""
    folder: str
    """Where it lies, the same from wherever and however it is named."""


@contextmanager
def places(words: Sequence[str]) -> Iterator[tuple[list[Place], list[str], list[str]]]:
    """The files that `words` name, why a word names none, and which folders are empty."""
    found: list[Place] = []
    missing: list[str] = []
    empty: list[str] = []
    with tempfile.TemporaryDirectory(prefix="inferworks-bills-") as folder:
        for number, word in enumerate(words):
            try:
                here = _at(word, Path(folder) / str(number))
                found += here
                if not here:
                    empty.append(f"{word}: the folder is empty")
            except (BillError, ConfigError, LakeError) as error:
                text = str(error).removeprefix("lake.url: ").partition(" Debug source")[0]
                missing.append(text)
        yield found, missing, empty


def _at(word: str, cache: Path) -> list[Place]:
    if "://" in word and not word.startswith("file://"):
        return _in_store(word, cache)
    path = Path(word.removeprefix("file://"))
    if path.is_dir():
        return _in_folder(path)
    if path.exists() or _WILD.isdisjoint(word):
        return [_local(path.name, path, chosen=True)]
    matches = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 - absolute too
    if not matches:
        raise BillError(f"{word}: no file is called so")
    files = [place for match in matches if match.is_dir() for place in _in_folder(match)]
    files += [_local(match.name, match, chosen=True) for match in matches if match.is_file()]
    return sorted(files, key=lambda place: str(place.path))


def _local(name: str, path: Path, *, chosen: bool) -> Place:
    return Place(name, path, chosen, str(path.absolute().parent))


def _in_folder(folder: Path) -> list[Place]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    _check_count(str(folder), len(paths))
    return [_local(path.relative_to(folder).as_posix(), path, chosen=False) for path in paths]


def _in_store(url: str, cache: Path) -> list[Place]:
    """The object at `url`, those below it, or those that it is a pattern for; brought to `cache`."""
    start = next((at for at, letter in enumerate(url) if letter in _WILD), len(url))
    scheme, _, rest = url[:start].partition("://")
    base, _, last = rest.rpartition("/") if "/" in rest else (rest, "", "")
    store = lake_at(f"{scheme}://{base}")
    wild = start < len(url)
    if wild:
        pattern = url[len(f"{scheme}://{base}/") :]
        names = [name for name in store.names("") if fnmatch(name, pattern)]
    else:
        names = list(store.names(last))
    chosen = wild or not names
    if not names and last and not wild:
        names = [last]
    if not names:
        raise BillError(f"{url}: there is no such object, and none below it")
    _check_count(url, len(names))
    return [
        Place(
            name,
            _brought(store, name, cache / str(number)),
            chosen,
            f"{scheme}://{base}/{name}".rpartition("/")[0],
        )
        for number, name in enumerate(sorted(names))
    ]


def _brought(store: LakeStore, name: str, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(store.get(name))
    return path


def _check_count(where: str, count: int) -> None:
    if count > _MOST_FILES:
        raise BillError(f"{where}: {count} files; at most {_MOST_FILES} are read, name fewer")
