"""The networks. Their sizes are facts of the papers, and asserted."""

import torch
from torch import Tensor, nn

CONVNET_PARAMETERS = 780 + 30_040 + 80 + 448_700 + 7_010  # the report prints 4866100


class ConvNet(nn.Module):
    """The report's network ("LeNet-5", section 3): 486,610 parameters, 81 buffer entries.

    Where the report writes ReLU, then pooling, the first stage pools first. The two
    commute exactly (both are monotone), and ReLU then touches a quarter of the values.
    The second stage keeps the report's order: BatchNorm stands between them.
    """

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


def build(seed: int, dtype: torch.dtype = torch.float32) -> ConvNet:
    """The network at its starting point: the same seed, the same start, on every rank."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ConvNet().to(dtype)
    size = sum(parameter.numel() for parameter in network.parameters())
    assert size == CONVNET_PARAMETERS, f"the report's network has 486,610 parameters, not {size}"
    return network
