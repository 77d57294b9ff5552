"""A small two-dimensional U-Net (Ronneberger 2015, doi:10.1007/978-3-319-24574-4_28), for training only."""

from __future__ import annotations

from itertools import pairwise
from typing import Any


def unet(channels: tuple[int, ...], classes: int) -> Any:
    """Return a U-Net as a torch module: (b, 1, n, n) pictures to (b, classes, n, n) scores.

    Parameters
    ----------
    channels : tuple of int
        Feature maps of each level, from the finest; ``n`` must be a multiple of ``2 ** (levels - 1)``.
    classes : int
    """
    import torch
    from torch import nn

    def block(inputs: int, outputs: int) -> Any:
        layers: list[Any] = []
        for first in (inputs, outputs):
            layers += [nn.Conv2d(first, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]
            layers += [nn.LeakyReLU(0.01, inplace=True)]
        return nn.Sequential(*layers)

    class UNet(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            pairs = list(pairwise(channels))
            self.first = block(1, channels[0])
            self.down = nn.ModuleList(block(a, b) for a, b in pairs)
            self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
            self.join = nn.ModuleList(block(2 * a, a) for a, _ in pairs)
            self.last = nn.Conv2d(channels[0], classes, 1)

        def forward(self, x: Any) -> Any:
            kept = [self.first(x)]
            for down in self.down:
                kept.append(down(nn.functional.max_pool2d(kept[-1], 2)))
            x = kept.pop()
            for up, join in zip(reversed(self.up), reversed(self.join), strict=True):
                x = join(torch.cat([up(x), kept.pop()], 1))
            return self.last(x)

    return UNet()
