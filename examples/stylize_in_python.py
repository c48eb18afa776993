"""Paint one image like another, from Python, watching the loss and keeping every scale.

python examples/stylize_in_python.py CONTENT STYLE OUTPUT [SIZE] [STEPS]
"""

import sys
from pathlib import Path

import nstk


def main(
    content: str, style: str, output: str, size: str = "256", steps: str = "60"
) -> nstk.StylizeResult:
    """Stylize, reporting each scale as it ends.

    Args:
        content: The image to repaint.
        style: The image to paint it like.
        output: Where to write the result; the scales on the way stand beside it.
        size: Longer side of the result in pixels.
        steps: Steps at the full scale.
    """
    settings = nstk.StylizeSettings(size=int(size), steps=int(steps), style_weight=2.0)

    def watch(progress: nstk.Progress) -> None:
        if progress.step == progress.total and progress.preview:
            print(f"{progress.stage}: loss {progress.loss:.4f}")
            on_the_way = Path(output).with_stem(f"{Path(output).stem}-{progress.stage}")
            nstk.save_image(on_the_way, progress.preview())

    made = nstk.stylize(content, style, settings=settings, on_progress=watch)
    made.save(output)
    parts = ", ".join(f"{name} {made.terms[name]:.3f}" for name in ("content", "style"))
    print(f"{output}: {parts}, {made.seconds_per_step:.2f} s per step")
    return made


if __name__ == "__main__":
    main(*sys.argv[1:])
