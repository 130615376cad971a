"""Inception-ResNet V1 as FaceNet's public weights have it: the network behind paper 1's identity similarity.

Szegedy et al., Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning (AAAI 2017), section
3.2, trained as a face recogniser on VGGFace2 or CASIA-WebFace. The names of the tensors are those of the files of
timesler/facenet-pytorch, without the classifier of the training's persons.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.identity.crops import Box, crop
from raypipe.blocks.loading import load_exactly
from raypipe.errors import BadWeights
from raypipe.weights import Part

KIND = "inception_resnet_v1"
INPUT_SIZE = 160
EMBEDDING_DIM = 512
EPSILON = 0.001

# Where MTCNN, whose boxes the network was trained on, finds the face in FFHQ-aligned pictures: the medians over 150 of
# them, made symmetric. It varies by 0.03 to 0.04 of the side from face to face.
DETECTION = Box(0.227, 0.184, 0.546, 0.732)


class InceptionResnetV1(nn.Module):
    """Three resolutions, 35, 17 and 8 pixels wide in the original: each a row of residual blocks of one kind."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a = ConvUnit(3, 32, 3, stride=2)
        self.conv2d_2a = ConvUnit(32, 32, 3)
        self.conv2d_2b = ConvUnit(32, 64, 3, padding=1)
        self.conv2d_3b = ConvUnit(64, 80, 1)
        self.conv2d_4a = ConvUnit(80, 192, 3)
        self.conv2d_4b = ConvUnit(192, 256, 3, stride=2)
        self.repeat_1 = nn.Sequential(*(block_35() for _ in range(5)))
        self.mixed_6a = Reduction6A()
        self.repeat_2 = nn.Sequential(*(block_17() for _ in range(10)))
        self.mixed_7a = Reduction7A()
        self.repeat_3 = nn.Sequential(*(block_8(scale=0.2) for _ in range(5)))
        self.block8 = block_8(scale=1.0, is_last=True)
        self.last_linear = nn.Linear(1792, EMBEDDING_DIM, bias=False)
        self.last_bn = nn.BatchNorm1d(EMBEDDING_DIM, eps=EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        """RGB [n,3,160,160], (pixel - 127.5) / 128, cropped to the face -> [n,512], rows of unit length."""
        maps = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(images)))
        maps = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(F.max_pool2d(maps, 3, 2))))
        maps = self.repeat_2(self.mixed_6a(self.repeat_1(maps)))
        maps = self.block8(self.repeat_3(self.mixed_7a(maps)))
        return F.normalize(self.last_bn(self.last_linear(maps.mean((2, 3)))))

    def embed(self, images: Tensor) -> Tensor:
        """The same from FFHQ-aligned pictures [n,3,s,s] in [-1,1]: cropped to the face as a detector would."""
        face = crop(images, DETECTION, height=INPUT_SIZE, width=INPUT_SIZE)
        vectors: Tensor = self(face * (127.5 / 128))
        return vectors


class ConvUnit(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, maps: Tensor) -> Tensor:
        """[n,inputs,h,w] -> [n,outputs,...]."""
        normalised: Tensor = self.bn(self.conv(maps))
        return F.relu_(normalised)


class InceptionResidual(nn.Module):
    """``relu(x + scale * conv2d(all branches of x))``; without the ReLU where it is the last."""

    def __init__(
        self, channels: int, branches: list[nn.Module], widths: int, *, scale: float, is_last: bool = False
    ) -> None:
        super().__init__()
        for index, branch in enumerate(branches):
            self.add_module(f"branch{index}", branch)
        self.conv2d = nn.Conv2d(widths, channels, 1)
        self._branches = len(branches)
        self._scale = scale
        self._is_last = is_last

    def forward(self, maps: Tensor) -> Tensor:
        """[n,c,h,w] -> the same shape."""
        seen = torch.cat([self.get_submodule(f"branch{index}")(maps) for index in range(self._branches)], 1)
        summed: Tensor = maps + self._scale * self.conv2d(seen)
        return summed if self._is_last else F.relu_(summed)


def block_35() -> InceptionResidual:
    """Inception-ResNet-A, figure 10 of the paper."""
    branches = [
        ConvUnit(256, 32, 1),
        nn.Sequential(ConvUnit(256, 32, 1), ConvUnit(32, 32, 3, padding=1)),
        nn.Sequential(ConvUnit(256, 32, 1), ConvUnit(32, 32, 3, padding=1), ConvUnit(32, 32, 3, padding=1)),
    ]
    return InceptionResidual(256, branches, 96, scale=0.17)


def block_17() -> InceptionResidual:
    """Inception-ResNet-B, figure 11."""
    return InceptionResidual(896, _cross_branches(896, 128, 7), 256, scale=0.10)


def block_8(*, scale: float, is_last: bool = False) -> InceptionResidual:
    """Inception-ResNet-C, figure 13."""
    return InceptionResidual(1792, _cross_branches(1792, 192, 3), 384, scale=scale, is_last=is_last)


def _cross_branches(channels: int, width: int, length: int) -> list[nn.Module]:
    """A 1x1 convolution, and one followed by a row and a column of ``length`` pixels."""
    reach = length // 2
    row = ConvUnit(width, width, (1, length), padding=(0, reach))
    column = ConvUnit(width, width, (length, 1), padding=(reach, 0))
    return [ConvUnit(channels, width, 1), nn.Sequential(ConvUnit(channels, width, 1), row, column)]


class Reduction6A(nn.Module):
    """256 channels to 896 at half the size: figure 7 with k = 192, l = 192, m = 256, n = 384."""

    def __init__(self) -> None:
        super().__init__()
        self.branch0 = ConvUnit(256, 384, 3, stride=2)
        self.branch1 = nn.Sequential(
            ConvUnit(256, 192, 1), ConvUnit(192, 192, 3, padding=1), ConvUnit(192, 256, 3, stride=2)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """[n,256,h,w] -> [n,896,(h-1)//2,(w-1)//2]."""
        return torch.cat([self.branch0(maps), self.branch1(maps), F.max_pool2d(maps, 3, 2)], 1)


class Reduction7A(nn.Module):
    """896 channels to 1,792 at half the size, figure 12."""

    def __init__(self) -> None:
        super().__init__()
        self.branch0 = nn.Sequential(ConvUnit(896, 256, 1), ConvUnit(256, 384, 3, stride=2))
        self.branch1 = nn.Sequential(ConvUnit(896, 256, 1), ConvUnit(256, 256, 3, stride=2))
        self.branch2 = nn.Sequential(
            ConvUnit(896, 256, 1), ConvUnit(256, 256, 3, padding=1), ConvUnit(256, 256, 3, stride=2)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """[n,896,h,w] -> [n,1792,(h-1)//2,(w-1)//2]."""
        return torch.cat([self.branch0(maps), self.branch1(maps), self.branch2(maps), F.max_pool2d(maps, 3, 2)], 1)


def load_facenet(part: Part, device: str | torch.device) -> InceptionResnetV1:
    """The network of a bundle's part, ready for inference.

    Raises:
        BadWeights: the part is not an Inception-ResNet V1, or its tensors do not fit.
    """
    if part.kind != KIND:
        raise BadWeights(f"{part.kind!r} is not an {KIND!r}")
    with torch.device("meta"):
        network = InceptionResnetV1()
    load_exactly(network, part.tensors, f"identity network of kind {KIND!r}")
    return network.to(device).eval().requires_grad_(False)
