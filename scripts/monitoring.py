"""What deploy/ has for Prometheus and Grafana, as tests read it. Needs the pinned PyYAML."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Iterator, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "rules"
GRAFANA = ROOT / "deploy" / "grafana"

# A metric of ours or of Prometheus about us, with its matchers if it has any.
_SELECTOR = re.compile(r"\b((?:streamgate|http|process|weather)_\w+|up\b)(\{[^}]*\})?")


class Query(NamedTuple):
    """A query of a panel."""

    where: str
    expression: str
    legend: str


def load(path: Path) -> dict:
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def dashboards() -> dict[str, dict]:
    """Dashboards by the name of their file."""
    files = sorted((GRAFANA / "dashboards").glob("*.json"))
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in files}


def panels(dashboard: dict) -> Iterator[dict]:
    """Everything that shows data."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def queries() -> list[Query]:
    """Every query of every panel."""
    return [
        Query(f"{file}: {panel['title']}", target["expr"], target["legendFormat"])
        for file, dashboard in dashboards().items()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def alerts() -> list[dict]:
    """Every alert of every file of rules."""
    groups = (group for file in sorted(RULES.glob("*.yml")) for group in load(file)["groups"])
    return [rule for group in groups for rule in group["rules"]]


def selectors(expression: str) -> list[tuple[str, str]]:
    """The metrics of an expression, each with its matchers."""
    return [(name, matchers or "") for name, matchers in _SELECTOR.findall(expression)]
