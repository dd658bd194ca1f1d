"""No command ends in a traceback, whatever is wrong with its disk, its folder or its terminal.

Every command there is meets every trouble. It may succeed or not; if not, it says so in a line, with a
status that is not that of a fault of ours, and what was in the folder is as it was.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 another user may not be able to read where it lies
import contextlib
import errno
import io
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Final

import click
import duckdb
import msgspec
import pyarrow as pa
import pytest

from inferworks.accounts.customer import Customer
from inferworks.accounts.key import mint
from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.catalog.providers import provider_catalog
from inferworks.cli.ending import MENDABLE, OURS, end
from inferworks.cli.main import cli, main
from inferworks.errors import BooksError, DataFolderError, JournalError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.testing.facts import A_PEPPER, A_TIME_NS, make_opened, make_usage

pytestmark = pytest.mark.slow

BILL: Final = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,ResourceId
10.00,USD,2026-11-21T00:00:00Z,2026-11-21T00:00:10Z,A Cloud,Compute,node-1
"""
EVENT: Final = (
    '{"specversion": "1.0", "id": "1", "source": "s", "type": "inferworks.call", "data": {"provider": "p", '
    f'"model": "m", "start_ns": {A_TIME_NS}, "end_ns": {A_TIME_NS}, "customer": "acme", '
    '"purpose": "serve-paid"}}\n'
)
LITELLM: Final = "model_list: []\n"

ARGUMENTS: Final = {
    "config import litellm": "../litellm.yaml",
    "keys revoke": "key_1",
    "keys rotate": "key_1",
    "init": "--out fresh.toml",
    "chat": "small hello",
    "customers create": "globex",
    "customers credit": "acme --amount 1.00",
    "customers merge": "acme --undo --from 2025-06-01 --reason why",
    "customers plans": "acme",
    "customers price": "acme --input-price 1 --output-price 1",
    "customers rename": "acme --name Acme --reason why",
    "customers set": "acme --zone Europe/Berlin --reason why",
    "customers show": "acme",
    "customers wallets": "acme",
    "customers withdraw": "acme --from 2025-06-01",
    "customers credits": "acme",
    "customers void": "credit_1 --reason twice",
    "prices show": "gpt-4o",
    "usage import": "../usage.jsonl",
    "usage retract": "--source s --id 1 --reason why",
    "books import": "../bill.csv",
    "books compare": "full marginal",
    "books explain": "customer:acme",
    "books export": "focus --out out",
    "books close": "2025-07",
    "books verify": "2025-06",
    "books reopen": "2025-06 --reason why",
}
"""Arguments of the commands that need some, in the folder that holds the data folder."""
PREPARED: Final = (
    "books import bill.csv",
    "usage import usage.jsonl",
    "customers credit acme --amount 5.00",
    "books close 2025-06",
)
"""Commands that have been run before."""
LONGER: Final = {"up", "demo"}
"""Commands that do not end by themselves, or only after a while."""
FINDING: Final = {"status", "scrub", "lake verify"}
"""Commands that print their findings on standard output."""


def commands(group: click.Command, name: str = "") -> Iterator[str]:
    """The names of the commands below `group`."""
    if not isinstance(group, click.Group):
        yield name
        return
    context = click.Context(group)
    for part in group.list_commands(context):
        command = group.get_command(context, part)
        assert command is not None
        yield from commands(command, f"{name} {part}".strip())


_USAGES: Final = 100
"""Records in the journal of the folder, on a dozen pages; one more is imported."""
COMMANDS: Final = sorted(set(commands(cli)) - LONGER)


def test_every_command_is_tried() -> None:
    """Every command named here exists: one that is renamed is renamed here."""
    assert ARGUMENTS.keys() <= set(COMMANDS)
    assert set(commands(cli)) >= LONGER


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data folder, in which somebody was served, and files to be read."""
    root = tmp_path_factory.mktemp("ending")
    data = DataFolder(root / "inferworks-data")
    data.create()
    acme = CustomerId("acme")
    plan = PricePlan.per_million(acme, A_TIME_NS, "USD", "8.00", "12.00")
    with closing(SqliteAccounts(data.accounts)) as accounts:
        accounts.add_customer(Customer(acme, A_TIME_NS), plan)
        accounts.add_key(
            msgspec.structs.replace(mint(acme, A_TIME_NS, pepper=A_PEPPER)[0], id="key_1")
        )
    store = SqliteStore(data.journal)
    store.open()
    store.write([make_usage(call_id=f"call_{number}") for number in range(_USAGES)])
    store.opened(make_opened(call_id="open"))
    store.close()
    (root / "bill.csv").write_text(BILL)
    (root / "usage.jsonl").write_text(EVENT)
    (root / "litellm.yaml").write_text(LITELLM)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.chdir(root)
        for line in PREPARED:
            patch.setattr(sys, "argv", ["inferworks", *line.split()])
            with pytest.raises(SystemExit, match="0"):
                main()
    return root


@pytest.fixture
def data(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the data folder in the working directory, with the files beside that."""
    here = tmp_path / "here"
    shutil.copytree(folder / "inferworks-data", here / "inferworks-data", symlinks=True)
    for file in folder.glob("*.*"):
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(here)
    return here / "inferworks-data"


@contextmanager
def full_disk(_: Path) -> Iterator[None]:
    """No file may grow: of the kernel's errors one like that of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def no_descriptors(_: Path) -> Iterator[None]:
    """No file can be opened."""
    provider_catalog.cache_clear()  # a process of its own would have read nothing yet
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def no_permission(data: Path) -> Iterator[None]:
    """The folder is another user's, and closed."""
    if os.geteuid():
        data.chmod(0)
        yield
        data.chmod(0o700)
    else:
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)


@contextmanager
def damaged_pages(data: Path) -> Iterator[None]:
    """Every page of the databases but the first is something else."""
    for path in data.glob("*.db"):
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (size - 4096))
    yield


@contextmanager
def garbage(data: Path) -> Iterator[None]:
    """The databases are text."""
    for path in data.glob("*.db*"):
        path.write_text("Dear diary, " * 1000)
    yield


@contextmanager
def closed_output(_: Path) -> Iterator[None]:
    """There is no standard output."""
    with contextlib.redirect_stdout(None):
        yield


@contextmanager
def full_output(_: Path) -> Iterator[None]:
    """Standard output is a file on a full disk."""
    with Path("/dev/full").open("w", encoding="utf-8") as full, contextlib.redirect_stdout(full):
        yield


TROUBLES: Final = (
    full_disk,
    no_descriptors,
    no_permission,
    damaged_pages,
    garbage,
    closed_output,
    full_output,
)


def run(
    monkeypatch: pytest.MonkeyPatch, command: str, trouble: AbstractContextManager[None]
) -> tuple[int, str]:
    """Status of a command in `trouble`, and its words on what went wrong."""
    said = io.StringIO()
    monkeypatch.setattr(
        sys, "argv", ["inferworks", *command.split(), *ARGUMENTS.get(command, "").split()]
    )
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()), trouble:
        try:
            main()
        except SystemExit as ended:
            status = ended.code
    assert isinstance(status, int), status
    return status, said.getvalue()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_no_command_ends_in_a_traceback(
    command: str,
    trouble: Callable[[Path], AbstractContextManager[None]],
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A command ends with a line that is no fault of ours, whatever is wrong, and spoils nothing."""
    status, said = run(monkeypatch, command, trouble(data))
    assert "Traceback" not in said
    assert status != OURS, said
    if command not in FINDING:
        assert status == 0 or said.count("\n") in range(1, 5), said
    if trouble not in (damaged_pages, garbage):
        check_unspoilt(data, may_be_sealed=command == "lake seal")


def check_unspoilt(data: Path, *, may_be_sealed: bool) -> None:
    """Check that the content of the data folder is there, and nothing is damaged."""
    for path in data.glob("*.db"):
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with SqliteStore(data / "journal.db").reads() as reads:
        assert may_be_sealed or len(list(reads.usages(0, 2**63 - 1))) > _USAGES
        assert [call.call_id for call in reads.opened_unclosed()] == ["open"]


MOUNTED: Final = (
    "status",
    "keys create",
    "customers create",
    "books import",
    "books statement",
    "lake seal",
)


@pytest.mark.parametrize("read_only", [False, True], ids=["full", "read-only"])
def test_a_disk_that_is_full_or_read_only(
    read_only: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same on a real disk, with the errors that it really gives."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk):
        shutil.copytree(folder / "inferworks-data", disk / "inferworks-data")
        for file in folder.glob("*.*"):
            shutil.copy(file, disk)
        here = disk / "here"
        here.mkdir()
        monkeypatch.setenv("INFERWORKS_DATA_FOLDER", str(disk / "inferworks-data"))
        monkeypatch.chdir(tmp_path / "disk" / "here")
        if read_only:
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        else:
            with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
                while True:
                    filler.write(b"x" * 512)
        said = {}
        for command in MOUNTED:
            status, said[command] = run(monkeypatch, command, contextlib.nullcontext())
            assert status != OURS, said
        assert ("permissions" if read_only else "room") in said["keys create"], said
        if read_only:
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        else:
            (disk / "filler").unlink()
        check_unspoilt(disk / "inferworks-data", may_be_sealed=False)
        assert run(monkeypatch, "keys create", contextlib.nullcontext())[0] == 0, "it has passed"
        monkeypatch.chdir(tmp_path)


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A disk of a few megabytes, mounted at `place`; skipped where that cannot be done."""
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", place]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk of our own can be mounted: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("trouble", ["garbage", "ulimit -f 0", "ulimit -n 12"])
def test_up_ends_with_a_line(trouble: str, data: Path) -> None:
    """A platform that cannot start says why in a line, and leaves what is there as it was."""
    limit = trouble if trouble.startswith("ulimit") else "true"
    if trouble == "garbage":
        (data / "journal.db").write_text("Dear diary, " * 1000)
    ended = subprocess.run(
        ["sh", "-c", f"{limit}; exec {sys.executable} -m inferworks up --port 0 --until-eof"],
        env={**os.environ, "INFERWORKS_ENGINE_REPLICAS": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    assert (ended.returncode, ended.stderr.count("\n")) == (MENDABLE, 1), ended.stderr
    assert ended.stderr.startswith("inferworks: ")


def test_up_stops_well_with_standard_input_closed(data: Path) -> None:
    """A closed standard input is harmless: no socket or database gets its number."""
    with subprocess.Popen(
        ["sh", "-c", f"exec {sys.executable} -m inferworks up --port 0 --data {data} <&-"],
        env={**os.environ, "INFERWORKS_ENGINE_REPLICAS": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert "is ready" in running.stdout.readline()
        running.terminate()
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors


ERRORS: Final[list[tuple[BaseException, str, int]]] = [
    (DataFolderError("mend it"), "mend it", 2),
    (JournalError("the disk"), "the disk", 1),
    (BooksError("an invariant"), "an invariant", 1),
    (OSError(errno.ENOSPC, "No space left", "/a/b"), "/a/b: No space left; make room", 2),
    (PermissionError(errno.EACCES, "Permission denied", "/a"), "/a: Permission denied; check", 2),
    (OSError(errno.EMFILE, "Too many open files"), "Too many open files; raise the limit", 2),
    (sqlite3.OperationalError("no such table: x"), "a fault of ours", 70),
    (MemoryError(), "not enough memory", 2),
    (RuntimeError("can't start new thread"), "raise the limit (ulimit -u)", 2),
    (RecursionError("maximum recursion depth exceeded"), "nested too deeply", 2),
    (UnicodeEncodeError("ascii", "a\xfc", 1, 2, "no"), "set PYTHONIOENCODING=utf-8", 2),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), r"b'\xff' is no utf-8", 2),
    (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero; this is a fault of ours", 70),
    (KeyboardInterrupt(), "", 130),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), "", 0),
    (duckdb.OutOfMemoryException("Out of Memory: a\nb"), "engine failed: Out of Memory: a;", 1),
    (pa.ArrowInvalid("not Parquet"), "engine failed: not Parquet", 1),
]


@pytest.mark.parametrize(("error", "text", "status"), ERRORS)
def test_each_kind_of_error(
    error: BaseException, text: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error says what it was and what to do in one line; of what is our fault the details are kept."""
    assert end(error) == status
    said = capsys.readouterr().err
    assert text in said
    assert said.count("\n") == (1 if text else 0)
    if status == OURS:
        details = Path(said.rsplit(" ", 1)[1].strip())
        assert type(error).__name__ in details.read_text()
        assert details.stat().st_mode & 0o077 == 0
        details.unlink()


def test_what_is_our_fault_is_said_where_nothing_can_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without room for the details it is said all the same."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    assert end(ZeroDivisionError()) == OURS
    assert capsys.readouterr().err == (
        "inferworks: ZeroDivisionError; this is a fault of ours: please report it\n"
    )


def test_whatever_is_written_is_for_its_user_alone(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No command leaves anything that others may read, in the data folder or beside it."""
    before = os.umask(0o022)
    try:
        for command in ("keys create", "lake seal", "books close", "books export"):
            run(monkeypatch, command, contextlib.nullcontext())
    finally:
        os.umask(before)
    written = [path for path in data.parent.rglob("*") if path.stat().st_mode & 0o077]
    assert not written


@pytest.mark.slow
@pytest.mark.parametrize("early", ["click", "msgspec"])
def test_an_interrupt_while_the_program_loads_is_no_traceback(early: str, tmp_path: Path) -> None:
    """The exit status is that of an interrupt, whichever module was being loaded."""
    (tmp_path / f"{early}.py").write_text("raise KeyboardInterrupt\n")
    found = subprocess.run(
        [sys.executable, "-m", "inferworks", "--version"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (130, b"", b"")
