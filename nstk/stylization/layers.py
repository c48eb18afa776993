"""The default content and style layers of a network."""

from nstk.backbones.backbone import Backbone, activated_taps
from nstk.errors import BackboneError

STYLE_WEIGHTS = (16.0, 8.0, 4.0, 2.0, 1.0)
"""Weight of each stride from shallow to deep: color and strokes first, motifs last.

Crowson uses powers of 4 for squared losses; powers of 2 do the same for distances."""

CONTENT_STRIDE = 8
STYLE_STRIDE = 16


def choose_style_layers(backbone: Backbone) -> dict[str, float]:
    """Return the activations up to stride 16, one at 16, with their weights λ_l; Σ λ_l = 1.

    For VGG19 these are ``block1_conv1`` to ``block5_conv1``. Gatys et al. use only the first of
    each block. The others constrain what these leave open and cost only a few sums, because the
    network computes them anyway. The layers of one stride share its weight.

    Raises:
        BackboneError: If the network has no such layer.
    """
    taps = activated_taps(backbone)
    strides = sorted(stride for stride in taps if stride <= STYLE_STRIDE)[: len(STYLE_WEIGHTS)]
    if not strides:
        raise BackboneError(
            f"{backbone.name} has no activation at a stride of {STYLE_STRIDE} or less, which "
            "stylize needs; choose another backbone."
        )
    weights = dict(zip(strides, STYLE_WEIGHTS, strict=False))
    total = sum(weights.values())
    layers: dict[str, float] = {}
    for stride, weight in weights.items():
        names = taps[stride] if stride < STYLE_STRIDE else taps[stride][:1]
        layers |= {name: weight / (total * len(names)) for name in names}
    return layers


def choose_content_layer(backbone: Backbone) -> str:
    """Return the first activation at stride 8 or the deepest before it: VGG19's ``block4_conv1``.

    Gatys et al. use the second. The first is the one that `compact` was trained to match, and it
    keeps the content better there at equal style.

    Raises:
        BackboneError: If the network has no such layer.
    """
    taps = activated_taps(backbone)
    strides = [stride for stride in taps if stride <= CONTENT_STRIDE]
    if not strides:
        raise BackboneError(
            f"{backbone.name} has no activation at a stride of {CONTENT_STRIDE} or less, which "
            "stylize needs; choose another backbone."
        )
    return taps[max(strides)][0]
