"""The documents are held to the same tests as the code."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class

from inferworks.cli.main import COMMANDS, cli
from inferworks.config import Admin, Gateway
from inferworks.extras import install

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_the_code_knows_is_up_to_date() -> None:
    """Settings and help texts in the documents are what the code says today."""
    command = [sys.executable, str(ROOT / "tools" / "write_docs.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, f"run tools/write_docs.py for:\n{result.stdout}{result.stderr}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link and picture of a document is there."""
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(path: Path) -> None:
    """A source file that a document names in backticks exists."""
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|toml))`", text):
        places = (ROOT / name, ROOT / "src" / "inferworks" / name)
        assert any(place.exists() for place in places), f"{path.name} names {name}"


def test_modules_that_docstrings_name_exist() -> None:
    """A module or file that the code names in backticks exists; settings and other files are no modules."""
    package = ROOT / "src" / "inferworks"
    folders = [path for path in package.rglob("*") if path.is_dir()]
    names = {folder.name for folder in folders}
    settings = set(
        re.findall(r"`([\w.]+)`", (ROOT / "docs" / "configuration.md").read_text("utf-8"))
    )
    lost = []
    for path in package.rglob("*.py"):
        text = path.read_text("utf-8")
        for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|toml))`", text):
            places = (ROOT / name, *(folder / name for folder in (package, *path.parents)))
            if not any(place.exists() for place in places):
                lost.append(f"{path.relative_to(package)} names {name}")
        for name in set(re.findall(r"`(?:inferworks\.)?([a-z_]+\.[a-z_.]+\w)`", text)) - settings:
            first, second, *_ = name.split(".")
            if first not in names or second in ("db", "py", "toml"):
                continue
            places = tuple(folder / second for folder in folders if folder.name == first)
            if not any(place.is_dir() or place.with_suffix(".py").exists() for place in places):
                lost.append(f"{path.relative_to(package)} names {name}")
    assert not lost, "\n".join(lost)


def test_the_readme_uses_commands_that_exist() -> None:
    """Each `inferworks NOUN VERB` in the README is one that there is."""
    for line in re.findall(r"^(?:\.venv/bin/)?inferworks (.+)$", README, re.MULTILINE):
        words = line.split()
        assert words[0] in COMMANDS, line


INVOICE = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ServiceCategory,\
ServiceName,InvoiceIssuerName,ChargeDescription,ResourceId
12.50,USD,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,Usage,Compute,Machines,Example Cloud,One node,local
"""
SHEET = """\
person,start,end,minutes,node,activity,pay,currency,sheet
ann,2026-11-21T09:00Z,2026-11-21T17:00Z,40,local,,32.00,USD,2026-47
"""
CALLS = """\
{"specversion":"1.0","type":"inferworks.call","source":"gateway-b","id":"req-18","data":{"provider":\
"openai","model":"gpt-5","customer":"acme","purpose":"serve-paid","start_ns":1795251600000000000,\
"end_ns":1795251604000000000,"input_tokens":812,"output_tokens":96}}
"""


@pytest.mark.slow
def test_the_commands_of_the_readme_work(tmp_path: Path) -> None:
    """The lines under "From calls to gross margin" run one after the other in an empty folder."""
    (tmp_path / "invoices.csv").write_text(INVOICE)
    (tmp_path / "timesheet.csv").write_text(SHEET)
    (tmp_path / "calls.jsonl").write_text(CALLS)
    section = README.split("## From calls to gross margin")[1].split("```")[1].removeprefix("sh\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    printed: dict[str, str] = {}
    for line in section.strip().splitlines():
        result = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{line}\n{result.stderr}"
        assert result.stdout.strip(), line
        printed[line.split("#")[0].strip()] = result.stdout
    statement = printed["inferworks books statement --by customer"]
    assert "Billed" in statement
    assert (
        "44.501975" in printed["inferworks books close 2026-11"]
    )  # bills, and a call at list price


METRICS_PORT, GRAFANA_PORT = "9464", "3000"
ADMIN_PORT = str(Admin().port)


def test_documented_ports_are_the_default_one() -> None:
    """An address pasted from a document reaches a gateway that was started without a port."""
    for path in DOCUMENTS:
        text = re.sub(
            r"<!-- providers -->.*?<!-- end -->|\[\[provider\]\].*?```",
            "",
            path.read_text("utf-8"),
            flags=re.DOTALL,
        )
        found = re.findall(r"(?:127\.0\.0\.1|localhost|\[::1\]|gateway\.internal):(\d{2,5})", text)
        found += re.findall(r"path: /\w+, port: (\d+)", text)
        assert set(found) <= {str(Gateway().port), METRICS_PORT, GRAFANA_PORT, ADMIN_PORT}, (
            path.name
        )


def test_what_documents_install_is_there() -> None:
    """No document or error has an index asked for a name that is not ours; extras are those there are."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    sources = [*DOCUMENTS, *(ROOT / "src").rglob("*.py"), ROOT / "Makefile"]
    for path in sources:
        text = path.read_text("utf-8")
        assert not re.search(r"pip install ['\"]?inferworks", text), path.name
        assert set(re.findall(r"pip install -e '?\.\[(\w+)\]", text)) <= extras.keys(), path.name
    installed = metadata("inferworks").get_all("Provides-Extra") or ()  # may be older than the file
    for extra in extras.keys() & set(installed):
        command = install(extra)
        assert command.startswith(f"{sys.executable} -m pip install ")
        assert all(name.split(">")[0].split("[")[0] in command for name in extras[extra][:2]), (
            command
        )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_that_is_documented_is_there(shell: str) -> None:
    """The line for each shell has it make a script that completes."""
    text = (ROOT / "docs" / "commands.md").read_text("utf-8")
    assert f"_INFERWORKS_COMPLETE={shell}_source inferworks" in text
    kind = get_completion_class(shell)
    assert kind is not None
    assert "_INFERWORKS_COMPLETE" in kind(cli, {}, "inferworks", "_INFERWORKS_COMPLETE").source()
    words = [
        item.value for item in kind(cli, {}, "inferworks", "x").get_completions(["keys"], "ro")
    ]
    assert words == ["rotate"]


def test_decisions_are_numbered() -> None:
    """One after the other, each by a number of its own, which its first line says too."""
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for number, page in enumerate(pages, 1):
        assert page.read_text(encoding="utf-8").startswith(f"# {number}. "), page.name


def test_every_command_is_documented() -> None:
    """`docs/commands.md` shows the help of every command."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"$ inferworks {command}" in text, command


def test_python_in_documents_parses() -> None:
    """Python examples are Python."""
    for path in DOCUMENTS:
        for block in re.findall(
            r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL
        ):
            ast.parse(block)


@pytest.mark.slow
def test_the_public_face_is_documented() -> None:
    """Every public function and class of the package has a docstring."""
    for path in (ROOT / "src" / "inferworks").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                public = not node.name.startswith("_")
                assert not public or ast.get_docstring(node), f"{path}: {node.name}"


@pytest.mark.slow
def test_every_test_has_a_sentence() -> None:
    """A test says in its docstring what holds."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"
