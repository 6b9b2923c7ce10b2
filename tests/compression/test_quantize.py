"""Quantization: the file is what was promised, coverage is told, nothing covered is an error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from compression_nets import Conv, Lin, Net, traced
from torch import nn

from netwright.compression.model import Model
from netwright.compression.passes.quantize import Quantize
from netwright.compression.recipe import Recipe, run_recipe
from netwright.compression.store import FolderStore
from netwright.core.errors import CompressionError
from netwright.core.files import file_hash
from netwright.export.onnx_runtime import Session
from netwright.export.scoring import score_file


def test_the_file_answers_like_the_module_and_resumes(context_of, tmp_path) -> None:
    net, context = context_of("plain_cnn", epochs=6)
    trained = context.fine_tune(net, purpose="train", distill=False)

    def measure(model: Model, stage: str, before: object) -> dict[str, object]:
        return {"size_bytes": model.file.stat().st_size if model.file else 10**9, "accuracy": None}

    store, recipe = FolderStore(tmp_path / "stages"), Recipe(passes=("quantize",))
    result = run_recipe(Model(trained), recipe, context, measure, store=store)
    again = run_recipe(Model(trained), recipe, context, measure, store=store)
    stage = result.stages[1]
    assert stage.kept
    assert stage.notes[0].reason.startswith("static: ")
    assert again.stages[1].resumed
    assert file_hash(again.model.file) == file_hash(result.model.file)
    with torch.no_grad():
        wanted = trained(torch.from_numpy(context.calibration)).argmax(1).numpy()
    found = Session(again.model.file)(context.calibration).argmax(1)
    assert (wanted == found).mean() > 0.95


def test_lstm_is_quantized_dynamically(context_of) -> None:
    net, context = context_of("lstm")
    done = Quantize().apply(Model(net), context)
    assert done.notes[0].reason.startswith("dynamic: ")


def test_a_file_whose_ranges_are_found_in_use_is_scored_one_sample_at_a_time(context_of) -> None:
    net, context = context_of("mlp")
    split = context.task.data().validation
    dynamic = Session(Quantize(mode="dynamic").apply(Model(net), context).file)
    static = Session(Quantize(mode="static").apply(Model(net), context).file)
    assert (dynamic.batch_matters, static.batch_matters) == (True, False)
    inputs = context.task.data().preprocessing(split.inputs)
    alone = np.concatenate([dynamic(inputs[i : i + 1]) for i in range(len(inputs))])
    assert np.abs(alone - dynamic(inputs)).max() > 1e-6, "its outputs depend on what else is in the batch"
    assert score_file(dynamic, context.task, split) == dict(context.task.score(alone, split.targets))


def test_nothing_quantized_is_an_error(context_of) -> None:
    _, context = context_of("lstm")
    net = traced(Net(lambda s, x: s.head(s.rnn(x)[0][:, -1]), rnn=nn.GRU(8, 24, batch_first=True), head=Lin(24, 10)))
    with pytest.raises(CompressionError, match="no parameter could be quantized"):
        Quantize(mode="static", exclude=("head",)).apply(Model(net), context)


def test_a_file_is_not_quantized_twice(context_of, tmp_path) -> None:
    net, context = context_of("mlp")
    model = Model(net, file=tmp_path / "model.onnx")
    with pytest.raises(CompressionError, match="already has a file"):
        Quantize().apply(model, context)
    assert not Quantize().check(model, context)[0].applies


def test_layers_that_cost_the_score_stay_in_float(context_of) -> None:
    net, context = context_of("mlp", epochs=60)
    trained = context.fine_tune(net, purpose="train", distill=False)
    with torch.no_grad():
        # one large weight, of a unit that stays silent, leaves nothing of the layer's others in 8 bits
        trained[4].weight[0, 0], trained[4].bias[0] = 3000.0, -1e6
    settings = {"per_channel": False, "score_samples": 200}
    whole = Quantize(**settings).apply(Model(trained), context)
    careful = Quantize(**settings, max_drop=0.05).apply(Model(trained), context)
    left = [note for note in careful.notes if note.verdict == "left alone"]
    assert "4" in {note.layer for note in left}
    assert "1" not in {note.layer for note in left}
    assert not [note for note in whole.notes if note.verdict == "left alone"]
    costs = [note for note in careful.notes if note.verdict == "measured"]
    assert {note.layer for note in costs} == {"1", "4", "6"}
    assert {n.layer for n in costs if n.reason.endswith("; left")} == {note.layer for note in left}


def test_every_layer_is_accounted_for(context_of) -> None:
    net, context = context_of("plain_cnn")
    done = Quantize(exclude=("two",)).apply(Model(net), context)
    by_layer = {note.layer: note for note in done.notes[1:]}
    assert {name: note.verdict for name, note in by_layer.items()} == {
        "one": "quantized",
        "two": "left alone",
        "head": "quantized",
    }
    assert by_layer["two"].reason == "excluded (4640 parameters, 294912 MACs)"


def test_a_recurrent_layer_without_a_kernel_is_named() -> None:
    net = traced(Net(lambda s, x: s.head(s.rnn(x)[0][:, -1]), rnn=nn.GRU(8, 24, batch_first=True), head=Lin(24, 10)))
    verdicts = {verdict.layer: verdict for verdict in Quantize().check(Model(net), None)}
    assert not verdicts["rnn"].applies
    assert verdicts["rnn"].reason == "the runtime has no 8-bit kernel for GRU; quantize_weights stores it in 8 bits"


def test_a_plan_says_that_vectors_of_words_are_stored_in_8_bits() -> None:
    net = traced(Net(lambda s, x: s.head(s.words(x.long()).mean(1)), words=nn.Embedding(50, 16), head=Lin(16, 10)))
    verdicts = {verdict.layer: verdict for verdict in Quantize().check(Model(net), None)}
    assert verdicts["words"].applies
    assert verdicts["words"].reason == "its vectors are stored in 8 bits"


def test_a_file_with_next_to_nothing_in_8_bits_is_no_result(context_of) -> None:
    """As with dynamic ranges of a convolutional network: its head alone is in 8 bits."""
    _, context = context_of("plain_cnn")
    body = [Conv(1, 64, 3), nn.ReLU(), Conv(64, 64, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = nn.Sequential(*body, Lin(64, 2)).eval()
    with pytest.raises(CompressionError, match=r"only 0\.3% of the parameters could be quantized \(0 and 1 more: conv"):
        Quantize(mode="dynamic").apply(Model(net), context)


def test_dynamic_ranges_say_that_convolutions_stay_in_float_and_what_to_do(context_of) -> None:
    net, context = context_of("plain_cnn")
    advice = "convolutions stay in float with dynamic ranges; mode: static computes them in 8 bits"
    one = Quantize(mode="dynamic")
    done = one.apply(Model(net), context)
    assert done.notes[0].reason.startswith("dynamic: ")
    assert done.notes[0].reason.endswith(f"; {advice}")
    verdicts = {verdict.layer: verdict for verdict in one.check(Model(net), context)}
    assert (verdicts["one"].applies, verdicts["one"].reason) == (False, advice)
    assert verdicts["head"].applies
    with pytest.raises(CompressionError, match=rf"could be quantized \(one and 1 more: {advice}; head: excluded"):
        Quantize(mode="dynamic", exclude=("head",)).apply(Model(net), context)
