"""ArcFace's IR-SE-50: a picture of a face to a unit vector that tells people apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.identity.residual import body, stem
from raypipe.blocks.loading import load_network
from raypipe.config import as_dict
from raypipe.weights import Part

KIND = "ir_se50"
INPUT_SIZE = 112
CROP_TOP, CROP_LEFT, CROP_SIDE, CROP_OF = 35, 32, 188, 256


@dataclass(frozen=True, kw_only=True)
class IdentityConfig:
    """Sizes of the network; the defaults are those of ``model_ir_se50.pth``. ``embedding_dim`` is the vector's."""

    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (3, 4, 14, 3)
    embedding_dim: int = 512


class IdentityNetwork(nn.Module):
    """The names of the tensors are those of ``model_ir_se50.pth``."""

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        width = config.widths[-1]
        self.config = config
        self.input_layer = stem(config.widths[0])
        self.body = body(config.widths, config.depths, squeeze_excite=True)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Dropout(),
            nn.Flatten(),
            nn.Linear(width * (INPUT_SIZE // 16) ** 2, config.embedding_dim),
            nn.BatchNorm1d(config.embedding_dim),
        )

    def forward(self, images: Tensor) -> Tensor:
        """RGB [n,3,112,112] in [-1,1], cropped to the face -> [n,embedding_dim], rows of unit length."""
        return F.normalize(self.output_layer(self.body(self.input_layer(images))))

    def embed(self, images: Tensor) -> Tensor:
        """The same from FFHQ-aligned pictures [n,3,s,s]: cropped to the face as pSp's identity loss does."""
        vectors: Tensor = self(crop_face(images))
        return vectors


def crop_face(images: Tensor) -> Tensor:
    """Rows 35..223 and columns 32..220 of a 256 px FFHQ-aligned picture, averaged down to 112 px.

    Other sizes are brought to 256 px first: by averaging where they are larger, bilinearly where they are smaller.
    """
    if min(images.shape[2:]) > CROP_OF:
        images = F.adaptive_avg_pool2d(images, CROP_OF)
    elif images.shape[2:] != (CROP_OF, CROP_OF):
        images = F.interpolate(images, size=(CROP_OF, CROP_OF), mode="bilinear", align_corners=False)
    face = images[:, :, CROP_TOP : CROP_TOP + CROP_SIDE, CROP_LEFT : CROP_LEFT + CROP_SIDE]
    return F.adaptive_avg_pool2d(face, INPUT_SIZE)


def load_arcface(part: Part, device: str | torch.device) -> IdentityNetwork:
    """The network of a bundle's part, ready for inference.

    Raises:
        BadWeights: the part is not an IR-SE-50, or its tensors do not fit its config.
    """
    return load_network(part, KIND, IdentityConfig, IdentityNetwork, device)


def identity_part(network: IdentityNetwork) -> Part:
    """What ``load_arcface`` reads."""
    return Part(KIND, as_dict(network.config), network.state_dict())
