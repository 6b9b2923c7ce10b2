"""The trained CIFAR-10 ResNet-20 made sparse and shared in one step, its file coded in every way, always without loss.

Rows: as trained; nine of ten weights of every layer zero; the others of 16 values for each layer besides. Sizes of the
ONNX file, of it under gzip -9 and xz -9, of the archive with Huffman codes alone and with all coders, and the
zeroth-order entropy of what the archive codes.
"""

from __future__ import annotations

import copy
import gzip
import lzma
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compressing._resnet import pretrained
from netwright.export.coding.archive import encode
from netwright.export.coding.onnx_regions import positive_zeros
from netwright.export.to_onnx import export_onnx

KEPT, VALUES = 0.1, 16


def measure(folder: Path) -> list[dict[str, Any]]:
    net = pretrained(20)
    sparse = _changed(net, shared=False)
    networks = {"as trained": net, "sparse": sparse, "sparse and shared": _changed(sparse, shared=True)}
    example = torch.zeros(2, 3, 32, 32).numpy()
    rows = []
    for name, network in networks.items():
        path = folder / "model.onnx"
        export_onnx(network.eval(), path, example=example)
        file = positive_zeros(path.read_bytes())
        made, huffman = encode(file), encode(file, coder="huffman")
        rows.append(
            {
                "name": name,
                "ratio": len(file) / len(made.data),
                "reference_bytes": len(file),
                "gzip_bytes": len(gzip.compress(file, 9)),
                "xz_bytes": len(lzma.compress(file, preset=9)),
                "huffman_bytes": len(huffman.data),
                "size_bytes": len(made.data),
                "entropy_bound_bytes": made.entropy_bound_bytes,
                **made.bytes_by_kind,
            }
        )
    return rows


def _changed(net: nn.Module, *, shared: bool) -> nn.Module:
    """A copy whose matrices and filters keep their largest weights, or have those at equal steps."""
    changed = copy.deepcopy(net)
    with torch.no_grad():
        for weight in (parameter for parameter in changed.parameters() if parameter.ndim > 1):
            if not shared:
                weight *= weight.abs() >= weight.abs().flatten().quantile(1 - KEPT)
                continue
            step = 2 * weight.abs().max() / (VALUES - 1)
            weight.copy_(torch.where(weight == 0, weight, ((weight / step).floor() + 0.5) * step))
    return changed
