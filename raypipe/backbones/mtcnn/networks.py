"""The three networks of MTCNN (Zhang et al. 2016, figure 2), with the parameter names of facenet-pytorch's files.

Input: RGB, (x - 127.5) / 128. The dense layers were trained on features in the order width, height, channel.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ProposalNet(nn.Module):
    """[n,3,h,w] -> for every 12x12 window at stride 2: face probability [n,h',w'] and box correction [n,4,h',w']."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = F.max_pool2d(self.prelu1(self.conv1(images)), 2, 2, ceil_mode=True)
        features = self.prelu3(self.conv3(self.prelu2(self.conv2(features))))
        return self.conv4_1(features).softmax(dim=1)[:, 1], self.conv4_2(features)


class RefineNet(nn.Module):
    """[n,3,24,24] -> face probability [n] and box correction [n,4]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = F.max_pool2d(self.prelu1(self.conv1(images)), 3, 2, ceil_mode=True)
        features = F.max_pool2d(self.prelu2(self.conv2(features)), 3, 2, ceil_mode=True)
        features = self.prelu3(self.conv3(features))
        features = self.prelu4(self.dense4(_width_height_channel(features)))
        return self.dense5_1(features).softmax(dim=1)[:, 1], self.dense5_2(features)


class OutputNet(nn.Module):
    """[n,3,48,48] -> face probability [n], box correction [n,4], landmarks [n,10]: 5 x, then 5 y, in box sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = F.max_pool2d(self.prelu1(self.conv1(images)), 3, 2, ceil_mode=True)
        features = F.max_pool2d(self.prelu2(self.conv2(features)), 3, 2, ceil_mode=True)
        features = F.max_pool2d(self.prelu3(self.conv3(features)), 2, 2, ceil_mode=True)
        features = self.prelu4(self.conv4(features))
        features = self.prelu5(self.dense5(_width_height_channel(features)))
        return self.dense6_1(features).softmax(dim=1)[:, 1], self.dense6_2(features), self.dense6_3(features)


def _width_height_channel(features: Tensor) -> Tensor:
    return features.permute(0, 3, 2, 1).flatten(1)
