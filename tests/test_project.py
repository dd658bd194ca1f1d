"""The face that the project shows to others: its metadata, workflows and forms agree with what is here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")


def steps(workflow: Path) -> list[dict[str, Any]]:
    """Every step of every job of a workflow."""
    jobs = yaml.safe_load(workflow.read_text("utf-8"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def test_each_python_that_is_promised_is_tested() -> None:
    """Classifiers, `requires-python` and the matrix of the tests name the same versions."""
    matrix = yaml.safe_load((GITHUB / "workflows" / "test.yml").read_text("utf-8"))
    tested = matrix["jobs"]["test"]["strategy"]["matrix"]["python"]
    promised = [
        name.rpartition(" ")[2]
        for name in PROJECT["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", name)
    ]
    assert tested == promised
    assert PROJECT["requires-python"] == f">={tested[0]}"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_what_is_there_and_what_was_looked_at(workflow: Path) -> None:
    """`make` targets exist; actions of others are pinned by hash, with their version beside it."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for step in steps(workflow):
        assert set(re.findall(r"^make ([a-z-]+)", step.get("run", ""), re.MULTILINE)) <= targets
    text = workflow.read_text("utf-8")
    uses = re.findall(r"uses: (.+)", text)
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w/.-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", action), action
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_forms_are_ones_that_can_be_filled_in(form: Path) -> None:
    """Each has a name, a description and fields, every field its name and its label."""
    content = yaml.safe_load(form.read_text("utf-8"))
    assert content["name"]
    assert content["description"]
    fields = [part for part in content["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in fields}) == len(fields) > 0
    assert all(part["attributes"]["label"] for part in fields)


def test_documents_that_forms_name_are_there() -> None:
    """A form or a template names no page that is gone."""
    for path in [*FORMS, GITHUB / "pull_request_template.md"]:
        for name in re.findall(r"\b(?:docs/[\w/-]+|[A-Z]+)\.md\b", path.read_text("utf-8")):
            assert (ROOT / name).exists(), f"{path.name} names {name}"


def test_hooks_run_tools_of_the_locks() -> None:
    """Nothing runs before a commit that is not of this repository or its environment."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    for repository in config["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            assert hook["entry"].startswith(".venv/bin/"), hook["id"]
            assert all((ROOT / word).exists() for word in re.findall(r"tools/\S+", hook["entry"]))


def test_the_readme_works_on_a_package_index() -> None:
    """Links and pictures are absolute, defined once, and lead to files that are here."""
    text = (ROOT / PROJECT["readme"]).read_text("utf-8")
    assert not re.findall(r"\]\((?!https://)", text)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    defined = dict(re.findall(r"^\[([\w-]+)\]: (\S+)$", prose, re.MULTILINE))
    used = re.findall(r"(?<!\w)\[([^\]]+)\](?:\[([\w-]+)\]|(?![\w(:\[]))", prose)
    assert {label or name for name, label in used} == set(defined)
    raw = REPOSITORY.replace("github.com", "raw.githubusercontent.com")
    for target in defined.values():
        here = re.fullmatch(rf"(?:{REPOSITORY}/(?:blob|tree)|{raw})/main/([^#]+)(?:#.*)?", target)
        assert here, target
        assert (ROOT / here.group(1)).exists(), target


def test_the_repository_has_one_address() -> None:
    """Forms, security policy and package name the same one."""
    owner = REPOSITORY.removeprefix("https://github.com/")
    for path in [*ROOT.glob("*.md"), *GITHUB.rglob("*.*"), ROOT / "pyproject.toml"]:
        for name in re.findall(r"(?:github\.com/|--repo )([\w-]+/inferworks)", path.read_text()):
            assert name == owner, path


def test_the_source_distribution_has_what_its_tests_read() -> None:
    """Each folder that is packed is there, and none that a test or a document needs is left out."""
    packed = set(re.findall(r"^graft (\S+)$", (ROOT / "MANIFEST.in").read_text(), re.MULTILINE))
    assert all((ROOT / folder).is_dir() for folder in packed)
    assert packed >= {".github", "deploy", "docs", "examples", "requirements", "tests", "tools"}
