"""Reading facenet-pytorch's weight files: ``pnet.pt``, ``rnet.pt`` and ``onet.pt`` in one directory or at one URI."""

from __future__ import annotations

import io
import pickle

import torch
from torch import nn

from raypipe import storage
from raypipe.backbones.mtcnn.cascade import Cascade
from raypipe.errors import BadWeights

FILES = ("pnet.pt", "rnet.pt", "onet.pt")


def load_cascade(uri: str, *, min_face_share: float = 0.1, min_score: float = 0.7) -> Cascade:
    """The cascade with the weights at ``uri``; nothing in the files is executed. Other arguments as ``Cascade``'s.

    Raises:
        BadWeights: a file is missing, damaged or of another network.
    """
    cascade = Cascade(min_face_share=min_face_share, min_score=min_score)
    for net, file in zip((cascade.proposal, cascade.refinement, cascade.output), FILES, strict=True):
        _fill(net, storage.join(uri, file))
    return cascade.eval()


def _fill(net: nn.Module, uri: str) -> None:
    try:
        net.load_state_dict(torch.load(io.BytesIO(storage.read_bytes(uri)), map_location="cpu", weights_only=True))
    except FileNotFoundError as error:
        raise BadWeights(f"{uri} is missing; a face detector has {', '.join(FILES)}") from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError) as error:
        raise BadWeights(f"{uri} does not hold the weights of this network: {error}") from error
