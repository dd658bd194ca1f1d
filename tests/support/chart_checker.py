"""Render a Helm chart and check it by Helm's own rules and the schemas of Kubernetes.

Run by the interpreter of `.venv-checkers/helm`. It takes the chart's folder, and on standard input values
as JSON; it writes JSON: what `helm lint` finds, the rendered files, and what is wrong with them.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import helm_python
import kubernetes_validate
import yaml

LATEST = kubernetes_validate.latest_version()
OTHERS = {"monitoring.coreos.com/v1"}
"""API versions that are not Kubernetes' own."""


def main() -> None:
    """Check the chart and write what was found."""
    path, values = sys.argv[1], json.load(sys.stdin)
    found: dict[str, Any] = {"lint": helm_python.lint(path, values, strict=True), "wrong": []}
    with helm_python.Chart.load(path) as chart:
        try:
            found["files"] = chart.render(values, name="gateways", namespace="prod")
        except helm_python.HelmError as error:
            found |= {"files": {}, "wrong": [str(error)]}
    for name, text in found["files"].items():
        if not name.endswith(".yaml"):
            continue
        for part in filter(None, yaml.safe_load_all(text)):
            if part["apiVersion"] in OTHERS:
                continue
            try:
                kubernetes_validate.validate(part, LATEST, strict=True)
            except kubernetes_validate.ValidationError as error:
                found["wrong"].append(f"{name}: {error.message}")
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
