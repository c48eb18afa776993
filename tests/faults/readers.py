"""Readers of untrusted files: for every kind, how to corrupt and how to read one.

`make` is called once, in its own process and in an empty current folder.
"""

from collections.abc import Callable
from dataclasses import dataclass

import image_files as images
import model_files as models
import table_files as tables
from image_files import Made
from mutations import corrupt, corrupt_json, corrupt_lines, corrupt_png, corrupt_zip

GIB = 2**30


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: Its name in the summary.
        extension: Extension of the file name.
        make: Returns undamaged files and a function that reads a corrupted one.
        corrupt: One of the functions of `mutations`.
        share: Number of inputs of this kind per thousand.
        room: Memory in bytes that reading may allocate.
    """

    name: str
    extension: str
    make: Callable[[], Made]
    corrupt: Callable[..., bytes] = corrupt
    share: int = 60
    room: int = GIB


KINDS = (
    Kind("JPEG", ".jpg", images.JPEG, corrupt, 110, 3 * GIB),
    Kind("PNG", ".png", images.PNG, corrupt_png, 130, 3 * GIB),
    Kind("WebP", ".webp", images.WEBP, corrupt, 90, 3 * GIB),
    Kind("TIFF", ".tif", images.TIFF, corrupt, 130, 3 * GIB),
    Kind("BMP", ".bmp", images.BMP, corrupt, 60, 3 * GIB),
    Kind("GIF", ".gif", images.GIF, corrupt, 70, 3 * GIB),
    Kind("AVIF", ".avif", images.AVIF, corrupt, 60, 3 * GIB),
    Kind("JPEG 2000", ".jp2", images.JPEG_2000, corrupt, 60, 3 * GIB),
    Kind("CSV manifest", ".csv", tables.make_manifests, corrupt_lines, 60),
    Kind("JSONL manifest", ".jsonl", tables.make_json_manifests, corrupt_lines, 60),
    Kind("zip of images", ".zip", tables.make_zips, corrupt_zip, 60, 3 * GIB),
    Kind("style file", ".nstyle", models.make_styles, corrupt_zip, 40),
    Kind("array file", ".arrays", models.make_array_files, corrupt_zip, 40),
    Kind("checkpoint", ".bin", models.make_checkpoints, corrupt_zip, 25),
    Kind("weights, .npz", ".npz", models.make_weights("npz"), corrupt_zip, 25),
    Kind("weights, Keras HDF5", ".weights.h5", models.make_weights("keras"), corrupt, 25),
    Kind("weights, published HDF5", ".h5", models.make_weights("published"), corrupt, 25),
    Kind("classifier (.keras)", ".keras", models.make_classifiers, corrupt_zip, 8),
    Kind("predictions, CSV", ".csv", tables.make_results(".csv"), corrupt_lines, 30),
    Kind("predictions, JSONL", ".jsonl", tables.make_results(".jsonl"), corrupt_lines, 30),
    Kind("predictions, kept", ".jsonl", tables.make_kept_predictions, corrupt_lines, 30),
    Kind("record of a run", ".json", tables.make_records, corrupt_json, 15),
    Kind("record of a sweep", ".json", tables.make_swept, corrupt_json, 10),
    Kind("cached features", ".rows", models.make_cached, corrupt, 17),
)
"""Everything that is read from a file."""
