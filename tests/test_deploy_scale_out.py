"""Files to run many nodes with: the compose file, its load balancer and the Helm chart say what is true.

What no tool is needed for is checked everywhere; `helm lint`, the schemas of Kubernetes, `docker compose
config` and `haproxy -c` where they are (`make checkers` sets up the first two).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from tests.support.command_line import run

from inferworks import __version__
from inferworks.cli.main import COMMANDS
from inferworks.config import Config, load

ROOT = Path(__file__).parent.parent
SCALE_OUT = ROOT / "deploy" / "scale-out"
CHART = ROOT / "deploy" / "helm" / "inferworks"
CHECKERS = ROOT / ".venv-checkers"
SECRETS = ("POSTGRES_PASSWORD", "MINIO_PASSWORD", "INFERWORKS_KEY_PEPPER")
NODES = ("node-1", "node-2", "node-3")
GIVEN = {
    "store": {"url": "postgresql://inferworks@postgres.example/inferworks"},
    "lake": {"url": "s3://bucket/inferworks"},
}
"""Values that a person must choose."""


def compose() -> dict[str, Any]:
    """The compose file."""
    found: dict[str, Any] = yaml.safe_load((SCALE_OUT / "compose.yaml").read_text())
    return found


def values() -> dict[str, Any]:
    """The values of the chart as they are by default."""
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return found


def schema() -> dict[str, Any]:
    """The schema of the values."""
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return found


def image(what: str) -> str:
    """One thing that the Dockerfile says of the image that is run."""
    found = re.search(what, (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    assert found, what
    return found[1]


PORT = image(r"^EXPOSE (\d+)$")


def said(command: list[str | Path], **options: Any) -> str:
    """Run a tool that must accept what it is given; its output."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- containers on one machine


def test_every_part_that_is_named_is_there() -> None:
    """Services, networks and volumes; images of a version; files that are mounted."""
    found = compose()
    for name, service in found["services"].items():
        assert set(service.get("depends_on", {})) <= set(found["services"]), name
        assert set(service["networks"]) <= set(found["networks"]), name
        assert service["image"] == "inferworks" or re.search(r":[\w.-]*\d", service["image"]), name
        assert "latest" not in service["image"], name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (SCALE_OUT / source).exists(), volume
            else:
                assert source in found["volumes"], volume
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} is open to others"
        for need in service.get("depends_on", {}).values():
            assert need["condition"] in {"service_healthy", "service_completed_successfully"}
    for name in ("postgres", "minio"):
        assert found["services"][name]["healthcheck"]["test"][0] == "CMD"


def test_each_node_is_alike_but_for_its_name_and_its_disk() -> None:
    """A name of its own, since usage goes by it; closed as the image alone is."""
    services = compose()["services"]
    single = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]["gateway"]
    for name in NODES:
        node = services[name]
        assert node["environment"]["INFERWORKS_ENGINE_NODE"] == name
        assert f"{name}:/var/lib/inferworks" in node["volumes"]
        for closed in ("user", "read_only", "cap_drop", "security_opt", "tmpfs", "ulimits"):
            assert node[closed] == single[closed], closed
        assert "ports" not in node, "clients come by the load balancer"
    alike = [
        {k: v for k, v in services[name]["environment"].items() if k != "INFERWORKS_ENGINE_NODE"}
        for name in NODES
    ]
    assert alike[0] == alike[1] == alike[2]


def test_no_secret_is_written_down_and_each_is_asked_for() -> None:
    """A start without one is refused, and the page says how to make them."""
    text = (SCALE_OUT / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?see docs/scale-out\.md\}", text))
    assert asked == set(SECRETS)
    assert not re.findall(r"(?<!\$)\$\{(?!\w+:\?)", text), "one that may be missing"
    for name, value in re.findall(
        r"^\s+(\w*(?:PASSWORD|SECRET|PEPPER)\w*): (.+)$", text, re.MULTILINE
    ):
        assert value.startswith("${"), name
    page = (ROOT / "docs" / "scale-out.md").read_text()
    assert all(f"{name}=$(openssl rand -hex" in page for name in SECRETS)
    assert "secrets.env" in (ROOT / ".gitignore").read_text().split()


def configured(environment: Mapping[str, str]) -> Config:
    """The configuration of a node, as its start reads it."""
    return load(SCALE_OUT / "etc" / "inferworks.toml", environment)


def test_the_configuration_is_one_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a start reads it, with what each node is given; the check finds nothing wrong."""
    pytest.importorskip("psycopg")
    pytest.importorskip("obstore")
    for name, value in compose()["services"]["node-1"]["environment"].items():
        monkeypatch.setenv(name, "x" * 64 if value.startswith("$") else value)
    checked = run("config", "check", "--config", SCALE_OUT / "etc" / "inferworks.toml")
    assert checked.exit_code == 0
    config = configured({"INFERWORKS_ENGINE_NODE": "node-1"})
    assert config.engine.node == "node-1"
    assert config.store.url == "postgresql://inferworks@postgres/inferworks"
    assert config.lake.url.startswith("s3://inferworks/")
    assert config.gateway.key_pepper == "env:INFERWORKS_KEY_PEPPER"
    stop_s = config.gateway.drain_wait_s + config.gateway.drain_s
    for name in NODES:
        assert int(compose()["services"][name]["stop_grace_period"].removesuffix("s")) > stop_s


def test_the_load_balancer_knows_every_node_and_asks_whether_it_is_ready() -> None:
    """One that stops is noticed before it takes no more calls, and no call is sent twice."""
    text = (SCALE_OUT / "haproxy.cfg").read_text()
    assert re.findall(r"^    server (\S+) (\S+)", text, re.MULTILINE) == [
        (name, f"{name}:{PORT}") for name in NODES
    ]
    assert "option httpchk GET /readyz" in text
    [[every, fall]] = re.findall(r"check inter (\d+)s fall (\d+)", text)
    assert int(every) * int(fall) < configured({}).gateway.drain_wait_s
    assert re.findall(r"retry-on (.+)", text) == ["conn-failure"]
    [bound] = re.findall(r"^    bind :(\d+)$", text, re.MULTILINE)
    assert f"127.0.0.1:8080:{bound}" in compose()["services"]["balancer"]["ports"]


def test_haproxy_accepts_its_configuration(tmp_path: Path) -> None:
    """The file is read as haproxy reads it, where that is installed, with nodes that can be found."""
    if shutil.which("haproxy") is None:
        pytest.skip("there is no haproxy")
    text = (SCALE_OUT / "haproxy.cfg").read_text()
    path = tmp_path / "haproxy.cfg"
    path.write_text(re.sub(r"node-\d:", "127.0.0.1:", text))
    said(["haproxy", "-c", "-f", path])


def test_compose_accepts_the_file(tmp_path: Path) -> None:
    """The file is read as Docker reads it, where Docker can, and refused without its secrets."""
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run(
            [docker, "compose", "version"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("there is no docker compose")
    secrets = tmp_path / "secrets.env"
    secrets.write_text("".join(f"{name}=x\n" for name in SECRETS))
    command: list[str | Path] = [docker, "compose", "--file", SCALE_OUT / "compose.yaml"]
    said([*command, "--env-file", secrets, "config", "--quiet"])
    refused = subprocess.run([*command, "config"], capture_output=True, text=True, check=False)
    assert "see docs/scale-out.md" in refused.stderr


# --- the chart


def leaves(tree: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """The names of all values, with dots."""
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}"


def templates() -> str:
    """All templates of the chart."""
    return "".join(path.read_text() for path in sorted((CHART / "templates").iterdir()))


def test_every_value_is_used_and_every_one_that_is_used_is_there() -> None:
    """A name that is misspelt would be empty, in silence."""
    used = set(re.findall(r"\.Values\.([\w.]+\w)", templates()))
    there = set(leaves(values()))
    for name in used:
        assert any(one == name or one.startswith(f"{name}.") for one in there), name
    for name in there:
        assert any(name == one or name.startswith(f"{one}.") for one in used), name


def test_the_schema_knows_exactly_the_values() -> None:
    """By default they are right, but for the two that a person must choose."""

    def same(part: Mapping[str, Any], tree: Mapping[str, Any], where: str = "") -> None:
        assert part["additionalProperties"] is False, where
        names = set(part["properties"]) - {"global"}
        assert names == set(tree), where
        assert set(part.get("required", ())) <= names
        for name, inner in part["properties"].items():
            if "properties" in inner and isinstance(tree.get(name), dict):
                same(inner, tree[name], f"{where}.{name}")

    same(schema(), values())
    validator = jsonschema_rs.validator_for(schema())
    wrong = {"/".join(map(str, error.instance_path)) for error in validator.iter_errors(values())}
    assert wrong == {"store/url", "lake/url"}
    assert validator.is_valid({**values(), **GIVEN})


@pytest.mark.parametrize(
    "change",
    [
        {"store": {"url": "postgresql://inferworks:secret@postgres/inferworks"}},
        {"store": {"url": "mysql://inferworks@mysql/inferworks"}},
        {"lake": {"url": "/var/lib/lake"}},
        {"replicas": 0},
        {"replica": 3},
        {"secret": ""},
    ],
)
def test_the_schema_refuses_what_cannot_be_meant(change: dict[str, Any]) -> None:
    """Passwords in a URL, a lake that only one node has, and misspelt names."""
    assert not jsonschema_rs.is_valid(schema(), {**values(), **GIVEN, **change})


def test_the_chart_is_of_this_version_and_of_the_image() -> None:
    """Version, port, user and the place of the data are those of the Dockerfile."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    text = (CHART / "templates" / "statefulset.yaml").read_text()
    assert f"containerPort: {PORT}" in text
    user, group = image(r"^USER (\d+:\d+)$").split(":")
    assert f"runAsUser: {user}" in text
    assert f"fsGroup: {group}" in text
    data, configuration = image(r"^VOLUME (\S+)$"), image(r"^WORKDIR (/etc/.+)$")
    assert f"mountPath: {data}\n" in text
    assert f"mountPath: {configuration}\n" in text


def test_the_configuration_in_the_chart_is_one_that_there_is(tmp_path: Path) -> None:
    """With the settings that the chart makes by the environment."""
    path = tmp_path / "inferworks.toml"
    path.write_text(values()["config"])
    names = set(re.findall(r"name: (INFERWORKS_\w+)", templates()))
    given = {
        "INFERWORKS_ENGINE_NODE": "gateways-0",
        "INFERWORKS_STORE_URL": GIVEN["store"]["url"],
        "INFERWORKS_LAKE_URL": GIVEN["lake"]["url"],
        "INFERWORKS_GATEWAY_DRAIN_WAIT_S": "10",
        "INFERWORKS_GATEWAY_DRAIN_S": "60",
        "INFERWORKS_OBSERVE_METRICS_LISTEN": "0.0.0.0:9464",
    }
    assert names == set(given)
    config = load(path, given)
    assert (config.engine.node, config.gateway.workers) == ("gateways-0", 2)
    assert config.gateway.drain_s == 60


@cache
def rendered(changes: str) -> dict[str, Any]:
    """Findings of Helm and Kubernetes about the chart with these changes of its values, as JSON."""
    interpreter = CHECKERS / "helm" / "bin" / "python"
    if not interpreter.exists():
        log = CHECKERS / "helm.log"
        lines = [
            line for line in (log.read_text() if log.exists() else "").split("\n") if line.strip()
        ]
        pytest.skip(f"there is no helm: {lines[-1] if lines else 'nobody has run make checkers'}")
    script = ROOT / "tests" / "support" / "chart_checker.py"
    given = json.dumps({**GIVEN, **json.loads(changes)})
    found: dict[str, Any] = json.loads(said([interpreter, script, CHART], input=given))
    return found


def parts(**changes: Any) -> dict[str, dict[str, Any]]:
    """The objects that the chart makes, by kind and name."""
    found = rendered(json.dumps(changes))
    objects = [
        part
        for name, text in found["files"].items()
        if name.endswith(".yaml")
        for part in yaml.safe_load_all(text)
        if part
    ]
    return {f"{part['kind']}/{part['metadata']['name']}": part for part in objects}


EVERYTHING: dict[str, Any] = {
    "image": {"tag": "1", "pullSecrets": [{"name": "registry"}]},
    "env": {"AWS_REGION": "eu-1"},
    "storage": {"className": "ssd"},
    "service": {"type": "LoadBalancer", "port": 8443, "annotations": {"a": "b"}},
    "serviceAccount": {"annotations": {"role": "r"}},
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "networkPolicy": {
        "from": [{"podSelector": {}}],
        "scrapeFrom": [{"namespaceSelector": {}}],
        "egress": [{"ports": [{"port": 9000}]}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
}
"""Values of which each changes what is made."""
NOTHING: dict[str, Any] = {
    "networkPolicy": {"enabled": False},
    "podDisruptionBudget": {"enabled": False},
}


@pytest.mark.parametrize("changes", [{}, NOTHING, EVERYTHING], ids=["default", "less", "more"])
@pytest.mark.slow
def test_helm_and_kubernetes_accept_what_the_chart_makes(changes: dict[str, Any]) -> None:
    """`helm lint` has no error or warning, and each object is one of its kind, no field unknown."""
    found = rendered(json.dumps(changes))
    assert found["wrong"] == []
    worse = [one for one in found["lint"]["messages"] if one["severity"] > 1]
    assert (worse, found["lint"]["errors"]) == ([], [])
    assert found["files"]


@pytest.mark.slow
def test_helm_refuses_values_that_cannot_be_meant() -> None:
    """By the schema, in words that name the value."""
    [wrong] = rendered(json.dumps({"lake": {"url": "/var/lib/lake"}}))["wrong"]
    assert "/lake/url" in wrong


@pytest.mark.slow
def test_objects_of_the_chart_find_each_other() -> None:
    """Selectors find the pods and nothing else, and names that are used are there."""
    found = parts(serviceMonitor={"enabled": True})
    name = "gateways-inferworks"
    nodes = found[f"StatefulSet/{name}"]["spec"]
    pod = nodes["template"]
    labels = pod["metadata"]["labels"].items()
    selectors = [
        nodes["selector"]["matchLabels"],
        found[f"Service/{name}"]["spec"]["selector"],
        found[f"Service/{name}-nodes"]["spec"]["selector"],
        found[f"PodDisruptionBudget/{name}"]["spec"]["selector"]["matchLabels"],
        found[f"NetworkPolicy/{name}"]["spec"]["podSelector"]["matchLabels"],
        pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels and selector == selectors[0] for selector in selectors)
    assert nodes["serviceName"] == f"{name}-nodes"
    headless = found[f"Service/{name}-nodes"]
    assert headless["spec"]["clusterIP"] == "None"
    monitor = found[f"ServiceMonitor/{name}"]["spec"]["selector"]["matchLabels"].items()
    assert monitor <= headless["metadata"]["labels"].items()
    assert not monitor <= found[f"Service/{name}"]["metadata"]["labels"].items(), "counted twice"
    [container] = pod["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    for service in (headless, found[f"Service/{name}"]):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]} | {
        claim["metadata"]["name"] for claim in nodes["volumeClaimTemplates"]
    }
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert pod["spec"]["serviceAccountName"] == found[f"ServiceAccount/{name}"]["metadata"]["name"]
    configuration = next(v for v in pod["spec"]["volumes"] if v["name"] == "config")["configMap"]
    assert "inferworks.toml" in found[f"ConfigMap/{configuration['name']}"]["data"]


@pytest.mark.slow
def test_pods_are_closed_and_stop_in_time() -> None:
    """No root, nothing to write but the data, no capability, no token; time to finish calls."""
    pod = parts()["StatefulSet/gateways-inferworks"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    drain = values()["drain"]
    assert pod["terminationGracePeriodSeconds"] > drain["wait"] + drain["calls"]
    ready = container["readinessProbe"]
    assert ready["httpGet"]["path"] == "/readyz"
    assert ready["periodSeconds"] * ready["failureThreshold"] < drain["wait"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    kinds = {one.split("/")[0] for one in parts()}
    assert "Secret" not in kinds, "no secret passes through values"


def test_commands_that_are_shown_are_there() -> None:
    """In the notes of the chart and on the page."""
    shown = (CHART / "templates" / "NOTES.txt").read_text() + (
        ROOT / "docs" / "scale-out.md"
    ).read_text()
    commands = re.findall(r"(?:-- |node-1 |`|run )inferworks ([a-z]+)", shown)
    assert len(commands) > 4
    assert set(commands) <= set(COMMANDS)
