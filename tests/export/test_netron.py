"""The attachment for Netron says of each node what the node has."""

from __future__ import annotations

import json

import onnx
from export_networks import Exported

from netwright.export.netron import write_attachment
from netwright.export.onnx_file import graph_cost


def test_every_entry_names_a_node_of_the_file_and_sums_agree(exported: Exported) -> None:
    path = exported.file("separable")
    names = {node.name for node in onnx.load(path).graph.node}
    a_node = sorted(names)[0]
    written = write_attachment(path, figures={"accuracy": 0.5, "latency_ms": None}, notes={a_node: "pruned"})
    assert written == path.with_name("separable.netron.json")
    content = json.loads(written.read_text())
    assert content["signature"] == "netron:attachment"
    for entry in [*content["metadata"], *content["metrics"]]:
        assert set(entry) == {"kind", "target", "name", "value", "type"}
        assert entry["target"] in names if entry["kind"] == "node" else entry["target"] == ""
    cost = graph_cost(path)
    for name, total in (("parameters", cost.params), ("macs", cost.macs)):
        found = {e["kind"]: e for e in content["metrics"] if e["name"] == name}
        assert found["model"]["value"] == total
        assert sum(e["value"] for e in content["metrics"] if e["name"] == name and e["kind"] == "node") == total
    whole = {e["name"]: e["value"] for e in content["metrics"] if e["kind"] == "model"}
    assert whole["accuracy"] == 0.5
    assert "latency_ms" not in whole
    assert {"kind": "node", "target": a_node, "name": "compression", "value": "pruned", "type": "string"} in content[
        "metadata"
    ]
