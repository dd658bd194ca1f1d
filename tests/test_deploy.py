"""Files to deploy with say nothing that the program does not know."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferworks.config import load
from inferworks.observe.exposition import exposition
from inferworks.observe.metric import Family, Histogram, Kind, Sample
from inferworks.observe.table import METRICS
from inferworks.testing.exposition import parse_exposition

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
SCRAPED = {"job", "instance", "le"}
"""Labels that Prometheus adds, and that of a histogram's buckets."""
SERIES = re.compile(r"\b([a-z_]+)(?:\{([^}]*)\})?(?=[\[\s{)]|$)")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
WORDS = {"sum", "rate", "max", "increase", "histogram_quantile", "and", "or", "up"}
"""Words that are no series of ours: the language's own, and the one that Prometheus makes itself."""


def shown() -> dict[str, set[str]]:
    """Every series that a gateway shows, with its labels, as its own exposition writes them."""
    families = [
        Family(metric, [Sample(["x"] * len(metric.labels), _value(metric.kind, metric.bounds))])
        for metric in METRICS
    ]
    text = exposition(families).decode()
    assert parse_exposition(text)
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    found: dict[str, set[str]] = {}
    for line in lines:
        name, _, labels = line.rpartition(" ")[0].partition("{")
        found.setdefault(name, set()).update(re.findall(r"(\w+)=\"", labels))
    return found


def _value(kind: Kind, bounds: tuple[int, ...]) -> int | Histogram:
    if kind is not Kind.HISTOGRAM:
        return 1
    histogram = Histogram(bounds)
    histogram.take(1)
    return histogram


def alerts() -> list[dict[str, Any]]:
    """The alert rules."""
    groups = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> Iterator[tuple[str, str]]:
    """Every query of the dashboard and of the alert rules, by what it is for."""
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert asked, variable
            yield variable["name"], f"sum by ({asked[2]}) ({asked[1]})"
    for rule in alerts():
        yield rule["alert"], rule["expr"]


def test_every_query_is_of_metrics_that_there_are() -> None:
    """Names, matchers and groups: a dashboard that asks for what is not there shows nothing, in silence."""
    there = shown()
    asked = 0
    for title, query in queries():
        plain = re.sub(r'"[^"]*"', '""', query.replace("$__rate_interval", "5m"))
        found = set()
        for name, matchers in SERIES.findall(GROUPED.sub("", plain)):
            if name in WORDS:
                continue
            assert name in there, f"{title}: {name}"
            labels = there[name] | SCRAPED
            assert set(MATCHER.findall(matchers)) <= labels, f"{title}: {name}{{{matchers}}}"
            found |= labels
            asked += 1
        for names in GROUPED.findall(plain):
            assert {name.strip() for name in names.split(",")} <= found, f"{title}: by ({names})"
    assert asked > 40


def test_every_alert_says_what_to_do_and_how_urgent_it_is() -> None:
    """A rule has a name of its own, a severity and a summary; labels it names are those of its query."""
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names) > 5
    for rule in alerts():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        named = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        grouped = {n.strip() for names in GROUPED.findall(rule["expr"]) for n in names.split(",")}
        assert not grouped or named <= grouped, rule["alert"]


def test_promtool_accepts_the_rules() -> None:
    """The alert rules pass `promtool check`, where it is installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool")
    done = subprocess.run(
        [promtool, "check", "rules", DEPLOY / "alerts.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def environments() -> dict[str, dict[str, str]]:
    """The settings that image, compose file and unit make by the environment."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    unit = (DEPLOY / "inferworks.service").read_text()
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    return {
        "compose": compose["services"]["gateway"]["environment"],
        "unit": dict(re.findall(r"^Environment=(INFERWORKS_\w+)=(.*)$", unit, re.MULTILINE)),
        "image": dict(re.findall(r"(INFERWORKS_\w+)=(\S+)", dockerfile)),
    }


@pytest.mark.parametrize("which", ["compose", "unit", "image"])
def test_every_setting_is_one_that_there_is(which: str) -> None:
    """Settings are read as a start reads them, with the configuration that is shipped beside them."""
    given = environments()[which]
    assert given
    config = load(DEPLOY / "etc" / "inferworks.toml", given)
    if which != "compose":
        assert config.log.access == "json"


def test_the_image_and_what_runs_it_are_closed() -> None:
    """No root, nothing to write but the data, no capability; a probe that asks for what a restart mends."""
    gateway = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["gateway"]
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert gateway["user"] == "10001:10001"
    assert (gateway["read_only"], gateway["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in gateway["security_opt"]
    assert "data:/var/lib/inferworks" in gateway["volumes"]
    assert "\nUSER 10001:10001\n" in dockerfile
    assert "\nVOLUME /var/lib/inferworks\n" in dockerfile
    assert "/livez" in dockerfile.split("HEALTHCHECK")[1]
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split()), source
    for service in yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values():
        for volume in service["volumes"]:
            if volume.startswith("./"):
                assert (DEPLOY / volume.split(":")[0]).exists(), volume


def test_the_unit_is_one_that_systemd_reads(tmp_path: Path) -> None:
    """The unit passes `systemd-analyze`, if that is installed, and is closed as it says."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("there is no systemd-analyze")
    unit = tmp_path / "inferworks.service"
    text = (DEPLOY / "inferworks.service").read_text()
    unit.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text))
    done = subprocess.run(
        [tool, "verify", "--man=no", unit], capture_output=True, text=True, check=False, timeout=60
    )
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert said == [], done.stderr
    rated = subprocess.run(
        [tool, "security", "--offline=true", "--threshold=20", unit],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert rated.returncode == 0, rated.stdout[-300:] + rated.stderr
