"""Draw the images of inspecting.md: what its commands write, small enough for a page.

python docs/write_inspections.py

It needs `demo/image.png` and `demo/painting.png`, which `make demo` draws, and some minutes.
"""

from pathlib import Path

import nstk
from nstk.reports.sheets.sheet import fit_width

WIDTH, QUALITY = 700, 60


def main() -> None:
    """Inspect the demo's images through the packaged network."""
    root = Path(__file__).parents[1]
    content, style = root / "demo" / "image.png", root / "demo" / "painting.png"
    backbone = nstk.load_backbone()
    painted = nstk.stylize(content, style, settings=nstk.StylizeSettings(size=256)).image
    painted_file = nstk.save_image(root / "demo" / "painted.png", painted)
    layers = nstk.inspect_layers([content, style], backbone=backbone)
    grams = nstk.inspect_gram([style, painted_file, content], backbone=backbone)
    sheets = {
        "layers": nstk.draw_overview(layers),
        "layer": nstk.draw_layer_sheet(layers, layers.layers[2]),
        "content": nstk.draw_content_sheet(nstk.inspect_content(content, backbone=backbone)),
        "style": nstk.draw_style_sheet(nstk.inspect_style(style, backbone=backbone)),
        "gram": nstk.draw_gram_sheet(grams),
    }
    for name, sheet in sheets.items():
        place = Path(__file__).parent / "images" / f"inspect-{name}.jpg"
        shown = fit_width(sheet, WIDTH) if sheet.shape[1] > WIDTH else sheet
        nstk.save_image(place, shown, quality=QUALITY)


if __name__ == "__main__":
    main()
