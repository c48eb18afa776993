"""What a bug report needs: versions, the machine, folders, and a self-test of both jobs.

    python -P -m nstk.diagnosis

prints the outcome of each test as a line of JSON. It is a process of its own, so that a crash in
native code, for instance on a processor without AVX, is one failed test among others.
"""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from nstk.backbones.listing import PACKAGED
from nstk.progress import Progress, Reporter, no_progress
from nstk.storage.files import find_cache_folder, find_temporary_folder
from nstk.types import Json

_FEATURE = re.compile(r"^(sse4|avx|fma|f16c|amx|neon|asimd|sve|bf16)")
_SETTING = re.compile(
    r"^(NSTK_|TF_(CPP|CUDNN|DETERMINISTIC|DISABLE|ENABLE|FORCE|GPU|NUM|USE|XLA)_|XLA_FLAGS|KERAS_|"
    r"CUDA_VISIBLE|OMP_NUM|ONEDNN_|MKL_|OPENBLAS_|XDG_CACHE|TMPDIR|LC_ALL|LANG$)"
)
_NOT_FEATURES = ("all", "dev", "docs")
_COMMAND = ("-P", "-m", "nstk.diagnosis")
_SIDE, _IMAGES = 64, 16


@dataclass(frozen=True)
class Check:
    """The outcome of one check."""

    name: str
    passed: bool
    detail: str
    seconds: float


def diagnose(*, self_test: bool = True, on_progress: Reporter = no_progress) -> dict[str, Json]:
    """Describe this installation and its machine, and test both jobs on images drawn here.

    Nothing in it identifies the machine or its user: the home folder is written as ``~``.
    """
    checks = list(_run(_FOLDER_CHECKS))
    for check in _run_self_test() if self_test else ():
        checks.append(check)
        step = len(checks) - len(_FOLDER_CHECKS)
        on_progress(Progress(stage="self-test", step=step, total=len(_SELF_TEST)))
    packages, extras = list_packages()
    return {
        "nstk": _find_version("nstk") or "not installed",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "processor": describe_processor(),
        "memory_bytes": _measure_memory(),
        "packages": packages,
        "extras": extras,
        "environment": {
            name: _hide_home(value)
            for name, value in sorted(os.environ.items())
            if _SETTING.match(name)
        },
        "checks": [asdict(check) for check in checks],
        "healthy": all(check.passed for check in checks) and None not in packages.values(),
    }


def describe_processor() -> dict[str, Json]:
    """The processor's name, the threads that this process may use, and the vector instructions."""
    facts: dict[str, str] = {}
    if (listing := Path("/proc/cpuinfo")).exists():
        lines = listing.read_text(encoding="utf-8", errors="replace").splitlines()
        pairs = (line.partition(":") for line in reversed(lines))
        facts = {name.strip(): value.strip() for name, _, value in pairs}
    flags = facts.get("flags", facts.get("Features", "")).split()
    if not flags:
        import numpy as np

        config = np.show_config(mode="dicts")
        flags = [each.lower() for each in config.get("SIMD Extensions", {}).get("found", [])]
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "name": facts.get("model name") or platform.processor() or platform.machine(),
        "threads": len(affinity(0)) if affinity else os.cpu_count() or 1,
        "features": sorted(flag for flag in flags if _FEATURE.match(flag)),
    }


def list_packages() -> tuple[dict[str, str | None], dict[str, list[str]]]:
    """Versions of the required packages (None: missing), and what is missing of each extra."""
    packages: dict[str, str | None] = {}
    extras: dict[str, list[str]] = {}
    for requirement in (_find_version("nstk") and metadata.requires("nstk")) or ():
        name = re.split(r"[^\w.-]", requirement)[0]
        extra = re.search(r"extra == ['\"]([\w-]+)", requirement)
        if extra is None:
            packages[name] = _find_version(name)
        elif extra[1] not in _NOT_FEATURES and name != "nstk":
            missing = [] if _find_version(name) else [name]
            extras[extra[1]] = extras.get(extra[1], []) + missing
    return packages, extras


def _find_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _measure_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def _hide_home(text: str) -> str:
    return text.replace(os.path.expanduser("~"), "~") if len(os.path.expanduser("~")) > 1 else text


def _check_cache() -> str:
    folder = find_cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        files = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    free = shutil.disk_usage(folder).free
    return f"{folder}, {sum(files) / 1e6:.1f} MB in {len(files)} files, {free / 1e9:.1f} GB free"


def _check_temporary_folder() -> str:
    folder = find_temporary_folder()
    return f"{folder}, {shutil.disk_usage(folder).free / 1e9:.1f} GB free"


def _check_weights() -> str:
    return ", ".join(f"{row.find_file().name} {row.digest[:8]}" for row in PACKAGED.values())


def _check_tensorflow() -> str:
    import keras
    import tensorflow as tf

    devices = [
        tf.config.experimental.get_device_details(device).get("device_name", device.device_type)
        for device in tf.config.list_physical_devices()
    ]
    return f"{tf.__version__} on {', '.join(devices)}; Keras {keras.__version__}"


def _check_executors() -> str:
    import numpy as np

    from nstk.backbones.packaged import build_compact
    from nstk.features.executors import LITERT, TENSORFLOW, NetworkExecutor

    executor = NetworkExecutor(build_compact((_SIDE, _SIDE, 3), widths=(8, 8), depths=(1, 1)))
    rows = np.random.default_rng(0).random((2, _SIDE, _SIDE, 3), np.float32)
    [one], [other] = (executor.run(name)(rows) for name in (TENSORFLOW, LITERT))
    return f"tensorflow and litert differ by {np.abs(one - other).max():.0e}"


def _check_stylize() -> str:
    import numpy as np

    from nstk.stylization.job import stylize

    y, x = np.mgrid[:_SIDE, :_SIDE][..., np.newaxis] / _SIDE
    content = np.repeat(np.hypot(x - 0.5, y - 0.5) < 0.3, 3, axis=2).astype(np.float32)
    style = (0.5 + 0.5 * np.sin((x + y) * [30, 40, 50])).astype(np.float32)
    result = stylize(content, style, value_range=(0, 1), size=_SIDE, steps=20, scales=1)
    first, *_, last = (step.loss for step in result.history.steps)
    if not last < first:
        raise ArithmeticError(f"the loss went from {first:.3g} to {last:.3g} instead of down")
    return f"20 steps at {_SIDE} px, loss {first:.2f} → {last:.2f}"


def _check_finetune() -> str:
    import numpy as np

    from nstk.finetuning.job import finetune

    labels = np.arange(_IMAGES) % 2
    generator = np.random.default_rng(0)
    stripes = np.broadcast_to(np.arange(_SIDE) // 8 % 2, (_SIDE, _SIDE)) * 160
    images = np.stack([(stripes.T if label else stripes) for label in labels])[..., np.newaxis]
    noisy = (images + generator.integers(0, 90, (_IMAGES, _SIDE, _SIDE, 3))).astype(np.uint8)
    result = finetune((noisy, labels), size=_SIDE, validation_share=0.25)
    if result.accuracy < 1:
        raise ArithmeticError(f"accuracy {result.accuracy:.0%} on stripes instead of 100%")
    return f"{_IMAGES} images of two classes, accuracy {result.accuracy:.0%}"


_FOLDER_CHECKS = {
    "cache": _check_cache,
    "temporary folder": _check_temporary_folder,
    "packaged weights": _check_weights,
}
_SELF_TEST = {
    "TensorFlow": _check_tensorflow,
    "executors": _check_executors,
    "stylize": _check_stylize,
    "finetune": _check_finetune,
}


def _run(checks: Mapping[str, Callable[[], str]]) -> Iterator[Check]:
    for name, check in checks.items():
        began = time.perf_counter()
        try:
            passed, detail = True, check()
        except Exception as error:  # what fails is what the report is about
            passed, detail = False, f"{type(error).__name__}: {' '.join(str(error).split())}"
        yield Check(name, passed, _hide_home(detail), round(time.perf_counter() - began, 2))


def _run_self_test() -> Iterator[Check]:
    """Run the self-test in a fresh process; if that ends early, the next test has failed."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    environment = {**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    began, names = time.perf_counter(), [*_SELF_TEST]
    with (
        tempfile.TemporaryFile(dir=find_temporary_folder()) as errors,
        subprocess.Popen(
            [sys.executable, *_COMMAND], env=environment, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            check = Check(**json.loads(line))
            names.remove(check.name)
            yield check
        status = process.wait()
        errors.seek(0)
        lines = errors.read().decode(errors="replace").split("\n")
    if names:
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        ended = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        detail = _hide_home(f"the process ended with {ended}: {last}")
        yield Check(names[0], False, detail, round(time.perf_counter() - began, 2))


if __name__ == "__main__":
    for each in _run(_SELF_TEST):
        sys.stdout.write(json.dumps(asdict(each)) + "\n")
        sys.stdout.flush()
