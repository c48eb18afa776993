"""Images inside a page, as data URIs."""

from base64 import b64encode
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO

import numpy as np
from PIL import Image as PILImage

from nstk.images.image import Image, fit_size, resize_image

LOSSLESS_PIXELS = 128 * 128
"""Up to this many pixels an image is embedded as PNG, above as JPEG."""

JPEG_QUALITY = 90


@dataclass(frozen=True, eq=False)
class CaptionedImage:
    """An image with words below it.

    Attributes:
        pixels: float32 ``(height, width, 3)``, sRGB; values beyond ``[0, 1]`` are clipped.
        caption: What it is; also its text for readers who cannot see it.
        note: A quieter second line.
        longest_side: Larger images are embedded with this longer side, in pixels.
    """

    pixels: Image
    caption: str
    note: str = ""
    longest_side: int = 1024

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, as embedded."""
        height, width = self.pixels.shape[:2]
        return fit_size(height, width, min(self.longest_side, max(height, width)))

    @cached_property
    def uri(self) -> str:
        """The image as ``data:image/png;base64,…`` or ``data:image/jpeg;base64,…``."""
        pixels = self.pixels
        if pixels.shape[:2] != self.size:
            pixels = resize_image(pixels, *self.size)
        levels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
        image, file = PILImage.fromarray(levels), BytesIO()
        if image.width * image.height <= LOSSLESS_PIXELS:
            image.save(file, "PNG", optimize=True)
            kind = "png"
        else:
            image.save(file, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4", optimize=True)
            kind = "jpeg"
        return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode('ascii')}"
