"""What `kubectl apply -k` would send, for every combination that people deploy."""

from __future__ import annotations

import copy
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import tools

Object = dict[str, Any]

# Name of a variant: what is rendered, and with which components.
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "base": ("base", ()),
    "dev": ("overlays/dev", ()),
    "prod": ("overlays/prod", ()),
    "dev with monitoring": ("overlays/dev", ("monitoring",)),
    "prod with monitoring": ("overlays/prod", ("monitoring",)),
    "base with an operator": ("base", ("monitoring-operator",)),
    "base with KEDA": ("base", ("keda",)),
    "prod with everything": ("overlays/prod", ("monitoring", "keda", "keda-tls", "open-meteo", "api-keys", "tracing")),
    "dev with everything": ("overlays/dev", ("monitoring", "keda", "open-meteo")),
}


@functools.lru_cache(maxsize=None)
def text(variant: str) -> str:
    """The rendered YAML."""
    target, components = VARIANTS[variant]
    kubectl = tools.kubectl()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("k8s", "deploy"):
            shutil.copytree(tools.ROOT / part, folder / part)
        # In place of what somebody here may really deploy with.
        for example in folder.rglob("*.example"):
            shutil.copy(example, example.with_suffix(""))
        if not components:
            return tools.run(kubectl, "kustomize", folder / "k8s" / target)
        both = folder / "both"
        both.mkdir()
        lines = ["resources:", f"  - ../k8s/{target}", "components:"]
        lines += [f"  - ../k8s/components/{component}" for component in components]
        (both / "kustomization.yaml").write_text("\n".join(lines))
        return tools.run(kubectl, "kustomize", both)


def objects(variant: str) -> list[Object]:
    """The rendered objects; each call gives its own."""
    return copy.deepcopy(_parsed(variant))


@functools.lru_cache(maxsize=None)
def _parsed(variant: str) -> list[Object]:
    yaml = tools.yaml()
    return list(yaml.load_all(text(variant), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def name(thing: Object) -> str:
    """How a person calls an object."""
    metadata = thing["metadata"]
    return f"{thing['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
