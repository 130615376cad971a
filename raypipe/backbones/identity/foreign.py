"""Reading the public weights of identity networks.

``model_ir_se50.pth`` (TreB1eN/InsightFace_Pytorch; pSp's and e4e's identity loss) is a plain state dict, checkpoints of
xiaoccer/MobileFaceNet_Pytorch hold one under ``net_state_dict``. timesler/facenet-pytorch's FaceNet
(``20180402-114759-vggface2.pt``) is plain and holds the classifier of its training's persons beside the network. The
names in all of them are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raypipe.backbones.identity import arcface, facenet, mobile
from raypipe.backbones.identity.parts import load_identity
from raypipe.config import as_dict
from raypipe.weights import Part

ARCFACE_NAMES = {"input_layer.0.weight", "body.0.res_layer.5.fc1.weight", "output_layer.3.weight"}
MOBILE_NAMES = {"conv1.conv.weight", "dw_conv1.conv.weight", "linear7.conv.weight"}
FACENET_NAMES = {"conv2d_1a.conv.weight", "repeat_1.0.branch0.conv.weight", "last_linear.weight"}
FACENET_CLASSIFIER = ("logits.weight", "logits.bias")


def is_identity_state(tree: Mapping[str, Any]) -> bool:
    """Whether a checkpoint is one of an identity network that is read."""
    names = _state(tree).keys()
    return names >= ARCFACE_NAMES or names >= MOBILE_NAMES or names >= FACENET_NAMES


def identity_part_of_state(tree: Mapping[str, Any]) -> Part:
    """The checkpoint as a bundle's part.

    Raises:
        BadWeights: a tensor is missing, unknown or of another shape.
    """
    state = dict(_state(tree))
    if state.keys() >= MOBILE_NAMES:
        part = Part(mobile.KIND, {}, state)
    elif state.keys() >= FACENET_NAMES:
        network = {name: tensor for name, tensor in state.items() if name not in FACENET_CLASSIFIER}
        part = Part(facenet.KIND, {}, network)
    else:
        part = Part(arcface.KIND, as_dict(arcface.IdentityConfig()), state)
    load_identity(part, "cpu")
    return part


def _state(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    state = tree.get("net_state_dict", tree)
    return state if isinstance(state, Mapping) else {}
