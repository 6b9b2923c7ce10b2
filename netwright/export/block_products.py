"""Linear layers in ONNX Runtime's own operator for 4-bit weights, MatMulNBits: the product is made of the integers.

Each output has a step for every block of inputs; the inputs of the layer are rounded to 8 bits, block by block, while
it runs. Other runtimes do not know the operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper, numpy_helper

from netwright.export.quantization import attribute
from netwright.export.weight_grid import integers, steps_of

DOMAIN = "com.microsoft"
BITS = 4
BLOCK = 32
_ROUNDED_INPUTS = 4
"""The operator's level of accuracy at which inputs have 8 bits; at the others it makes floats of the weights."""
_MIDDLE = 8
"""What stands for zero: integers are stored without a sign."""


@dataclass(frozen=True, slots=True)
class BlockProduct:
    """A Linear layer's weight [outputs, inputs] as integers with steps [outputs, blocks]."""

    name: str
    values: npt.NDArray[np.int8]
    steps: npt.NDArray[np.float32]
    inputs: int
    block: int
    relative_error: float

    @classmethod
    def of(cls, node: Any, tensor: Any, *, block: int) -> BlockProduct | None:
        """The product of a node with a weight, or None for a node that is no plain Linear layer."""
        weights = numpy_helper.to_array(tensor)
        if weights.ndim != 2 or node.op_type not in {"Gemm", "MatMul"} or node.input[1] != tensor.name:
            return None
        if node.op_type == "Gemm":
            plain = attribute(node, "alpha", 1.0) == 1.0 == attribute(node, "beta", 1.0)
            if not plain or attribute(node, "transA", 0):
                return None
        rows = weights if attribute(node, "transB", 0) else weights.T
        outputs, inputs = rows.shape
        count = -(-inputs // block)
        blocks = np.pad(rows, ((0, 0), (0, count * block - inputs))).reshape(-1, block)
        steps = steps_of(blocks, bits=BITS)
        values = integers(blocks, steps, bits=BITS)
        missed = np.linalg.norm(values * steps[:, None] - blocks) / max(float(np.linalg.norm(blocks)), 1e-30)
        return cls(tensor.name, values, steps.reshape(outputs, count), inputs, block, float(missed))

    @property
    def size_bytes(self) -> int:
        """What values and steps take in the file."""
        return self.values.size * BITS // 8 + self.steps.nbytes

    def put(self, model: Any, tensor: Any, node: Any) -> None:
        """Replace the weight by its integers, and make the node the operator that multiplies with them."""
        graph = model.graph
        whole, steps = f"{self.name}_integers", f"{self.name}_scale"
        outputs, count = self.steps.shape
        high_low = (self.values + _MIDDLE).astype(np.uint8).reshape(outputs, count, self.block // 2, 2)
        stored = high_low[..., 0] | high_low[..., 1] << BITS
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(stored, whole))
        graph.initializer.append(numpy_helper.from_array(self.steps.reshape(-1), steps))
        bias = list(node.input[2:3]) if node.op_type == "Gemm" else []
        made = helper.make_node(
            "MatMulNBits",
            [node.input[0], whole, steps, *(["", "", *bias] if bias and bias[0] else [])],
            list(node.output),
            name=node.name,
            domain=DOMAIN,
            K=self.inputs,
            N=outputs,
            bits=BITS,
            block_size=self.block,
            accuracy_level=_ROUNDED_INPUTS,
        )
        node.CopyFrom(made)
        if all(one.domain != DOMAIN for one in model.opset_import):
            model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
