"""`.pt2` files: they run alone at any batch size, hold no pickle and no path, and are refused when they are wrong."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from export_networks import NETWORKS, Refused, convnet, samples
from torch import nn

from netwright.core.errors import ExportError, ParityError
from netwright.core.plugins import build
from netwright.export.torch_program import write_proven


@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_computes_what_the_network_does_at_any_batch_size(name: str, tmp_path: Path) -> None:
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    model = make().eval()
    form = build("format", "pt2")
    path = form.write(model, tmp_path / "m.pt2", example=samples(3, *shape))
    run = form.opened(path)
    for count in (1, 3, 11):
        inputs = samples(count, *shape)
        with torch.no_grad():
            wanted = model(torch.from_numpy(inputs)).numpy()
        np.testing.assert_allclose(run(inputs), wanted, atol=1e-5)


def test_the_length_of_a_recurrent_network_is_that_of_the_example(tmp_path: Path) -> None:
    make, shape = NETWORKS["lstm"]
    form = build("format", "pt2")
    run = form.opened(form.write(make().eval(), tmp_path / "m.pt2", example=samples(2, *shape)))
    with pytest.raises((RuntimeError, AssertionError)):
        run(samples(2, shape[0] + 3, *shape[1:]))


def test_nothing_of_this_machine_is_in_the_file(tmp_path: Path) -> None:
    path = build("format", "pt2").write(convnet(), tmp_path / "m.pt2", example=samples(2, 1, 12, 12))
    with ZipFile(path) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    for place in (str(Path(torch.__file__).parent), str(Path(__file__).parent), str(Path.home()) + "/"):
        assert place.encode() not in content


def test_a_network_that_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"Refused cannot be followed by torch\.export"):
        build("format", "pt2").write(Refused(), tmp_path / "m.pt2", example=samples(2, 1, 12, 12))
    assert not list(tmp_path.iterdir())


def test_a_file_that_computes_something_else_is_not_kept(tmp_path: Path) -> None:
    model, other, inputs = nn.Linear(3, 2).eval(), nn.Linear(3, 2).eval(), samples(4, 3)

    def opened(path: Path):
        assert path.read_bytes() == b"x"
        return lambda batch: other(torch.from_numpy(batch)).detach().numpy()

    with pytest.raises(ParityError, match="differs from the original"):
        write_proven(
            tmp_path / "m.pt2", write=lambda p: p.write_bytes(b"x"), opened=opened, model=model, example=inputs
        )
    assert not list(tmp_path.iterdir())
