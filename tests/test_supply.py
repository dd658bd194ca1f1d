"""Packages installed with Inferworks: every file pinned by hash, every licence one that we accept."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

LOCKS = Path(__file__).parent.parent / "requirements"
PERMISSIVE = frozenset({
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT", "MIT-0", "PSF-2.0", "Zlib",
})  # fmt: skip
ALLOWED = {
    "run.txt": PERMISSIVE,
    "dev.txt": PERMISSIVE | {"CNRI-Python", "LGPL-3.0-only", "MPL-2.0", "any-OSI"},
}
"""The SPDX licences that each lock may bring; what only tests and extras need may also be under weak
copyleft, which asks nothing of those who import a library as it is, or under whichever one likes."""
WORDS = {
    "Apache-2.0": ("Apache-2.0", "Apache 2.0", "Apache License, Version 2.0", "Apache Software License"),
    "BSD-2-Clause": ("BSD-2-Clause",),
    "BSD-3-Clause": ("BSD-3-Clause", "3-Clause BSD License", "BSD License"),
    "MIT": ("MIT", "MIT License"),
    "MPL-2.0": ("MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"),
}  # fmt: skip
"""Names of licences from before there was `License-Expression`."""
NAMED = {word: licence for licence, words in WORDS.items() for word in words}


def locked(lock: str) -> dict[str, str]:
    """The packages of a lock, and what is said of each: version, marker and hashes."""
    text = (LOCKS / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)(==(?:.*\\\n)*.*)$", text, re.MULTILINE))


def licences(package: PackageMetadata) -> set[str]:
    """All licences that the metadata of `package` names, alternatives too, by their SPDX names."""
    if expression := package.get("License-Expression"):
        return set(re.split(r"[\s()]+(?:AND|OR)[\s()]+", expression.strip("() ")))
    kinds = [kind for kind in package.get_all("Classifier") or [] if kind.startswith("License :: ")]
    told = [kind.rpartition(" :: ")[2] for kind in kinds] or [package.get("License", "")]
    return {NAMED.get(word.splitlines()[0], word) if word else "none" for word in told}


@pytest.mark.parametrize("lock", ALLOWED)
def test_every_licence_is_one_that_we_accept(lock: str) -> None:
    """Packages of the lock that are installed here are checked; the others are for other systems."""
    odd: dict[str, object] = {}
    for name, said in locked(lock).items():
        try:
            found = licences(metadata(name))
        except PackageNotFoundError:
            if ";" not in said.splitlines()[0]:
                odd[name] = "not installed"
            continue
        if not found <= ALLOWED[lock]:
            odd[name] = found
    assert odd == {}


@pytest.mark.parametrize("lock", sorted(path.name for path in LOCKS.glob("*.txt")))
def test_every_package_is_pinned_by_hash(lock: str) -> None:
    """Hashes pin one version, wherever it may come from: a lock names no place."""
    text = (LOCKS / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    packages = locked(lock)
    assert packages
    assert len(packages) == len(re.findall(r"^\S", text, re.MULTILINE))
    assert [name for name, said in packages.items() if "--hash=sha256:" not in said] == []


def test_the_locks_of_one_environment_share_no_package() -> None:
    """Each package has one version, so what was tested is what runs, and both are installed at once."""
    assert not locked("run.txt").keys() & locked("dev.txt").keys()


EXTRAS = ("embedded", "engines", "parquet")
"""Extras that `make install` installs beside the base."""


def test_the_lock_of_an_installation_has_all_that_is_asked_for() -> None:
    """Each package of the base and of the extras of `make install`, in a version that is asked for."""
    project = tomllib.loads((LOCKS.parent / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [*project["dependencies"]]
    for extra in EXTRAS:
        asked += project["optional-dependencies"][extra]
    versions = {
        name: said.split()[0].removeprefix("==") for name, said in locked("run.txt").items()
    }
    for line in asked:
        requirement = Requirement(line)
        assert requirement.specifier.contains(versions[requirement.name]), line
