"""Entropy coding: the archive gives back the file that is measured, and is what is handed over."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netwright.compression.model import Model
from netwright.compression.passes.entropy_code import EntropyCode
from netwright.compression.passes.quantize import Quantize
from netwright.compression.recipe import Recipe, run_recipe
from netwright.compression.store import FolderStore
from netwright.core.errors import CompressionError, ConfigurationError
from netwright.core.files import file_hash
from netwright.evaluation.latency import LatencyProtocol
from netwright.export.coding.archive import encode, read_archive
from netwright.export.onnx_runtime import Session
from netwright.export.timing import time_files
from netwright.export.to_onnx import export_onnx
from netwright.runs.stages import StageMeter, byte_figures


def _sparse(net: torch.nn.Module) -> torch.nn.Module:
    """The network with nine of ten weights zero and the others of 8 values."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim > 1:
                kept = parameter.abs() > parameter.abs().flatten().quantile(0.9)
                parameter.copy_(torch.round(parameter * 16) / 16 * kept)
    return net


def test_the_archive_gives_back_the_file_that_runs(context_of) -> None:
    net, context = context_of("mlp")
    net = _sparse(net)
    done = EntropyCode().apply(Model(net), context)
    assert read_archive(done.archive) == done.file.read_bytes()
    assert done.archive.stat().st_size < 0.2 * done.file.stat().st_size
    with torch.no_grad():
        wanted = net(torch.from_numpy(context.example)).numpy()
    np.testing.assert_allclose(Session(done.file)(context.example), wanted, atol=1e-5)


def test_notes_say_how_every_tensor_was_coded(context_of) -> None:
    net, context = context_of("mlp")
    notes = EntropyCode().apply(Model(_sparse(net)), context).notes
    assert "smaller than the file" in notes[0].reason
    assert any("codebook" in note.reason and "bits per value" in note.reason for note in notes[1:])


def test_a_quantized_file_is_coded_as_it_is(context_of) -> None:
    net, context = context_of("plain_cnn")
    quantized = Quantize().apply(Model(net), context)
    done = EntropyCode().apply(quantized, context)
    np.testing.assert_array_equal(Session(done.file)(context.example), Session(quantized.file)(context.example))
    assert done.archive.stat().st_size < quantized.file.stat().st_size


def test_huffman_alone_needs_more_bytes(context_of) -> None:
    net, context = context_of("mlp")
    net = _sparse(net)
    sizes = [EntropyCode(coder=c).apply(Model(net), context).archive.stat().st_size for c in ("auto", "huffman")]
    assert sizes[0] < sizes[1]


def test_a_stage_is_as_large_as_its_archive(context_of, tmp_path) -> None:
    net, context = context_of("mlp")
    net = _sparse(net)
    meter = StageMeter(context.task, tmp_path / "models", LatencyProtocol(pairs=4, seconds=0.1, warmup_seconds=0.1))
    store, recipe = FolderStore(tmp_path / "stages"), Recipe(passes=("entropy_code",))
    meter.begin(Model(net))
    result = run_recipe(Model(net), recipe, context, meter.measure, store=store)
    first, last = (stage.row for stage in result.stages)
    archive = tmp_path / last["archive"]
    assert last["size_bytes"] == last["coded_bytes"] == archive.stat().st_size == sum(last["bytes"].values())
    assert first["size_bytes"] == first["file_bytes"] > first["gzip_bytes"] > first["coded_bytes"]
    assert first["dense_bytes"] == 4 * first["params"]
    assert first["coded_bytes"] == last["size_bytes"], "what the table foretells is what the pass makes"
    assert result.stages[1].kept
    again = run_recipe(Model(net), recipe, context, meter.measure, store=store)
    assert again.stages[1].resumed
    assert file_hash(again.model.archive) == last["archive_sha256"]


def test_a_file_that_grew_is_kept_for_the_smaller_archive_in_the_end(context_of, tmp_path) -> None:
    _, context = context_of("plain_cnn")
    layers = [torch.nn.Conv2d(1, 20, 3), torch.nn.ReLU(), torch.nn.Conv2d(20, 20, 1), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(20, 10))

    def bytes_of(model: Model, stage: str, before: object) -> dict[str, object]:
        del before
        path = model.file or tmp_path / f"{stage}.onnx"
        if model.file is None:
            export_onnx(model.module.eval(), path, example=context.example)
        return byte_figures(path, model.coded, params=1)

    stages = {}
    for passes in (("quantize",), ("quantize", "entropy_code")):
        result = run_recipe(Model(net), Recipe(passes=passes), context, bytes_of)
        first, stages[passes], *_ = result.stages
        assert stages[passes].row["size_bytes"] > first.row["size_bytes"]
        assert stages[passes].row["coded_bytes"] < first.row["coded_bytes"]
    assert [stage.kept for stage in stages.values()] == [False, True]
    assert result.row["size_bytes"] == stages[passes].row["coded_bytes"]


def test_the_account_is_that_of_the_archive_however_it_was_coded(context_of) -> None:
    net, context = context_of("mlp")
    done = EntropyCode(coder="huffman").apply(Model(_sparse(net)), context)
    figures = byte_figures(done.file, done.coded, params=1)
    assert sum(figures["bytes"].values()) == figures["size_bytes"] == done.archive.stat().st_size


def test_a_stage_codes_its_file_once(context_of, tmp_path, monkeypatch) -> None:
    net, context = context_of("mlp")
    coded = []

    def counted(file: bytes, **settings: object) -> object:
        coded.append(len(file))
        return encode(file, **settings)

    monkeypatch.setattr("netwright.export.coding.archive.encode", counted)
    monkeypatch.setattr("netwright.runs.stages.encode", counted)
    done = EntropyCode(coder="huffman").apply(Model(_sparse(net)), context)
    meter = StageMeter(context.task, tmp_path / "models", LatencyProtocol(pairs=4, seconds=0.1, warmup_seconds=0.1))
    meter.begin(done, "entropy_code")
    row = meter.measure(done, "entropy_code", {})
    assert coded == [row["file_bytes"]]
    assert row["coded_bytes"] == row["size_bytes"] == done.archive.stat().st_size


def test_nothing_may_follow_and_nothing_is_coded_twice(context_of, tmp_path) -> None:
    net, context = context_of("mlp")
    with pytest.raises(CompressionError, match="has an archive already"):
        EntropyCode().apply(Model(net, archive=tmp_path / "model.nwz"), context)
    Recipe(passes=("quantize", "entropy_code"))
    for passes in (("entropy_code", "quantize"), ("entropy_code", "fine_tune"), ("entropy_code", "entropy_code")):
        with pytest.raises(ConfigurationError, match="entropy_code"):
            Recipe.parse({"passes": passes})


def test_a_stage_is_timed_beside_the_one_it_was_made_from(context_of, tmp_path, monkeypatch) -> None:
    told = []

    def listened(files, example, *, protocol, reference):
        found = time_files(files, example, protocol=protocol, reference=reference)
        told.append((dict(files), reference, found))
        return found

    monkeypatch.setattr("netwright.runs.stages.time_files", listened)
    net, context = context_of("mlp")
    meter = StageMeter(context.task, tmp_path / "models", LatencyProtocol(pairs=10, seconds=0.2, noisy_above=1e9))
    wide = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8192), torch.nn.Linear(8192, 10)).eval()
    meter.begin(Model(net))
    first = meter.measure(Model(net), "original", {})
    slower = meter.measure(Model(wide), "widened", first)
    back = meter.measure(Model(net), "narrowed", slower)
    assert "change" not in first
    assert slower["change"]["before"] == "original"
    assert slower["change"]["speedup_high"] < 1
    files, reference, found = told[-1]
    assert (files["original"], files[reference]) == (meter.files["original"], meter.files["widened"])
    assert back["change"]["before"] == "widened"
    assert back["change"]["speedup"] == found["narrowed"].speedup > 1
    # over the baseline, which ran in the same session
    assert back["speedup"] == pytest.approx(found["narrowed"].speedup / found["original"].speedup)
    assert back["latency"]["speedup_low"] <= back["speedup"] <= back["latency"]["speedup_high"]
