"""Weight sharing: codebooks by k-means, zeros apart, bits per layer, values that train together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from netwright.compression.clustering import cluster
from netwright.compression.model import Model
from netwright.compression.passes.share_weights import ShareWeights
from netwright.compression.passes.unstructured_prune import UnstructuredPrune
from netwright.core.errors import ConfigurationError
from netwright.tasks.settings import Training


def distinct(tensor: torch.Tensor) -> int:
    values = tensor.detach()
    return len(values[values != 0].unique())


@pytest.mark.parametrize("start", ["linear", "density"])
def test_the_clusters_are_those_of_a_general_k_means(start: str) -> None:
    values = np.random.default_rng(0).standard_normal(2000)
    found = cluster(values, count=8, start=start, seed=0)
    if start == "linear":
        first = np.linspace(values.min(), values.max(), 8)
    else:
        first = np.quantile(np.sort(values), (np.arange(8) + 0.5) / 8)
    general = KMeans(8, init=first[:, None], n_init=1, tol=0, max_iter=1000).fit(values[:, None])
    assert np.square(values - found.values[found.places]).sum() == pytest.approx(general.inertia_, rel=1e-6)
    assert np.array_equal(found.places, np.argsort(np.argsort(general.cluster_centers_[:, 0]))[general.labels_])


def test_random_starts_depend_on_the_seed_only() -> None:
    values = np.random.default_rng(0).standard_normal(500)
    one, same, other = (cluster(values, count=4, start="random", seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.places, same.places)
    assert np.array_equal(one.values, same.values)
    assert len(other.values) == 4


def test_few_different_values_are_kept_exactly() -> None:
    values = np.array([0.5, -1.0, 0.5, 3.0], dtype=np.float32)
    found = cluster(values, count=8, start="linear", seed=0)
    assert np.array_equal(found.values[found.places], values)


def test_an_interval_without_entries_leaves_no_value() -> None:
    values = np.concatenate([np.linspace(-1, -0.9, 50), np.linspace(0.9, 1, 50)])
    found = cluster(values, count=16, start="linear", seed=0)
    assert len(found.values) == len(np.unique(found.places)) < 16


def test_values_train_together_and_zeros_stay(context_of) -> None:
    net, context = context_of("mlp", epochs=3)
    pruned = UnstructuredPrune(density=0.3).apply(Model(net), context)
    done = ShareWeights(bits=3, learning_rate=5e-3).apply(pruned, context)
    still = ShareWeights(bits=3, epochs=0).apply(pruned, context)
    for name in ("1.weight", "4.weight", "6.weight"):
        weight, first = done.module.get_parameter(name), still.module.get_parameter(name)
        assert distinct(weight) <= 8
        assert torch.equal(weight == 0, pruned.module.get_parameter(name) == 0)
        assert not torch.equal(weight, first)
        for value in first[first != 0].unique():
            assert distinct(weight[first == value]) == 1
    assert context.evaluate(done.module)["loss"] < context.evaluate(still.module)["loss"]
    assert {form.values for form in done.forms.values()} == {9}


def test_a_learning_rate_for_single_weights_suits_shared_ones(context_of) -> None:
    net, context = context_of("mlp", epochs=8)
    trained = context.fine_tune(net, purpose="train", distill=False, learning_rate=5e-3)
    plain = replace(context, original=trained, training=Training(epochs=2, optimizer="sgd", learning_rate=0.01))
    still = ShareWeights(bits=2, epochs=0).apply(Model(trained), plain)
    done = ShareWeights(bits=2).apply(Model(trained), plain)
    assert plain.evaluate(done.module)["loss"] < plain.evaluate(still.module)["loss"]


def test_bits_can_be_given_by_layer(context_of) -> None:
    net, context = context_of("lstm")
    one = ShareWeights(bits=4, layer_bits={"rnn": 2, "head.weight": 1}, ignore=("enter",))
    done = one.apply(Model(net), context)
    counts = {name: distinct(p) for name, p in done.module.named_parameters() if p.ndim > 1}
    assert counts["rnn.weight_ih_l0"] == counts["rnn.weight_hh_l0"] == 4
    assert counts["head.weight"] == 2
    assert 8 < counts["mid.weight"] <= 16
    assert counts["enter.weight"] > 100
    assert distinct(done.module.get_parameter("head.bias")) == 10
    whole = next(note for note in done.notes if not note.layer)
    assert "weight tensors hold at most 16 values besides zero; entropy_code writes them" in whole.reason


def test_biases_are_shared_on_request(context_of) -> None:
    net, context = context_of("plain_cnn")
    trained = context.fine_tune(net, purpose="train", distill=False)
    done = ShareWeights(bits=2, biases=True).apply(Model(trained), context)
    assert distinct(trained.get_parameter("two.bias")) == 32
    assert "put fold before this pass" in done.notes[0].reason  # it has a batch norm, which the export folds in
    assert all(distinct(parameter) <= 4 for parameter in done.module.parameters())


def test_values_that_are_all_zero_are_left_alone(context_of) -> None:
    net, context = context_of("plain_cnn")
    verdicts = {v.layer: v for v in ShareWeights(biases=True).check(Model(net), context)}
    assert not verdicts["norm.bias"].applies
    assert "zero" in verdicts["norm.bias"].reason


def test_layers_take_fewer_bits_where_that_costs_little(context_of) -> None:
    net, context = context_of("mlp", epochs=8)
    trained = context.fine_tune(net, purpose="train", distill=False, learning_rate=5e-3)
    free = ShareWeights(bits=6, layer_drop=1.0, epochs=0).apply(Model(trained), context)
    strict = ShareWeights(bits=6, layer_drop=0.0, epochs=0).apply(Model(trained), context)
    assert all(distinct(p) <= 2 for p in free.module.parameters() if p.ndim > 1)
    assert sum(distinct(p) for p in strict.module.parameters() if p.ndim > 1) > 6
    before = context.evaluate(trained)["accuracy"]
    fewer = [name for name in strict.forms if distinct(strict.module.get_parameter(name)) <= 2**5]
    assert fewer, "the others have the 6 bits that are the most"
    for name in fewer:
        alone = trained
        kept = alone.get_parameter(name).detach().clone()
        alone.get_parameter(name).data.copy_(strict.module.get_parameter(name))
        assert context.evaluate(alone)["accuracy"] >= before
        alone.get_parameter(name).data.copy_(kept)


def test_an_unknown_layer_is_a_mistake(context_of) -> None:
    net, context = context_of("lstm")
    with pytest.raises(ConfigurationError, match=r"layer_bits\.heat"):
        ShareWeights(layer_bits={"heat": 3}).check(Model(net), context)


def test_a_milder_pass_has_a_bit_more() -> None:
    assert ShareWeights(bits=3, layer_bits={"rnn": 5}).milder() == ShareWeights(bits=4, layer_bits={"rnn": 6})
    assert ShareWeights(bits=8).milder() is None
