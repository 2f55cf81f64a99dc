"""The networks. Their sizes follow from the papers, and are asserted."""

import numpy as np
import torch
from torch import Tensor, nn

from easgd_lib.learning.sources import CIFAR10

CONVNET_PARAMETERS = 780 + 30_040 + 80 + 448_700 + 7_010  # the KTH report prints 4866100
PAPERNET_PARAMETERS = 4_864 + 204_928 + 73_792 + 65_792 + 2_570


class ConvNet(nn.Module):
    """The KTH report's network ("LeNet-5", section 3): 486,610 parameters, 81 buffer entries.

    Where the report writes ReLU, then pooling, the first stage pools first. The two
    commute exactly (both are monotone), and ReLU then touches a quarter of the values.
    The second stage keeps the report's order: BatchNorm stands between them.
    """

    size, l2 = CONVNET_PARAMETERS, 0.0

    def __init__(self, classes: int = 10):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(1, 30, 5), nn.MaxPool2d(2), nn.ReLU())
        self.conv2 = nn.Sequential(
            nn.Conv2d(30, 40, 5), nn.ReLU(), nn.BatchNorm2d(40), nn.MaxPool2d(2)
        )
        self.fc1 = nn.Sequential(nn.Linear(4 * 4 * 40, 700), nn.ReLU())
        self.fc2 = nn.Linear(700, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv1(images)  # (n, 1, 28, 28) -> (n, 30, 12, 12)
        x = self.conv2(x)  # -> (n, 40, 4, 4)
        x = self.fc1(x.flatten(1))  # -> (n, 700)
        return self.fc2(x)  # -> (n, 10), logits


class Dropout(nn.Module):
    """In training every unit is silenced with probability ½, and doubled otherwise.

    `nn.Dropout` draws from the process's one generator, which in a simulation all workers
    share: here each worker puts its own generator in.
    """

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = self.rng.integers(2, size=x.shape, dtype=bool)
        return 2 * x * torch.from_numpy(kept)


class PaperNet(nn.Module):
    """The paper's network for CIFAR-10, 7 layers: 351,946 parameters, no buffers.

    In its notation (3,28)C(64,24)P(64,12)C(128,8)P(128,4)C(64,2)D(256,1)S(10,1). Pooling
    first and ReLU then is the same, as in `ConvNet`. Biases start at 0; of the weights' start
    the paper says nothing: torch's, as elsewhere. S is in the loss. So is λ/2 ‖x‖², λ = `l2`,
    over all of x, biases included.
    """

    size, l2 = PAPERNET_PARAMETERS, 1e-4

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, 64, 5), nn.MaxPool2d(2), nn.ReLU())
        self.conv2 = nn.Sequential(nn.Conv2d(64, 128, 5), nn.MaxPool2d(2), nn.ReLU())
        self.conv3 = nn.Sequential(nn.Conv2d(128, 64, 3), nn.ReLU())
        self.fc1 = nn.Sequential(nn.Linear(2 * 2 * 64, 256), nn.ReLU(), Dropout())
        self.fc2 = nn.Linear(256, 10)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv1(images)  # (n, 3, 28, 28) -> (n, 64, 12, 12)
        x = self.conv2(x)  # -> (n, 128, 4, 4)
        x = self.conv3(x)  # -> (n, 64, 2, 2)
        x = self.fc1(x.flatten(1))  # -> (n, 256)
        return self.fc2(x)  # -> (n, 10), logits


def build(
    seed: int, dtype: torch.dtype = torch.float32, data: str | None = None
) -> ConvNet | PaperNet:
    """The data set's network at its starting point: the same seed, the same start, on every rank.

    The paper's for CIFAR-10, else the report's.
    """
    with torch.random.fork_rng(devices=[]):  # else it would look for GPUs, and wake them
        torch.manual_seed(seed)
        network = (PaperNet() if data == CIFAR10 else ConvNet()).to(dtype)
    size = sum(parameter.numel() for parameter in network.parameters())
    assert size == network.size, f"this network has {network.size:,} parameters, not {size:,}"
    return network
