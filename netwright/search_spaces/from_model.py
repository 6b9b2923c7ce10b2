"""A search space from a network in memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netwright.search_spaces.cost import cost
from netwright.search_spaces.model_source import Source
from netwright.search_spaces.spaces.from_model import FromModel

if TYPE_CHECKING:
    import torch
    from torch import nn

LOGGER = logging.getLogger(__name__)


def space_from_model(
    model: nn.Module,
    example: torch.Tensor | Sequence[torch.Tensor],
    *,
    widths: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    round_to: int = 8,
    depths: bool = True,
) -> FromModel:
    """The widths and depths of a network as a search space whose architectures inherit its weights.

    `model` is a torch module whose steps do not depend on the values of tensors, `example` a batch of its inputs,
    (batch, *shape), or a tuple with a batch of each input: then the space's networks take one tensor, which
    `join_inputs` makes of several. Several results they give as one in the same way. Neither is changed. The space
    decides and counts without torch; its networks are plain torch modules. It goes into files with `save`, see
    `FromModel`. A warning says when nothing of the network can be varied, or when weights that it shares are not.

    Raises SpaceError that names the layer or the step which cannot be read.

    >>> space = space_from_model(model, inputs[:8])                      # doctest: +SKIP
    >>> decisions = space.sample(random.Random(0))                       # doctest: +SKIP
    >>> space.cost(decisions, space.shapes).macs                         # doctest: +SKIP
    >>> smaller = space.inherit(decisions)                               # doctest: +SKIP
    """
    from netwright.search_spaces.model_reading import read_model

    read = read_model(model, example)
    space = FromModel(model=read.graph.to_json(), widths=tuple(widths), round_to=round_to, depths=depths)
    space = space.with_source(Source(read.graph, state=read.state))
    has, own = cost(read.graph).params, sum(weight.numel() for weight in model.parameters())
    if has > own:
        LOGGER.warning(
            "the whole network of this space has %s parameters, yours %s: weights that several of its steps read "
            "become weights of each of them, which are trained apart",
            f"{has:,}",
            f"{own:,}",
        )
    if not space.groups and not space.runs:
        LOGGER.warning(
            "nothing of this network can be varied: it has no residual blocks, and what reads its layers' channels "
            "does not treat each by itself"
        )
    return space


def join_inputs(*inputs: torch.Tensor) -> torch.Tensor:
    """Batches of several inputs as the one tensor that networks of a space made from such an example take.

    (batch, ...) each; along the channels where all other axes are alike, else the values of one after those of another.

    >>> smaller(join_inputs(images, columns))                            # doctest: +SKIP
    """
    from netwright.search_spaces.model_inputs import joined_inputs

    return joined_inputs(inputs)
