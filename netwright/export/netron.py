"""Figures per layer beside an ONNX file, as an attachment that Netron shows with the model.

Drop the JSON file onto the open model in Netron: its sidebar then shows the metrics of the model and of every node.
The layout: `signature` is "netron:attachment"; `metadata` and `metrics` list entries of `kind` (model, node or tensor),
`target` (its name; empty for the model), `name`, `value` and `type`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netwright.core.files import write_atomic
from netwright.export.onnx_file import graph_cost, node_table

SIGNATURE = "netron:attachment"
ENDING = ".netron.json"


def attachment(
    path: Path, *, figures: Mapping[str, Any] | None = None, notes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The attachment of an ONNX file: parameters, MACs, output bytes and precision of every node that has any.

    `figures` are further metrics of the whole model, such as its accuracy; values that are None are left out. `notes`
    say, by node name, what was done to it. Raises ExportError when the file cannot be read.
    """
    cost = graph_cost(path)
    whole = {
        "parameters": cost.params,
        "macs": cost.macs,
        "peak_activation_bytes": cost.peak_activation_bytes,
        "size_bytes": path.stat().st_size,
        **{name: value for name, value in (figures or {}).items() if value is not None},
    }
    metrics = [_entry("model", "", name, value) for name, value in whole.items()]
    metadata = [_entry("node", node, "compression", text) for node, text in (notes or {}).items()]
    for row in node_table(path):
        share = row.macs / cost.macs if cost.macs else 0.0
        metrics += [
            _entry("node", row.name, "parameters", row.params),
            _entry("node", row.name, "macs", row.macs),
            _entry("node", row.name, "share_of_macs", round(share, 6)),
            _entry("node", row.name, "output_bytes", row.output_bytes),
        ]
        metadata.append(_entry("node", row.name, "precision", row.precision))
    return {"signature": SIGNATURE, "metadata": metadata, "metrics": metrics}


def write_attachment(
    path: Path, *, figures: Mapping[str, Any] | None = None, notes: Mapping[str, str] | None = None
) -> Path:
    """Write the attachment of `NAME.onnx` to `NAME.netron.json` beside it; gives its path."""
    target = path.with_name(path.name.removesuffix(".onnx") + ENDING)
    write_atomic(target, json.dumps(attachment(path, figures=figures, notes=notes), indent=1) + "\n")
    return target


def _entry(kind: str, target: str, name: str, value: Any) -> dict[str, Any]:
    form = {bool: "boolean", int: "int64", float: "float64"}.get(type(value), "string")
    return {"kind": kind, "target": target, "name": name, "value": value, "type": form}
