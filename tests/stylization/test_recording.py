"""Reporters that record a run: they keep everything reported, stay small, and stop nothing."""

import logging
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nstk.errors import DivergenceError, OutputError, SettingsError
from nstk.images.encoding import check_animation
from nstk.images.loading import load_image
from nstk.progress import Progress
from nstk.storage.files import derive_path
from nstk.stylization.result import Frames, Previews, Trace, broadcast


def filled(brightness, shape=(12, 16)):
    return np.full((*shape, 3), brightness, np.float32)


def report_run(report, steps=(4, 3), shapes=((6, 8), (12, 16))):
    """Report a run of two scales."""
    report(Progress(stage="weights", step=0, total=1))
    for count, shape in zip(steps, shapes, strict=True):
        stage = f"{shape[1]}×{shape[0]}"
        report(Progress(stage=stage, step=0, total=count, preview=lambda s=shape: filled(0, s)))
        for step in range(1, count + 1):
            report(
                Progress(
                    stage=stage,
                    step=step,
                    total=count,
                    loss=1 / step,
                    terms={"content": 0.5 / step, "style": 2.0},
                    preview=lambda s=shape, k=step / count: filled(k, s),
                )
            )


def test_a_trace_holds_every_step_of_every_scale():
    trace = Trace()
    report_run(trace)
    assert [(s.stage, s.planned, len(s.steps)) for s in trace.scales] == [
        ("8×6", 4, 4),
        ("16×12", 3, 3),
    ]
    assert [step.loss for step in trace.steps] == [1, 1 / 2, 1 / 3, 1 / 4, 1, 1 / 2, 1 / 3]
    assert trace.terms == ("content", "style")
    seconds = [step.seconds for step in trace.steps]
    assert seconds == sorted(seconds)
    assert seconds[0] >= 0


def test_a_trace_copies_the_terms():
    trace, terms = Trace(), {"style": 1.0}
    trace(Progress(stage="a", step=1, total=2, loss=1.0, terms=terms))
    terms["style"] = 2.0
    assert trace.steps[0].terms == {"style": 1.0}


def test_everything_before_an_interruption_is_kept():
    trace, frames = Trace(), Frames()

    def stop(progress):
        if progress.stage == "16×12" and progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        report_run(broadcast(trace, frames, stop))
    assert len(trace.steps) == 6
    assert len(frames) == 7


def test_reporters_are_called_in_order():
    reported = []
    broadcast(lambda p: reported.append(("a", p.step)), lambda p: reported.append(("b", p.step)))(
        Progress(stage="s", step=3, total=3)
    )
    assert reported == [("a", 3), ("b", 3)]


def test_previews_are_written_every_few_steps_to_one_file(tmp_path):
    path, seen = tmp_path / "now.png", []

    def look(progress):
        seen.append(load_image(path).pixels[0, 0, 0] if path.exists() else None)

    report_run(broadcast(Previews(path, 3), look))
    levels = [None if level is None else round(float(level), 2) for level in seen]
    # weights, 8×6 at steps 0 to 4, 16×12 at steps 0 to 3; the third and sixth step are due
    assert levels == [None, None, None, None, 0.75, 0.75, 0.75, 0.75, 0.67, 0.67]
    assert [found.name for found in tmp_path.iterdir()] == ["now.png"]


def test_a_preview_that_cannot_be_written_is_logged_and_stops_nothing(tmp_path, caplog):
    trace = Trace()
    with caplog.at_level(logging.WARNING, "nstk"):
        report_run(broadcast(Previews(tmp_path / "absent" / "now.png", 5), trace))
    assert len(trace.steps) == 7
    assert "No preview at step 5" in caplog.text


@pytest.mark.parametrize("letter", ["o", "ö"])
def test_names_derived_from_long_names_fit_and_differ(tmp_path, letter):
    longest = letter * (251 // len(letter.encode()))
    derived = [
        derive_path(tmp_path / f"{stem}.png", ".preview.png") for stem in (longest, longest[:-1])
    ]
    for path in derived:
        Previews(path, 1)(Progress(stage="8×6", step=1, total=1, preview=lambda: filled(0.5)))
        assert path.exists()
        assert path.name.startswith(letter * 100)
        assert path.name.endswith(".preview.png")
    assert len(set(derived)) == 2
    assert derive_path(tmp_path / "a.png", ".preview.png") == tmp_path / "a.preview.png"


def numbered(step):
    """An image of one pixel that encodes its step."""
    return np.float32([[[step % 250, step // 250, 0]]]) / 255


@given(st.integers(0, 400), st.integers(2, 20))
def test_frames_are_few_and_evenly_spread(steps, limit):
    frames = Frames(limit=limit)
    looked = []
    for step in range(steps):
        frames(
            Progress(
                stage="s",
                step=step + 1,
                total=steps,
                preview=lambda k=step: looked.append(k) or numbered(k),
            )
        )
    assert len(frames) < limit
    assert len(looked) <= limit * (math.log2(steps + 2) + 1)
    kept = [250 * int(frame[0, 0, 1]) + int(frame[0, 0, 0]) for frame in frames._frames]
    assert len({after - before for before, after in pairwise(kept)}) <= 1
    if steps:
        assert kept[0] == 0
        assert len(kept) >= min(steps, limit - 1) // 2


def test_an_animation_has_one_size_repeats_and_ends_with_the_result(tmp_path):
    frames = Frames()
    report_run(frames)
    result = np.random.default_rng(0).random((24, 32, 3), np.float32)
    path = frames.save(tmp_path / "out.gif", result)
    with Image.open(path) as animation:
        assert animation.size == (32, 24)
        assert animation.info["loop"] == 0
        assert animation.n_frames == len(frames) + 1
        durations = []
        for index in range(animation.n_frames):
            animation.seek(index)
            durations.append(animation.info["duration"])
        last = np.asarray(animation.convert("RGB"), np.float32) / 255
    assert durations[-1] == 2000
    assert np.abs(last - result).mean() < 0.12


def test_frames_of_large_images_are_resized(tmp_path):
    frames = Frames(longest_side=32)
    frames(Progress(stage="s", step=0, total=1, preview=lambda: filled(0.2, (60, 90))))
    assert frames._frames[0].shape == (21, 32, 3)
    frames.save(tmp_path / "out.gif", filled(0.8, (60, 90)))
    with Image.open(tmp_path / "out.gif") as animation:
        assert animation.size == (32, 21)


def test_an_animation_without_frames_is_the_result_alone(tmp_path):
    Frames().save(tmp_path / "out.gif", filled(0.5))
    with Image.open(tmp_path / "out.gif") as animation:
        assert animation.n_frames == 1


@pytest.mark.parametrize("name", ["out.mp4", "out", "absent/out.gif"])
def test_a_path_that_cannot_hold_an_animation_is_refused(tmp_path, name):
    with pytest.raises(OutputError):
        check_animation(tmp_path / name)
    with pytest.raises(OutputError):
        Frames().save(tmp_path / name, filled(0.5))


@pytest.mark.parametrize("error", [KeyboardInterrupt, DivergenceError])
def test_recordings_of_an_interrupted_run_can_be_saved(tmp_path, error):
    trace, frames = Trace(), Frames()

    def end(progress):
        if progress.step == 3:
            raise error

    with pytest.raises(error):
        report_run(broadcast(trace, frames, end))
    assert len(trace.steps) == 3
    assert frames.save(tmp_path / "out.gif", filled(0.5)).is_file()


@pytest.mark.parametrize("every", [0, -3, 1.5])
def test_the_interval_of_previews_must_be_a_whole_number(tmp_path, every):
    with pytest.raises(SettingsError, match=f"preview_every.*{every}"):
        Previews(tmp_path / "now.png", every)
