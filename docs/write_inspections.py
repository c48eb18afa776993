"""Draw the figures of inspecting.md: the outputs of its commands, scaled down for the page.

python docs/write_inspections.py

Requires `demo/image.png` and `demo/painting.png`, which `make demo` draws. Takes a few minutes.
"""

from pathlib import Path

import nstk
from nstk.reports.inspection_sheets import (
    draw_content_sheet,
    draw_gram_sheet,
    draw_layer_sheet,
    draw_overview,
    draw_style_sheet,
)
from nstk.reports.sheets import fit_width

WIDTH, QUALITY = 700, 60


def main() -> None:
    """Inspect the demo images with the packaged network and save all sheets."""
    root = Path(__file__).parents[1]
    content, style = root / "demo" / "image.png", root / "demo" / "painting.png"
    backbone = nstk.load_backbone()
    painted = nstk.stylize(content, style, settings=nstk.StylizeSettings(size=256)).image
    painted_file = nstk.save_image(root / "demo" / "painted.png", painted)
    layers = nstk.inspect_layers([content, style], backbone=backbone)
    grams = nstk.inspect_gram([style, painted_file, content], backbone=backbone)
    sheets = {
        "layers": draw_overview(layers),
        "layer": draw_layer_sheet(layers, layers.layers[2]),
        "content": draw_content_sheet(nstk.inspect_content(content, backbone=backbone)),
        "style": draw_style_sheet(nstk.inspect_style(style, backbone=backbone)),
        "gram": draw_gram_sheet(grams),
    }
    for name, sheet in sheets.items():
        path = Path(__file__).parent / "images" / f"inspect-{name}.jpg"
        scaled = fit_width(sheet, WIDTH) if sheet.shape[1] > WIDTH else sheet
        nstk.save_image(path, scaled, quality=QUALITY)


if __name__ == "__main__":
    main()
