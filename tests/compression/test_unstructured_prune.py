"""Unstructured pruning: exactly the wanted share stays, by every criterion, and training keeps it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netwright.compression.model import Model
from netwright.compression.passes.unstructured_prune import UnstructuredPrune
from netwright.compression.sparsity import Densities, choose, find_weights
from netwright.compression.sparsity_hooks import Admm, TighteningMasks
from netwright.compression.sparsity_sensitivity import by_sensitivity, to_total
from netwright.core.errors import CompressionError, ConfigurationError, InterruptedRunError
from netwright.core.plugins import build
from netwright.tasks.settings import Training
from netwright.tasks.training import fit

CRITERIA = ("magnitude", "movement", "snip", "admm")


def density(module: nn.Module, *names: str) -> float:
    tensors = [module.get_parameter(name) for name in names or find_weights(module).layers]
    return sum(int(t.count_nonzero()) for t in tensors) / sum(t.numel() for t in tensors)


@pytest.mark.parametrize("schedule", ["gradual", "one_shot"])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_wanted_share_stays_and_the_network_still_learns(context_of, criterion: str, schedule: str) -> None:
    net, context = context_of("mlp", epochs=4)
    one = UnstructuredPrune(density=0.2, criterion=criterion, schedule=schedule, every=1, learning_rate=5e-3)
    done = one.apply(Model(net), context)
    assert density(done.module) == pytest.approx(0.2, abs=1e-3)
    assert set(done.forms) == {"1.weight", "4.weight", "6.weight"}
    assert context.evaluate(done.module)["loss"] < context.evaluate(net)["loss"]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_look_ahead_shows_the_zeros_without_training(context_of, criterion: str) -> None:
    net, context = context_of("lstm")
    done = UnstructuredPrune(density=0.3, criterion=criterion).apply(Model(net), context.without_training())
    assert density(done.module) == pytest.approx(0.3, abs=1e-3)
    for name, new in done.module.named_parameters():
        old = net.get_parameter(name)
        assert torch.equal(new, old * (new != 0) if name in done.forms else old)


def test_recurrent_weights_are_pruned_and_biases_are_not(context_of) -> None:
    net, context = context_of("lstm")
    done = UnstructuredPrune(density=0.25, scope="layer").apply(Model(net), context)
    assert density(done.module, "rnn.weight_hh_l0") == pytest.approx(0.25, abs=1e-3)
    assert density(done.module, "rnn.weight_ih_l0") == pytest.approx(0.25, abs=1e-3)
    assert density(done.module, "rnn.bias_ih_l0", "rnn.bias_hh_l0", "head.bias") == 1.0


def test_layers_can_have_shares_of_their_own(context_of) -> None:
    net, context = context_of("mlp")
    one = UnstructuredPrune(density=0.1, densities={"1": 0.08, "6.weight": 0.5}, scope="layer", ignore=("4",))
    done = one.apply(Model(net), context)
    assert density(done.module, "1.weight") == pytest.approx(0.08, abs=1e-3)
    assert density(done.module, "6.weight") == pytest.approx(0.5, abs=1e-3)
    assert density(done.module, "4.weight") == 1.0
    assert "ignore" in next(n.reason for n in done.notes if n.layer == "4.weight")


@pytest.mark.parametrize("setting", [{"densities": {"heat": 0.5}}, {"ignore": ("heat",)}])
def test_an_unknown_layer_is_a_mistake_with_the_nearest_name(context_of, setting: dict[str, object]) -> None:
    net, context = context_of("lstm")
    with pytest.raises(ConfigurationError, match="did you mean 'head'"):
        UnstructuredPrune(**setting).apply(Model(net), context)


def test_weights_in_another_form_are_left_alone(context_of) -> None:
    net, context = context_of("mlp")
    shared = build("pass", {"kind": "share_weights", "bits": 2, "epochs": 0}).apply(Model(net), context)
    with pytest.raises(CompressionError, match="form shared"):
        UnstructuredPrune().apply(shared, context)


def test_more_is_pruned_from_what_was_pruned_before(context_of) -> None:
    net, context = context_of("mlp")
    first = UnstructuredPrune(density=0.5).apply(Model(net), context)
    second = UnstructuredPrune(density=0.2, epochs=2).apply(first, context)
    assert density(second.module) == pytest.approx(0.2, abs=1e-3)
    for name in second.forms:
        assert not (second.module.get_parameter(name)[first.module.get_parameter(name) == 0]).any()


SCORES = {"a": torch.tensor([[9.0, 8.0], [7.0, 6.0]]), "b": torch.tensor([[1.0, 2.0, 3.0, 0.5, 0.1, 0.2]])}


@pytest.mark.parametrize(
    ("densities", "kept"),
    [
        (Densities(0.5), {"a": 4, "b": 1}),
        (Densities(0.5, scope="layer"), {"a": 2, "b": 3}),
        (Densities(0.2, least=0.3), {"a": 1, "b": 2}),
        (Densities(0.5, {"a": 0.25}), {"a": 1, "b": 3}),
        (Densities(0.001), {"a": 1, "b": 1}),
    ],
)
def test_scopes_own_shares_and_floors(densities: Densities, kept: dict[str, int]) -> None:
    masks = choose(SCORES, densities)
    assert {name: int(mask.sum()) for name, mask in masks.items()} == kept
    for name, mask in masks.items():
        assert SCORES[name][mask].min() >= SCORES[name][~mask].max() if (~mask).any() else True


def test_lamp_does_not_mind_the_scale_of_a_layer() -> None:
    scores = {"a": SCORES["a"], "b": SCORES["b"]}
    scaled = {"a": SCORES["a"] * 1000, "b": SCORES["b"]}
    wanted = Densities(0.4, scope="lamp")
    one, other = choose(scores, wanted), choose(scaled, wanted)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_descent_is_cubic() -> None:
    start, end = Densities(1.0, {"a": 0.5}), Densities(0.1, {"a": 0.1})
    half = end.on_the_way(0.5, start)
    assert half.rest == pytest.approx(0.1 + 0.9 / 8)
    assert half.own["a"] == pytest.approx(0.1 + 0.4 / 8)
    assert end.on_the_way(1.0, start) == end
    assert end.on_the_way(0.0, start).rest == 1.0


def test_movement_keeps_what_training_pushes_away_from_zero() -> None:
    layer = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -1.0, 0.1]]))
    hook = TighteningMasks(Densities(1 / 3), ("weight",), rule="movement", ramp=1.0, every=1)
    hook.start(layer, epochs=1, steps=1)
    layer.weight.grad = torch.tensor([[0.5, -0.5, -2.0]])
    hook.gradients()
    hook.stepped()
    assert hook.masks["weight"].tolist() == [[False, False, True]]


def test_the_penalty_of_admm_pulls_small_weights_to_zero() -> None:
    layer = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -0.8, 0.2, -0.1]]))
    hook = Admm(Densities(0.5), ("weight",), penalty=2.0)
    hook.start(layer, epochs=1, steps=1)
    layer.weight.grad = torch.zeros(1, 4)
    hook.gradients()
    assert torch.allclose(layer.weight.grad, torch.tensor([[0.0, 0.0, 0.4, -0.2]]))
    hook.epoch_done(1)
    layer.weight.grad = torch.zeros(1, 4)
    hook.gradients()
    assert torch.allclose(layer.weight.grad, torch.tensor([[0.0, 0.0, 0.8, -0.4]]))


def test_training_with_the_penalty_of_admm_leaves_less_outside_the_wanted_share(context_of) -> None:
    left = []
    for penalty in (1e-6, 1.0):
        net, context = context_of("mlp")
        names = tuple(find_weights(net).layers)
        hook = Admm(Densities(0.3), names, penalty=penalty)
        fit(net, context.task, training=Training(epochs=10, learning_rate=5e-3, samples=256), seed=1, hooks=[hook])
        sizes = torch.cat([net.get_parameter(name).detach().abs().flatten() for name in names]).sort().values
        left.append(float(sizes[: int(0.7 * len(sizes))].sum() / sizes.sum()))
    assert left[1] < 0.8 * left[0]


@pytest.mark.parametrize("rule", ["magnitude", "movement", "admm"])
def test_a_training_cut_short_goes_on_exactly(context_of, tmp_path, rule: str) -> None:
    results = []
    for cut in (False, True):
        net, context = context_of("mlp")
        names = tuple(find_weights(net).layers)

        def hook(names=names):
            if rule == "admm":
                return Admm(Densities(0.2), names, penalty=0.01)
            return TighteningMasks(Densities(0.2), names, rule=rule, ramp=0.7, every=2)

        options = {
            "training": Training(epochs=4, samples=256),
            "seed": 1,
            "checkpoint": tmp_path / f"{cut}.safetensors",
        }
        if cut:

            def stop(row: dict[str, float]) -> bool:
                if row["epoch"] == 2:
                    raise InterruptedRunError("stop")
                return True

            with pytest.raises(InterruptedRunError):
                fit(net, context.task, on_epoch=stop, hooks=[hook()], **options)
            net, _ = context_of("mlp")
        fit(net, context.task, hooks=[hook()], **options)
        results.append(net.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_a_milder_pass_leaves_twice_as_many_weights() -> None:
    milder = UnstructuredPrune(density=0.1, densities={"1": 0.8}).milder()
    assert milder == UnstructuredPrune(density=0.2, densities={"1": 1.0})
    assert UnstructuredPrune(density=0.6).milder() is None


def test_a_layer_that_suffers_more_keeps_more(context_of) -> None:
    net, context = context_of("mlp")
    scores = {name: value.abs() for name, value in find_weights(net).entries(net).items()}
    frail = "4.weight"

    def loss(changed: nn.Module) -> float:
        return 0.0 if torch.equal(changed.get_parameter(frail), net.get_parameter(frail)) else 1.0

    found = by_sensitivity(net, scores, Densities(0.2), loss=loss, allowed=0.1)
    assert found.own[frail] > 0.4 > found.own["1.weight"] == found.own["6.weight"]
    done = UnstructuredPrune(density=0.2, scope="sensitivity").apply(Model(net), context.without_training())
    assert density(done.module) == pytest.approx(0.2, abs=0.01)


def test_tolerated_shares_are_brought_to_the_total() -> None:
    sizes = {"a": 1000, "b": 100}
    for wanted in (0.05, 0.2, 0.9):
        shares = to_total({"a": 0.1, "b": 0.5}, sizes, wanted)
        assert sum(sizes[name] * share for name, share in shares.items()) == pytest.approx(1100 * wanted)
        assert shares["a"] < shares["b"] <= 1
