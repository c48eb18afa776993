"""Measure what many images cost: folders in one run, shards, Dask workers, caches and listings.

    python -m benchmarks.scaling batch --contents 20 --size 256 --singles 3
    python -m benchmarks.scaling dask --images 2000 --rounds 2
    python -m benchmarks.scaling cache --rows 1000000 --width 1280
    python -m benchmarks.scaling listing --files 1000000

`batch` times `nstk stylize` over a folder in one run against processes of their own for some of
the contents, and the run's seconds outside its images. `dask` times `nstk predict` in one process
with two threads, with `--dask local:2`, and as two shards one after the other, merged, and compares
the bytes. `cache` writes rows of random digests, then opens the cache in a fresh process and looks
up a thousand. `listing` makes a folder of empty files, lists it and its inputs in a fresh process.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FRESH = "import resource, sys, time; began = time.perf_counter()\n"
MEMORY = "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20\n"

OPEN_CACHE = f"""{FRESH}
from nstk.features.cache import FeatureCache
digests = open(sys.argv[2]).read().split()
imported = time.perf_counter()
shard = FeatureCache(sys.argv[1]).shard({{"synthetic": True}})
opened = time.perf_counter()
found = sum(shard.find(each) is not None for each in digests)
looked = time.perf_counter()
{MEMORY}
print(len(shard), found, opened - imported, looked - opened, peak)
"""

LIST_FOLDER = f"""{FRESH}
from nstk.classifiers.prediction.reading import list_inputs
imported = time.perf_counter()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
inputs = list_inputs(sys.argv[1])
listed = time.perf_counter()
{MEMORY}
print(inputs.total, listed - imported, before, peak)
"""


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nstk-scaling-") as name:
        yield Path(name)


def run(*command: object, **environment: str) -> float:
    """Run nstk in a process of its own, quietly; return the seconds from start to end."""
    began = time.perf_counter()
    words = [sys.executable, "-m", "nstk_cli", *map(str, command), "-q"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **environment})
    return time.perf_counter() - began


def measure_batch(contents: int, size: int, singles: int, steps: int | None) -> None:
    """Time a folder in one run and some of its contents in runs of their own."""
    import numpy as np

    import nstk

    options = ["--size", size, *(["--steps", steps] if steps else [])]
    with folder() as place:
        (place / "in").mkdir()
        random = np.random.default_rng(0)
        for number in range(contents):
            noise = random.random((40 + number % 3 * 8, 48 + number % 5 * 4, 3), np.float32)
            nstk.save_image(place / "in" / f"{number}.png", noise.repeat(8, 0).repeat(8, 1))
        nstk.save_image(place / "style.png", random.random((64, 64, 3), np.float32).repeat(6, 1))
        whole = run(
            *("stylize", place / "in", "--style", place / "style.png"),
            *("--output-dir", place / "out", *options),
        )
        table = json.loads((place / "out" / "results.json").read_text())["images"]
        inside = sum(each["seconds"] for each in table)
        own = [
            run(
                *("stylize", place / "in" / f"{number}.png", place / "style.png"),
                *("-o", place / "single.png", *options),
            )
            for number in range(singles)
        ]
        single = statistics.median(own)
    print(f"{contents} contents, {size} px, one run: {whole:.1f} s")
    print(f"one content, one run: {single:.1f} s (median of {singles})")
    print(f"one run / {contents} single runs: {whole / (contents * single):.2f}")
    print(f"seconds in images: {inside:.1f}; start and between images: {whole - inside:.1f}")


def measure_dask(images: int, rounds: int) -> None:
    """Time predictions in one process, in Dask workers and in shards; compare the bytes."""
    import numpy as np

    import nstk

    with folder() as place:
        random = np.random.default_rng(0)
        for number in range(images):
            side = 96 + 16 * (number % 3)
            noise = random.integers(0, 256, (side // 8, side // 8, 3), np.uint8)
            name = place / "in" / f"{'ab'[number % 2]}" / f"{number}.png"
            name.parent.mkdir(parents=True, exist_ok=True)
            nstk.save_image(name, noise.repeat(8, 0).repeat(8, 1))
        few = [(place / "in" / each / f"{k}.png") for k in range(40) for each in "ab"[k % 2]]
        pixels = [nstk.load_image(path) for path in few]
        square = np.stack([each.pixels[:96, :96] for each in pixels])
        classifier = nstk.finetune(
            (square, np.arange(len(few)) % 2), value_range=(0, 1), cache=None
        ).classifier
        model = classifier.save(place / "model.keras")
        command = ("predict", model, place / "in", "--executor", "litert", "-o")
        threads = {"TF_NUM_INTRAOP_THREADS": "2"}
        one, dask = [], []
        for _ in range(rounds):
            one.append(run(*command, place / "one.csv", **threads))
            dask.append(run(*command, place / "dask.csv", "--dask", "local:2"))
        for k in (1, 2):
            run(*command, place / f"{k}.csv", "--shard", f"{k}/2")
        merge = ["merge", place / "1.csv", place / "2.csv", "-o", place / "merged.csv"]
        words = [sys.executable, "-m", "nstk_cli", *merge]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        bytes_of = {
            name: (place / f"{name}.csv").read_bytes() for name in ("one", "dask", "merged")
        }
    print(f"{images} images, one process: {images / min(one):.1f} images/s (start included)")
    print(f"{images} images, two Dask workers: {images / min(dask):.1f} images/s")
    print(f"ratio: {min(one) / min(dask):.2f}")
    print(f"Dask: same bytes {bytes_of['dask'] == bytes_of['one']}")
    print(f"two shards merged: same bytes {bytes_of['merged'] == bytes_of['one']}")


def measure_cache(rows: int, width: int) -> None:
    """Write a cache of random digests; open it and look up a thousand in a fresh process."""
    import numpy as np

    from nstk.features.cache import FeatureCache

    with folder() as place:
        random = np.random.default_rng(0)
        began = time.perf_counter()
        cache = FeatureCache(place / "cache")
        shard = cache.shard({"synthetic": True})
        digests = []
        row = random.random(width, np.float32)
        for number in range(rows):
            digest = random.bytes(32).hex()
            shard.add(digest, row)
            if number % (rows // 1000 or 1) == 0:
                digests.append(digest)
        cache.close()
        wrote = time.perf_counter() - began
        size = sum(path.stat().st_size for path in (place / "cache").rglob("*.rows"))
        (place / "digests").write_text("\n".join(digests))
        told = subprocess.run(
            [sys.executable, "-c", OPEN_CACHE, place / "cache", place / "digests"],
            check=True,
            capture_output=True,
            text=True,
        )
        count, found, opening, looking, peak = told.stdout.split()
    print(f"{rows} rows of {width} numbers: written in {wrote:.0f} s, {size / rows:.0f} bytes each")
    print(f"{count} rows opened in {float(opening):.2f} s, peak memory {float(peak):.2f} GiB")
    print(f"{found} of {len(digests)} rows looked up in {float(looking):.2f} s")


def measure_listing(files: int) -> None:
    """List a folder of empty files as inputs of `predict`, in a fresh process."""
    with folder() as place:
        for number in range(files):
            if number % 1000 == 0:
                (place / "in" / f"class {number // 1000}").mkdir(parents=True)
            name = place / "in" / f"class {number // 1000}" / f"IMG_{number}.jpg"
            os.close(os.open(name, os.O_CREAT))
        told = subprocess.run(
            [sys.executable, "-c", LIST_FOLDER, place / "in"],
            check=True,
            capture_output=True,
            text=True,
        )
        count, seconds, before, peak = told.stdout.split()
        shutil.rmtree(place / "in")
    print(f"{count} files listed in {float(seconds):.1f} s")
    print(f"peak memory {float(peak):.2f} GiB, of which {float(before):.2f} before the listing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    batch = commands.add_parser("batch")
    batch.add_argument("--contents", type=int, default=20)
    batch.add_argument("--size", type=int, default=256)
    batch.add_argument("--singles", type=int, default=3)
    batch.add_argument("--steps", type=int)
    dask = commands.add_parser("dask")
    dask.add_argument("--images", type=int, default=2000)
    dask.add_argument("--rounds", type=int, default=2)
    cache = commands.add_parser("cache")
    cache.add_argument("--rows", type=int, default=1_000_000)
    cache.add_argument("--width", type=int, default=1280)
    listing = commands.add_parser("listing")
    listing.add_argument("--files", type=int, default=1_000_000)
    chosen = vars(parser.parse_args())
    command = chosen.pop("command")
    programs = {"batch": measure_batch, "dask": measure_dask, "cache": measure_cache}
    {**programs, "listing": measure_listing}[command](**chosen)


if __name__ == "__main__":
    main()
