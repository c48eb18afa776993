"""Style transfer in plain PyTorch: Gram matrices and Adam, VGG19's shape with random weights.

It serves steps: for every line on standard input it takes one and prints its seconds.

    python benchmarks/plain_pytorch.py 512 float32
"""

import sys
import time

import torch
from torch import nn

WIDTHS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 1))
CONTENT = "block4_conv2"


class Extractor(nn.Module):
    """VGG19 up to ``block5_conv1``."""

    def __init__(self) -> None:
        """Build it with random weights."""
        super().__init__()
        self.blocks = nn.ModuleList()
        given = 3
        for width, depth in WIDTHS:
            block = nn.ModuleList()
            for _ in range(depth):
                block.append(nn.Conv2d(given, width, 3, padding=1))
                given = width
            self.blocks.append(block)

    def forward(self, maps: torch.Tensor) -> dict[str, torch.Tensor]:
        """Give the first map of every block, and the content layer."""
        seen = {}
        for number, block in enumerate(self.blocks, 1):
            if number > 1:
                maps = nn.functional.max_pool2d(maps, 2)
            for place, convolution in enumerate(block, 1):
                maps = nn.functional.relu(convolution(maps))
                name = f"block{number}_conv{place}"
                if place == 1 or name == CONTENT:
                    seen[name] = maps
        return seen


def measure_gram(maps: torch.Tensor) -> torch.Tensor:
    """Give the Gram matrix of a feature map, per position."""
    flat = maps.float().flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def main() -> None:
    """Serve steps until standard input ends."""
    size, precision = int(sys.argv[1]), sys.argv[2]
    torch.manual_seed(0)
    extract = Extractor().eval().requires_grad_(False)
    content = torch.rand(1, 3, size, size)

    def look(image: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            return extract(image)

    with torch.no_grad():
        target = look(content)[CONTENT].float()
        styles = {
            name: measure_gram(maps)
            for name, maps in look(torch.rand(1, 3, size, size)).items()
            if name != CONTENT
        }
    image = content.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([image], lr=0.02)
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        optimizer.zero_grad()
        maps = look(image)
        loss = nn.functional.mse_loss(maps[CONTENT].float(), target)
        for name, style in styles.items():
            loss = loss + 0.01 * nn.functional.mse_loss(measure_gram(maps[name]), style)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 1)
        loss.item()
        print(time.perf_counter() - begun, flush=True)


if __name__ == "__main__":
    main()
