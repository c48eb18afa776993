"""Style transfer in plain PyTorch: Gram matrices, Adam, and a VGG19 with random weights.

For every line on standard input it takes one step and prints its seconds.

    python benchmarks/plain_pytorch.py 512 float32
"""

import sys
import time

import torch
from torch import nn

WIDTHS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 1))
CONTENT_LAYER = "block4_conv2"


class VGG19(nn.Module):
    """VGG19 up to ``block5_conv1``, with random weights."""

    def __init__(self) -> None:
        """Build the layers."""
        super().__init__()
        self.blocks = nn.ModuleList()
        channels = 3
        for width, depth in WIDTHS:
            block = nn.ModuleList()
            for _ in range(depth):
                block.append(nn.Conv2d(channels, width, 3, padding=1))
                channels = width
            self.blocks.append(block)

    def forward(self, maps: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the first map of every block, and the content layer."""
        outputs = {}
        for number, block in enumerate(self.blocks, 1):
            if number > 1:
                maps = nn.functional.max_pool2d(maps, 2)
            for position, convolution in enumerate(block, 1):
                maps = nn.functional.relu(convolution(maps))
                name = f"block{number}_conv{position}"
                if position == 1 or name == CONTENT_LAYER:
                    outputs[name] = maps
        return outputs


def gram_matrix(maps: torch.Tensor) -> torch.Tensor:
    """Return the Gram matrix of a feature map, divided by the number of positions."""
    flat = maps.float().flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def main() -> None:
    """Take steps until standard input ends."""
    size, precision = int(sys.argv[1]), sys.argv[2]
    torch.manual_seed(0)
    model = VGG19().eval().requires_grad_(False)
    content = torch.rand(1, 3, size, size)

    def extract_features(image: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            return model(image)

    with torch.no_grad():
        target = extract_features(content)[CONTENT_LAYER].float()
        styles = {
            name: gram_matrix(maps)
            for name, maps in extract_features(torch.rand(1, 3, size, size)).items()
            if name != CONTENT_LAYER
        }
    image = content.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([image], lr=0.02)
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        optimizer.zero_grad()
        maps = extract_features(image)
        loss = nn.functional.mse_loss(maps[CONTENT_LAYER].float(), target)
        for name, style in styles.items():
            loss = loss + 0.01 * nn.functional.mse_loss(gram_matrix(maps[name]), style)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            image.clamp_(0, 1)
        loss.item()
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
