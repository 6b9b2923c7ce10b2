"""Forms: what training must keep of a weight's values; found by their files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netwright.compression.form import Form, FormsHook
from netwright.compression.model import Model
from netwright.compression.store import FolderStore, Outcome, model_identity
from netwright.core.errors import InterruptedRunError
from netwright.core.plugins import build, names
from netwright.tasks.settings import Training
from netwright.tasks.training import fit

FORMS = [*names("form"), pytest.param({"kind": "ternary", "two_sided": True}, id="ttq")]


def formed(form: Form) -> tuple[torch.nn.Module, str]:
    """A small network whose middle weight has a form: quarters, with zeros among them, suit all of them."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10)
    ).eval()
    values = torch.tensor([-0.5, -0.25, 0.0, 0.25, 0.5])
    with torch.no_grad():
        net[1].weight.copy_(values[torch.randint(0, 5, net[1].weight.shape)])
        net[1].weight.copy_(form.keeper(net[1].weight.detach().clone()).value(net[1].weight.detach().clone()))
    assert form.holds(net[1].weight.detach())
    return net, "1.weight"


@pytest.mark.parametrize("name", FORMS)
def test_training_keeps_the_form_and_learns(name: object) -> None:
    form = build("form", name)
    net, weight = formed(form)
    before = net[1].weight.detach().clone()
    task = build("task", "digits")
    result = fit(net, task, training=Training(epochs=4), seed=0, hooks=[FormsHook({weight: form})])
    after = net[1].weight.detach()
    assert form.holds(after)
    assert not torch.equal(after, before)
    assert result.rows[-1]["train_loss"] < result.rows[0]["train_loss"]
    assert Model(net, forms={}).with_module(net, forms={weight: form}).forms == {weight: form}


@pytest.mark.parametrize("name", FORMS)
def test_a_training_cut_short_goes_on_exactly(name: object, tmp_path: Path) -> None:
    form, task = build("form", name), build("task", "digits")
    results = []
    for cut in (False, True):
        net, weight = formed(form)
        options = {"training": Training(epochs=3, samples=256), "seed": 1, "hooks": [FormsHook({weight: form})]}
        if cut:
            path = tmp_path / "training.safetensors"

            def stop(row: dict[str, float]) -> bool:
                if row["epoch"] == 2:
                    raise InterruptedRunError("stop")
                return True

            with pytest.raises(InterruptedRunError):
                fit(net, task, on_epoch=stop, checkpoint=path, **options)
            net, _ = formed(form)
            options["checkpoint"] = path
        fit(net, task, **options)
        results.append(net)
    for one, other in zip(results[0].state_dict().values(), results[1].state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_shared_entries_get_the_mean_of_their_gradients() -> None:
    weight = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.5, 0.0]])
    keeper = build("form", "shared").keeper(weight)
    gradient = keeper.gradient(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), weight)
    assert torch.allclose(gradient, torch.tensor([[8 / 3, 8 / 3, 0.0], [4.0, 8 / 3, 0.0]]))


def test_a_form_ends_with_its_parameter_and_its_values() -> None:
    sparse = build("form", "sparse")
    net, weight = formed(sparse)
    model = Model(net).with_module(net, forms={weight: sparse, "7.weight": sparse})
    assert set(model.forms) == {weight}
    with torch.no_grad():
        net[1].weight.fill_(1.0)
    assert model.with_module(net).forms == {}


def test_forms_are_stored_and_count_in_the_identity(tmp_path: Path) -> None:
    shared = build("form", {"kind": "shared", "values": 16})
    net, weight = formed(shared)
    model = Model(net).with_module(net, forms={weight: shared})
    assert model_identity(model) != model_identity(Model(net))
    store = FolderStore(tmp_path)
    store.save("key", Outcome(model, {}), base=net)
    found = store.load("key", base=net)
    assert found is not None
    assert found.model is not None
    assert found.model.forms == {weight: shared}
    assert model_identity(found.model) == model_identity(model)
