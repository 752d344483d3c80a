"""Writes the manifests on record anew: `python -m tests.operator.golden`."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.operator.servers import OPTIONS, SPECS, server
from thv.operator.resources import manifests

for shape, spec in SPECS.items():
    made = manifests(server(**spec), OPTIONS)
    text = "---\n".join(yaml.safe_dump(manifest, sort_keys=False, width=120) for manifest in made)
    (Path(__file__).parent / f"{shape}.yaml").write_text(text)
