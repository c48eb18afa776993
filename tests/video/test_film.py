import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from clip_files import HEIGHT, WIDTH, draw_clip, draw_frame, encode, even_times, sound_seconds
from shell import complaint, invoke

from nstk.errors import CheckpointError, ImageError, MaskError, NstkError
from nstk.images.encoding import save_image
from nstk.images.loading import load_levels
from nstk.progress import Progress
from nstk.reports.video import write_report
from nstk.settings import CheckpointSettings, StylizeSettings, VideoSettings
from nstk.stylization.job import stylize
from nstk.stylization.regions import Masks
from nstk.video.clips import look_at, read_frames
from nstk.video.job import plan_clip, stylize_clip
from nstk.video.writing import write_clip

QUICK = {"size": WIDTH, "steps": 4, "scales": 1, "strength": 0.5, "precision": "float32"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder of four frames."""
    return draw_clip(tmp_path_factory.mktemp("clip") / "frames")


@pytest.fixture(scope="module")
def film(clip, strokes, tiny_backbone, tmp_path_factory):
    """The stylized clip, as a folder of frames."""
    folder = tmp_path_factory.mktemp("film") / "film"
    return stylize_clip(clip, strokes, folder, backbone=tiny_backbone, **QUICK)


def read(path):
    return [frame.levels for frame in read_frames(path, VideoSettings())]


def bytes_of(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.png"))}


class Interruption:
    """A reporter that interrupts a clip at one of its reports, as Ctrl-C does."""

    def __init__(self, report):
        self.left = report

    def __call__(self, progress: Progress):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_a_still_is_a_clip_of_one_frame(clip, film, strokes, tiny_backbone):
    levels = read(clip)[0]
    still = stylize(levels, strokes, backbone=tiny_backbone, **QUICK)
    np.testing.assert_array_equal(np.rint(still.image * 255), read(film.output)[0])


def test_later_frames_start_from_the_one_before_and_take_fewer_steps(film):
    assert [frame.steps for frame in film.frames] == [4, 2, 2, 2]
    assert [frame.is_cut for frame in film.frames] == [True, False, False, False]
    assert film.frames[0].reliable == 0
    assert all(0.5 < frame.reliable <= 1 for frame in film.frames[1:])
    assert film.to_dict()["warping_error"]["result"] == pytest.approx(
        np.mean(film.stability.result)
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["flow", "difference"])
def test_the_heavier_the_temporal_loss_the_stiller_the_clip(
    tmp_path, clip, strokes, tiny_backbone, mode
):
    errors = []
    for weight in (0, 3000):
        made = stylize_clip(
            clip,
            strokes,
            tmp_path / str(weight),
            backbone=tiny_backbone,
            temporal=mode,
            temporal_weight=weight,
            **{**QUICK, "steps": 16},
        )
        errors.append(np.mean(made.stability.result))
    assert errors[1] <= errors[0]


def test_without_temporal_loss_every_frame_is_a_still(tmp_path, clip, strokes, tiny_backbone):
    made = stylize_clip(
        clip, strokes, tmp_path / "off", backbone=tiny_backbone, temporal="off", **QUICK
    )
    assert [frame.steps for frame in made.frames] == [4] * 4
    still = stylize(read(clip)[3], strokes, backbone=tiny_backbone, **QUICK)
    np.testing.assert_array_equal(np.rint(still.image * 255), read(made.output)[3])


def test_a_new_scene_begins_like_a_still(tmp_path, strokes, tiny_backbone):
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    frames = [draw_frame(0), draw_frame(0.25), noise, noise]
    source = write_clip(tmp_path / "source", frames, even_times(4))
    for mode in ("flow", "difference"):
        made = stylize_clip(
            source, strokes, tmp_path / mode, backbone=tiny_backbone, temporal=mode, **QUICK
        )
        assert [frame.is_cut for frame in made.frames] == [True, False, True, False]
        assert made.cuts == 1
        still = stylize(noise, strokes, backbone=tiny_backbone, **QUICK)
        np.testing.assert_array_equal(np.rint(still.image * 255), read(made.output)[2])


def test_every_interruption_is_resumed_to_the_same_bytes(
    tmp_path, clip, film, strokes, tiny_backbone
):
    """Reports come before, during and after each frame: Ctrl-C at any of them loses nothing."""
    chosen = {"backbone": tiny_backbone, **QUICK}
    for report in (2, 6, 8, 11, 14):
        folder, output = tmp_path / f"state{report}", tmp_path / f"film{report}"
        settings = CheckpointSettings(checkpoint=folder, checkpoint_every=1)
        part = stylize_clip(
            clip, strokes, output, checkpoints=settings, on_progress=Interruption(report), **chosen
        )
        assert part.interrupted
        done = len(part.frames)
        assert (part.output is None) == (done == 0)
        if done:
            assert list(bytes_of(output).values()) == [*bytes_of(film.output).values()][:done]
        again = CheckpointSettings(checkpoint=folder, checkpoint_every=1, resume=True)
        whole = stylize_clip(clip, strokes, output, checkpoints=again, **chosen)
        assert [frame.steps for frame in whole.frames] == [frame.steps for frame in film.frames]
        assert bytes_of(output) == bytes_of(film.output)


def test_a_finished_frame_that_is_lost_is_named(tmp_path, clip, strokes, tiny_backbone):
    folder, chosen = tmp_path / "state", {"backbone": tiny_backbone, **QUICK}
    settings = CheckpointSettings(checkpoint=folder, checkpoint_every=1)
    stop = Interruption(11)
    stylize_clip(clip, strokes, tmp_path / "a", checkpoints=settings, on_progress=stop, **chosen)
    (folder / "frame-000000.png").unlink()
    again = CheckpointSettings(checkpoint=folder, resume=True)
    with pytest.raises(CheckpointError, match="frame-000000"):
        stylize_clip(clip, strokes, tmp_path / "b", checkpoints=again, **chosen)
    with pytest.raises(CheckpointError, match="temporal_weight"):
        stylize_clip(clip, strokes, tmp_path / "b", checkpoints=again, temporal_weight=1, **chosen)


@pytest.mark.slow
def test_a_keep_mask_may_be_a_clip(tmp_path, clip, strokes, tiny_backbone):
    masks = []
    for number in range(4):
        mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        mask[:, 6 * number : 6 * number + 10] = 255 if number != 2 else 0
        masks.append(mask)
    keep = write_clip(tmp_path / "keep", masks, even_times(4))
    chosen = {"backbone": tiny_backbone, **QUICK}
    made = stylize_clip(clip, strokes, tmp_path / "a", masks=Masks(keep_mask=keep), **chosen)
    results, contents = read(made.output), read(clip)
    for number in (0, 1, 3):
        kept = slice(6 * number, 6 * number + 10)
        np.testing.assert_array_equal(results[number][:, kept], contents[number][:, kept])
    assert (results[2] != contents[2]).mean() > 0.5
    short = write_clip(tmp_path / "short", masks[:2], even_times(2))
    with pytest.raises(MaskError, match="keep_mask"):
        stylize_clip(clip, strokes, tmp_path / "b", masks=Masks(keep_mask=short), **chosen)


@pytest.mark.slow
def test_controls_of_stills_hold_for_clips(tmp_path, clip, strokes, tiny_backbone):
    """Tiles, two styles in two regions, colors and another optimizer, all together."""
    left = np.zeros((HEIGHT, WIDTH), np.float32)
    left[:, : WIDTH // 2] = 1
    made = stylize_clip(
        clip,
        [strokes, strokes[::-1].copy()],
        tmp_path / "a",
        backbone=tiny_backbone,
        masks=Masks(content_masks=[left, 1 - left]),
        every=2,
        **{**QUICK, "tiling": "on", "color": "luminance", "optimizer": "lbfgs"},
    )
    assert [frame.steps for frame in made.frames] == [4, 2]
    chroma = [levels - levels.mean(axis=-1, keepdims=True) for levels in read(made.output)]
    contents = [levels - levels.mean(axis=-1, keepdims=True) for levels in read(clip)[::2]]
    for got, wanted in zip(chroma, contents, strict=True):
        assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.8


def test_a_plan_counts_frames_time_and_disk(clip, strokes, tiny_backbone, tmp_path):
    chosen = {"backbone": tiny_backbone, **QUICK}
    four, two = (plan_clip(clip, strokes, tmp_path / "a", every=n, **chosen) for n in (1, 2))
    assert (four.frames, two.frames) == (4, 2)
    assert (four.height, four.width) == (HEIGHT, WIDTH)
    assert four.seconds - two.seconds == pytest.approx(2 * four.seconds_per_frame)
    assert four.disk_bytes == 2 * two.disk_bytes == 4 * 3 * HEIGHT * WIDTH
    assert not (tmp_path / "a").exists()


def test_frames_of_two_sizes_are_refused(tmp_path, clip, strokes, tiny_backbone):
    folder = tmp_path / "mixed"
    folder.mkdir()
    save_image(folder / "1.png", draw_frame(0))
    save_image(folder / "2.png", draw_frame(0, 40, 48))
    with pytest.raises(ImageError, match="one size"):
        stylize_clip(folder, strokes, tmp_path / "a", backbone=tiny_backbone, **QUICK)


def test_the_report_shows_frames_errors_and_reliability(tmp_path, clip, film):
    page = write_report(
        tmp_path / "report",
        film,
        content=clip,
        styles=["strokes.png"],
        settings=StylizeSettings(),
        video=VideoSettings(),
    )
    text = page.read_text()
    assert text.count("<img") == 4 + 4 + 3 + 3
    assert text.count("<svg") == 2
    record = json.loads((page.parent / "clip.json").read_text())
    assert record["warping_error"]["result"] == pytest.approx(np.mean(film.stability.result), 1e-4)
    assert len(record["frames"]) == 4


@pytest.fixture
def style_file(strokes, tmp_path):
    return save_image(tmp_path / "strokes.png", np.asarray(strokes))


OPTIONS = ("--size", WIDTH, "--steps", 2, "--scales", 1, "-q")


@pytest.mark.slow
@pytest.mark.usefixtures("small_compact")
def test_the_command_writes_a_film_with_sound(tmp_path, style_file):
    frames = [draw_frame(number / 4, 64, 96) for number in range(5)]
    source = encode(tmp_path / "talk.mp4", frames, sound=0.5, rotation=90)
    output = tmp_path / "film.mp4"
    preview = ("--preview-every", 1, "--report", tmp_path / "report")
    made = invoke("stylize", source, style_file, "-o", output, *OPTIONS, *preview, "--json")
    assert made.exit_code == 0, made.stderr
    answer = json.loads(made.stdout)
    info = look_at(output, VideoSettings())
    assert (info.frames, info.height, info.width) == (5, 48, 32)
    assert (answer["height"], answer["width"], len(answer["frames"])) == (48, 32, 5)
    assert sound_seconds(output) == pytest.approx(0.5, abs=0.05)
    assert load_levels(tmp_path / "film.preview.png").shape == (48, 32, 3)
    assert (tmp_path / "report" / "report.html").is_file()


@pytest.mark.usefixtures("small_compact")
def test_the_command_plans_a_clip_and_refuses_what_does_not_fit(tmp_path, clip, style_file):
    chosen = ("stylize", clip, style_file, "-o", tmp_path / "a.mp4", *OPTIONS)
    plan = invoke(*chosen, "--plan", "--json")
    assert json.loads(plan.stdout)["frames"] == 4
    assert not (tmp_path / "a.mp4").exists()
    for extra in (("--animation", tmp_path / "a.gif"), ("--memory", "2,1"), ("--start", 9)):
        assert complaint(invoke(*chosen, *extra))
    gone = invoke("stylize", tmp_path / "no.mp4", style_file, "-o", tmp_path / "a.mp4", *OPTIONS)
    assert "no.mp4" in complaint(gone)


@pytest.mark.usefixtures("small_compact")
def test_the_code_of_the_guide_runs(tmp_path, style_file, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw_clip(tmp_path / "walk.gif", 2)
    style_file.rename(tmp_path / "waves.jpg")
    guide = Path(__file__).parents[2].joinpath("docs", "video.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    exec(block.replace("size=256", "size=48, steps=1, scales=1"), {})
    assert capsys.readouterr().out.startswith("2 {'result':")


@pytest.mark.slow
def test_a_still_scene_stays_still_over_many_frames(tmp_path, strokes, tiny_backbone):
    """Nothing moves, so nothing should: the change from frame to frame does not grow."""
    source = write_clip(tmp_path / "source", [draw_frame(0)] * 12, even_times(12))
    made = stylize_clip(
        source,
        strokes,
        tmp_path / "a",
        backbone=tiny_backbone,
        **{**QUICK, "steps": 20},
    )
    results = read(made.output)
    changes = [np.abs(b.astype(int) - a).mean() for a, b in pairwise(results)]
    assert np.mean(changes[-4:]) <= max(np.mean(changes[:4]), 1.0)


def test_nstk_errors_are_the_only_ones_for_bad_options(clip, strokes, tiny_backbone, tmp_path):
    for wrong in ({"memory": ()}, {"start": 3, "end": 2}, {"every": 0}, {"temporal": "magic"}):
        with pytest.raises(NstkError):
            stylize_clip(clip, strokes, tmp_path / "a", backbone=tiny_backbone, **wrong)
