"""Stylize an image from Python, printing the loss and saving the result of every scale.

python examples/stylize_in_python.py CONTENT STYLE OUTPUT [SIZE] [STEPS]
"""

import sys
from pathlib import Path

import nstk


def main(
    content: str, style: str, output: str, size: str = "256", steps: str = "60"
) -> nstk.StylizeResult:
    """Stylize, and report each scale when it ends.

    Args:
        content: Image to stylize.
        style: Image whose style to use.
        output: File to write; the results of smaller scales are written beside it.
        size: Longer side of the result in pixels.
        steps: Steps at full size.
    """

    def watch(progress: nstk.Progress) -> None:
        if progress.step == progress.total and progress.preview:
            print(f"{progress.stage}: loss {progress.loss:.4f}")
            scale_file = Path(output).with_stem(f"{Path(output).stem}-{progress.stage}")
            nstk.save_image(scale_file, progress.preview())

    options = {"size": int(size), "steps": int(steps), "style_weight": 2.0}
    result = nstk.stylize(content, style, **options, on_progress=watch)
    result.save(output)
    parts = ", ".join(f"{name} {result.terms[name]:.3f}" for name in ("content", "style"))
    print(f"{output}: {parts}, {result.seconds_per_step:.2f} s per step")
    return result


if __name__ == "__main__":
    main(*sys.argv[1:])
