"""What reads files from strangers: for every kind how one is spoilt, and how it is read.

`make` is called once in a process of its own, in an empty folder that is the current one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import image_files as images
import model_files as models
import table_files as tables
from image_files import Made
from mutations import spoil, spoil_json, spoil_lines, spoil_png, spoil_zip

GIB = 2**30


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: What the table calls it.
        ending: Of the file's name.
        make: Gives whole files and the function that reads a spoilt one.
        spoil: One of the functions of `mutations`.
        share: How many inputs of a thousand are of this kind.
        room: How many bytes of memory reading may take beyond what the process has.
    """

    name: str
    extension: str
    make: Callable[[], Made]
    spoil: Callable[..., bytes] = spoil
    share: int = 60
    room: int = GIB


KINDS = (
    Kind("JPEG", ".jpg", images.JPEG, spoil, 110, 3 * GIB),
    Kind("PNG", ".png", images.PNG, spoil_png, 130, 3 * GIB),
    Kind("WebP", ".webp", images.WEBP, spoil, 90, 3 * GIB),
    Kind("TIFF", ".tif", images.TIFF, spoil, 130, 3 * GIB),
    Kind("BMP", ".bmp", images.BMP, spoil, 60, 3 * GIB),
    Kind("GIF", ".gif", images.GIF, spoil, 70, 3 * GIB),
    Kind("CSV manifest", ".csv", tables.make_manifests, spoil_lines, 60),
    Kind("JSONL manifest", ".jsonl", tables.make_json_manifests, spoil_lines, 60),
    Kind("zip of images", ".zip", tables.make_zips, spoil_zip, 60, 3 * GIB),
    Kind("style file", ".nstyle", models.make_styles, spoil_zip, 40),
    Kind("array file", ".arrays", models.make_array_files, spoil_zip, 40),
    Kind("checkpoint", ".bin", models.make_checkpoints, spoil_zip, 25),
    Kind("weights, .npz", ".npz", models.make_weights("npz"), spoil_zip, 25),
    Kind("weights, Keras HDF5", ".weights.h5", models.make_weights("keras"), spoil, 25),
    Kind("weights, published HDF5", ".h5", models.make_weights("published"), spoil, 25),
    Kind("classifier (.keras)", ".keras", models.make_classifiers, spoil_zip, 8),
    Kind("predictions, CSV", ".csv", tables.make_results(".csv"), spoil_lines, 30),
    Kind("predictions, JSONL", ".jsonl", tables.make_results(".jsonl"), spoil_lines, 30),
    Kind("predictions, kept", ".jsonl", tables.make_kept_predictions, spoil_lines, 30),
    Kind("record of a run", ".json", tables.make_records, spoil_json, 15),
    Kind("record of a sweep", ".json", tables.make_swept, spoil_json, 10),
    Kind("cached features", ".rows", models.make_cached, spoil, 17),
)
"""Everything that is read from a file."""
