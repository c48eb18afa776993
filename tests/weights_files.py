"""Weights files in the formats of Keras, keras.applications and NumPy."""

import h5py
import numpy as np


def write_npz(path, model):
    """Write one array per ``layer/variable``, as in the packaged file."""
    np.savez(
        path,
        **{
            f"{layer.name}/{variable.name}": np.asarray(variable)
            for layer in model.layers
            for variable in layer.weights
        },
    )
    return path


def write_keras(path, model):
    """Write the current format of ``model.save_weights``."""
    model.save_weights(path)
    return path


def write_published(path, model, root=""):
    """Write the format of keras.applications, where attributes name layers and weights."""
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        group.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            stored = group.create_group(layer.name)
            names = [f"{layer.name}_{number}_1:0" for number in range(len(layer.weights))]
            stored.attrs["weight_names"] = [name.encode() for name in names]
            for name, variable in zip(names, layer.weights, strict=True):
                stored[name] = np.asarray(variable)
    return path
