"""Reading ``model_ir_se50.pth``, the identity network of pSp's and e4e's losses (TreB1eN, InsightFace_Pytorch)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from raypipe.backbones.identity.network import KIND, IdentityConfig, load_identity
from raypipe.config import as_dict
from raypipe.weights import Part


def is_identity_state(state: Mapping[str, object]) -> bool:
    """Whether a flat state dict has the names of ``model_ir_se50.pth``."""
    return {"input_layer.0.weight", "body.0.res_layer.5.fc1.weight", "output_layer.3.weight"} <= state.keys()


def identity_part_of_state(state: Mapping[str, Tensor]) -> Part:
    """The state dict as a bundle's part; the names are already ours.

    Raises:
        BadWeights: a tensor is missing, unknown or of another shape.
    """
    part = Part(KIND, as_dict(IdentityConfig()), dict(state))
    load_identity(part, "cpu")
    return part
