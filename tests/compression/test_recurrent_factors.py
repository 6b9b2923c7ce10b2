"""All weights of recurrent layers as two factors: the file is smaller, the network computes what it computed."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from netwright.compression.factors import plan_factors
from netwright.compression.forms.factored import Factored
from netwright.compression.forms.sparse import Sparse
from netwright.compression.model import Model
from netwright.compression.passes.low_rank import LowRank
from netwright.compression.passes.quantize import Quantize
from netwright.compression.passes.quantize_weights import QuantizeWeights
from netwright.compression.passes.structured_prune import StructuredPrune
from netwright.compression.planning import figures_of, plan_passes
from netwright.compression.proof import outputs
from netwright.core.errors import CompressionError
from netwright.export.onnx_file import graph_cost
from netwright.export.onnx_runtime import Session
from netwright.export.recurrent_factors import factors_of, rank_of
from netwright.export.to_onnx import export_onnx

CASES = list(product((nn.RNN, nn.LSTM, nn.GRU), (False, True), (1, 2, 3)))
HIDDEN = 24


class Reader(nn.Module):
    """Rows of the small digits into a recurrent layer whose outputs, and maybe last states, are read."""

    def __init__(
        self, kind: type[nn.RNNBase], both: bool = False, layers: int = 1, *, hidden: int = HIDDEN, states: bool = True
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.states = states
        self.recurrent = kind(8, hidden, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(2 * hidden if both else hidden, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, last = self.recurrent(x)
        found = self.head(steps.mean(1))
        last = last[0] if isinstance(last, tuple) else last
        return found + last.mean((0, 2))[:, None] if self.states else found


def largest_difference(path: Path, module: nn.Module) -> float:
    """Of a file from its module, at two batch sizes and two lengths."""
    session, found = Session(path), []
    for rows, steps in ((1, 8), (3, 8), (5, 13)):
        x = torch.randn(rows, steps, 8)
        found.append(float((torch.from_numpy(session(x.numpy())) - outputs(module, x)).abs().max()))
    return max(found)


@pytest.mark.parametrize(("kind", "both", "layers"), CASES)
def test_every_recurrent_layer_gets_smaller_and_computes_the_same(kind, both, layers, context_of, tmp_path) -> None:
    net, context = Reader(kind, both, layers, hidden=64).eval(), context_of("lstm")[1]
    done = LowRank(ratio=0.25, epochs=0).apply(Model(net), context)
    weights = dict(done.module.named_parameters())
    assert done.forms
    assert all(torch.linalg.matrix_rank(weights[name], rtol=1e-5) == form.rank for name, form in done.forms.items())
    files = {name: tmp_path / f"{name}.onnx" for name in ("before", "after")}
    for module, path in zip((net, done.module), files.values(), strict=True):
        export_onnx(module, path, example=context.example, dynamic_time=True)
    assert largest_difference(files["after"], done.module) < 1e-6
    costs = [graph_cost(path, sizes={"time": 8}) for path in files.values()]
    assert files["after"].stat().st_size < 0.8 * files["before"].stat().st_size
    assert costs[1].macs <= costs[0].macs
    assert costs[1].params == figures_of(done, context)["params"]
    nodes = onnx.load(files["after"]).graph.node
    assert sum(node.op_type == kind.__name__ for node in nodes) == layers


def thinned(kind: type[nn.RNNBase] = nn.LSTM, **options) -> Model:
    """A network whose state weights are of rank 4, and known to be."""
    net = Reader(kind, **options).eval()
    weight = net.recurrent.weight_hh_l0
    with torch.no_grad():
        weight.copy_(torch.randn(len(weight), 4) @ torch.randn(4, weight.shape[1]) / 10)
    return Model(net).with_module(net, forms={"recurrent.weight_hh_l0": Factored(rank=4)})


def test_training_moves_the_factors_and_keeps_the_rank(context_of) -> None:
    model, context = thinned(), context_of("lstm", epochs=2)[1]
    trained = context.fine_tune(model.module, purpose="test", forms=model.forms, distill=False)
    before, after = (one.recurrent.weight_hh_l0.detach() for one in (model.module, trained))
    assert (after - before).norm() > 0.01 * before.norm()
    assert rank_of(after.numpy()) == 4
    assert set(model.with_module(trained).forms) == {"recurrent.weight_hh_l0"}


def test_the_factors_gradient_is_that_of_their_product() -> None:
    torch.manual_seed(0)
    weight, wanted = torch.randn(12, 3) @ torch.randn(3, 8), torch.randn(12, 8)
    keeper = Factored(rank=3).keeper(weight)
    left, right = (one.detach().clone().requires_grad_() for one in keeper.parameters())
    ((left @ right) * wanted).sum().backward()
    assert not keeper.gradient(wanted, weight).any()
    for one, other in zip(keeper.parameters(), (left, right), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-5)
    assert torch.allclose(keeper.value(weight), weight, atol=1e-5)


@pytest.mark.parametrize("first", ["low_rank", "structured_prune"])
def test_units_are_removed_exactly_before_and_after(first: str, context_of, tmp_path) -> None:
    context = context_of("lstm")[1]
    units, factors = StructuredPrune(ratio=0.5, epochs=0), LowRank(ratio=0.25, epochs=0)
    model = Model(Reader(nn.GRU, True, 2, hidden=32, states=False).eval())
    for one in (factors, units) if first == "low_rank" else (units, factors):
        model = one.apply(model, context)
    assert {layer.hidden_size for layer in model.module.modules() if isinstance(layer, nn.GRU)} == {16}
    assert model.forms
    export_onnx(model.module, tmp_path / "m.onnx", example=context.example, dynamic_time=True)
    assert largest_difference(tmp_path / "m.onnx", model.module) < 1e-6
    assert graph_cost(tmp_path / "m.onnx", sizes={"time": 8}).params == figures_of(model, context)["params"]


@pytest.mark.parametrize(
    "one",
    [QuantizeWeights(bits=8), Quantize(mode="static"), Quantize(mode="dynamic")],
    ids=["stored", "static", "dynamic"],
)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_factors_stay_in_files_of_integers(one, kind, context_of) -> None:
    model, context = thinned(kind), context_of("lstm")[1]
    cost = graph_cost(one.apply(model, context).file)
    dense = kind is nn.LSTM and one.__class__ is Quantize and one.mode == "dynamic"
    plain = figures_of(Model(model.module), context)
    assert cost.params == plain["params"] - (
        0 if dense else len(model.module.recurrent.weight_hh_l0) * (HIDDEN - 4) - 4 * HIDDEN
    )
    assert cost.macs == plain["macs"]
    assert cost.peak_activation_bytes < 4 * 4 * HIDDEN * HIDDEN


def test_the_dry_run_counts_factors(context_of) -> None:
    context = context_of("lstm")[1]
    model = Model(Reader(nn.GRU, True, 2).eval())
    planned = plan_passes(model, [LowRank(ratio=0.25)], context)[-1]
    done = LowRank(ratio=0.25, epochs=0).apply(model, context)
    assert planned.figures == figures_of(done, context)
    assert planned.figures["params"] < 0.7 * figures_of(model, context)["params"]
    assert planned.figures["macs"] <= figures_of(model, context)["macs"]


@pytest.mark.parametrize(
    "rule", [{"energy": 0.5}, {"ratio": 0.25}, {"vbmf": True}, {"budget": 0.6, "budget_of": "params"}]
)
def test_every_rule_gives_state_weights_a_rank(rule: dict, context_of) -> None:
    net = thinned(nn.GRU, hidden=48).module
    with torch.no_grad():
        net.recurrent.weight_hh_l0 += 0.001 * torch.randn_like(net.recurrent.weight_hh_l0)
    (plan, *_) = plan_factors(net, context_of("lstm")[1].example_tensor(), LowRank(**rule))
    assert dict(plan.inside)["weight_hh_l0"] <= 16
    assert "weight_hh_l0 of rank" in plan.reason
    assert "in the file" in plan.reason


def test_learned_ranks_are_those_of_the_state_weights_too(context_of) -> None:
    context = context_of("lstm", epochs=2)[1]
    done = LowRank(learned=2.0, learn_epochs=2, epochs=0, distill=False).apply(Model(Reader(nn.GRU).eval()), context)
    assert {name: form.rank < HIDDEN for name, form in done.forms.items()} == {"recurrent.1.weight_hh_l0": True}
    errors = [n.reason.split("weights ")[1] for n in done.notes if n.layer == "recurrent"]
    assert all(float(error) < 0.01 for error in errors)


def test_what_only_makes_the_file_smaller_is_left_where_latency_is_measured(context_of) -> None:
    model, context = thinned(nn.GRU, hidden=48), context_of("lstm")[1]
    with pytest.raises(CompressionError, match="smaller, but not faster"):
        LowRank(energy=0.9, measure_latency=True, epochs=0).apply(model, context)


def test_weights_that_an_earlier_pass_gave_a_form_are_left(context_of) -> None:
    model, context = thinned(nn.GRU), context_of("lstm")[1]
    with torch.no_grad():
        model.module.recurrent.weight_hh_l0[::2] = 0
    sparse = Model(model.module).with_module(model.module, forms={"recurrent.weight_hh_l0": Sparse()})
    (verdict, *_) = LowRank(ratio=0.25).check(sparse, context)
    assert "weight_hh_l0" not in verdict.reason


def test_matrices_are_factored_where_that_takes_fewer_numbers() -> None:
    random = np.random.default_rng(0)
    full = random.standard_normal((2, 40, 20)).astype(np.float32)
    low = (random.standard_normal((2, 40, 5)) @ random.standard_normal((2, 5, 20))).astype(np.float32)
    assert rank_of(full) == 20
    assert rank_of(low) == 5
    assert factors_of(full) is None
    left, right = factors_of(low)
    assert left.shape == (2, 40, 5)
    assert np.abs(left @ right - low).max() < 1e-5
    assert rank_of(np.full((4, 3), np.nan, np.float32)) == 3
    sparse = np.zeros((40, 20), np.float32)
    sparse[:2, :2] = 1
    assert factors_of(sparse) is None, "four values are fewer than two factors of rank one"
