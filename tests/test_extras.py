"""Packages that an installation may lack: which modules and commands do without them, and what is said."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from inferworks.books.repository.store import BookStore

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

BLOCK = """
import sys
KNOWN = {known!r}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = top in KNOWN or top.lstrip("_") in KNOWN or top in sys.stdlib_module_names
        if not known and not top.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""
"""Lets nothing be imported but the standard library and the packages in `known`."""

IMPORT = """
import importlib, pkgutil
import inferworks
for module in pkgutil.walk_packages(inferworks.__path__, "inferworks.", onerror=lambda name: None):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except (ModuleNotFoundError, inferworks.errors.ExtraError):
            print(module.name.removeprefix("inferworks."))
"""

NEEDS = {
    "parquet": ("books.bills.arrow",),
    "engines": ("books.engines", "books.workspace.on_engine"),
    "embedded": (
        "hardware.engines.embedded.engine",
        "hardware.engines.embedded.model",
        "hardware.engines.embedded.serve",
    ),
    "postgres": ("accounts.sharing.postgres", "limits.stores.postgres", "postgres"),
    "telemetry": ("observe.exporters.otlp",),
    "testing": (
        "testing.accounts",
        "testing.books",
        "testing.conformance",
        "testing.in_process_gateway",
        "testing.providers",
        "testing.registry",
        "testing.sharing",
    ),
    "dev": tuple(
        f"simulation.{name}" for name in ("database", "promises", "run", "stand_in", "world")
    ),
}
"""The modules that need an extra to be imported. All others do without any."""


def closure(needed: list[str]) -> Iterator[str]:
    """The packages that `needed` come to, with all that they need themselves."""
    waiting, seen = [(Requirement(line), "") for line in needed], set[tuple[str, str]]()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = requirement.name.lower().replace("_", "-")
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                yield name
                try:
                    waiting += [(Requirement(line), wanted) for line in requires(name) or ()]
                except PackageNotFoundError:  # for another system
                    continue


distributions = cache(packages_distributions)


@cache
def blocker(*extras: str) -> str:
    """A program that lets only what `extras` bring be imported, beside what every installation has."""
    needed = [*PROJECT["dependencies"]]
    for extra in extras:
        needed += PROJECT["optional-dependencies"][extra]
    installed = set(closure(needed))
    modules = {
        module
        for module, names in distributions().items()
        if {name.lower().replace("_", "-") for name in names} & installed
    }
    return BLOCK.format(known=sorted({"inferworks", *modules}))


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `inferworks` in `folder` with what every installation has."""
    (folder / "sitecustomize.py").write_text(blocker())
    return subprocess.run(
        [sys.executable, "-m", "inferworks", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "extras", [(), ("testing",), ("embedded", "engines", "parquet")], ids="+".join
)
def test_which_modules_need_which_extras(extras: tuple[str, ...]) -> None:
    """With nothing else installed, all modules are there but those that say what they need."""
    done = subprocess.run(
        [sys.executable, "-c", blocker(*extras) + IMPORT],
        capture_output=True,
        text=True,
        check=True,
    )
    missing = [name for extra, names in NEEDS.items() if extra not in extras for name in names]
    found = done.stdout.split()
    assert sorted(found) == sorted(missing)


def test_the_large_packages_are_no_part_of_the_base() -> None:
    """Neither every installation has them, nor one for tests of strangers' drivers."""
    base = set(closure(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["testing"]))
    assert not base & {"duckdb", "ibis-framework", "onnxruntime", "pandas", "pyarrow"}


REFUSED = {
    "bill.parquet": (("books", "import", "bill.parquet"), "Parquet", "pyarrow"),
    "bill.csv.zst": (("books", "import", "bill.csv.zst"), "Parquet", "pyarrow"),
    "engine": (("books", "statement", "--engine", "duckdb"), "an engine of large books", "ibis"),
    "demo": (("demo",), "the demo", "onnxruntime"),
    "replicas": (("up", "--port", "0"), "the embedded engine", "onnxruntime"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_missing_is_said_in_one_line(case: str, tmp_path: Path) -> None:
    """The line says who needs which package, and the command that installs it."""
    words, user, package = REFUSED[case]
    (tmp_path / "bill.parquet").write_bytes(b"PAR1....PAR1")
    (tmp_path / "bill.csv.zst").write_bytes(b"\x28\xb5\x2f\xfd....")
    (tmp_path / "inferworks-data").mkdir(mode=0o700)
    BookStore(tmp_path / "inferworks-data" / "books.db").close()
    done = command(tmp_path, *words)
    [line] = done.stderr.splitlines()
    assert user in line, done
    assert f"needs the package {package}: {sys.executable} -m pip install " in line
    assert done.returncode == 2


GATEWAY = """
[engine]
replicas = 0

[[upstream]]
name = "openai"
provider = "openai"
key = "env:OPENAI_API_KEY"
models = ["gpt-5-mini"]
"""


@pytest.mark.slow
def test_a_gateway_runs_on_the_base(tmp_path: Path) -> None:
    """A gateway before a hosted provider starts and stops, and its books have a statement."""
    (tmp_path / "inferworks.toml").write_text(GATEWAY)
    (tmp_path / "sitecustomize.py").write_text(blocker())
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OPENAI_API_KEY": "sk-none"}
    with subprocess.Popen(
        [sys.executable, "-m", "inferworks", "up", "--until-eof", "--port", "0"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "ready at" in process.stdout.readline()
        _, log = process.communicate("", timeout=30)
        assert process.returncode == 0
    assert "sealing them needs the package pyarrow" in log
    assert command(tmp_path, "books", "statement").returncode == 0


RENT = """id,period,natural_class,amount,currency,description,department
V-1,2025-11,other,3100.00,USD,Rent,office
"""
EXPORT = """
import hashlib
import inferworks
from inferworks.books.exports.base import content
notes = []
books = inferworks.open_books("inferworks-data", note=notes.append)
books.import_bills("rent.csv").raise_for_refused()
november = books.query("2025-11")
for form in ("csv", "json", "focus", "html"):
    for file in books.export(form, november):
        print(file.name, hashlib.sha256(content(file)).hexdigest())
print(any("CSV only" in note and "pyarrow" in note for note in notes))
try:
    [content(file) for file in books.export("parquet", november)]
except inferworks.UserError as error:
    print("Parquet needs the package pyarrow: " in str(error))
"""


@pytest.mark.slow
def test_the_base_exports_all_but_parquet(tmp_path: Path) -> None:
    """CSV, JSON, FOCUS and the report have the same bytes without Arrow; a note names what is left out."""
    (tmp_path / "rent.csv").write_text(RENT)
    (lacking, full) = (
        subprocess.run(
            [sys.executable, "-c", program + EXPORT],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for program in (blocker(), "")
    )
    assert lacking[-2:] == ["True", "True"]
    assert full[-1] == "False"
    parquet = {"customers.parquet", "suppliers.parquet"}
    assert lacking[:-2] == [line for line in full[:-1] if line.split()[0] not in parquet]
    assert {"charges.csv", "customers.csv", "suppliers.csv"} <= {
        line.split()[0] for line in lacking[:-2]
    }
