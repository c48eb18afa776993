from fractions import Fraction

import av
import numpy as np
import pytest
from clip_files import HEIGHT, WIDTH, draw_clip, draw_frame, encode, even_times, sound_seconds
from PIL import Image

from nstk.errors import ImageError, OutputError, SettingsError
from nstk.settings import VideoSettings
from nstk.video import extras
from nstk.video.clips import is_clip, look_at, makes_clip, read_frames
from nstk.video.sound import Sound
from nstk.video.writing import Timeline, check_clip_output, write_clip

ALL = VideoSettings()
UNEVEN = Timeline([Fraction(t, 100) for t in (0, 10, 14, 40)], Fraction(1, 2))


def read(path, settings=ALL):
    return [frame.levels for frame in read_frames(path, settings)]


def error(one, other):
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize(
    ("name", "loss"),
    [("a.mp4", 8), ("a.mov", 8), ("a.webm", 10), ("a.gif", 12), ("a.webp", 8), ("frames", 0)],
)
def test_a_clip_is_read_as_it_was_written(tmp_path, name, loss):
    path = draw_clip(tmp_path / name)
    assert is_clip(path)
    frames = read(path)
    assert len(frames) == 4
    for number, levels in enumerate(frames):
        assert levels.shape == (HEIGHT, WIDTH, 3)
        assert error(levels, draw_frame(number)) <= loss


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a.webp"])
def test_the_times_of_a_variable_frame_rate_are_kept(tmp_path, name):
    info = look_at(draw_clip(tmp_path / name, timeline=UNEVEN), ALL)
    assert [float(time) for time in info.times] == pytest.approx([0, 0.1, 0.14, 0.4], abs=0.006)


def test_a_turned_clip_is_upright(tmp_path):
    frames = [draw_frame(0)] * 2
    path = encode(tmp_path / "phone.mp4", frames, rotation=90)
    info, (first, *_) = look_at(path, ALL), read(path)
    assert (info.height, info.width) == (WIDTH, HEIGHT)
    assert error(first, np.rot90(frames[0])) < 8


@pytest.mark.parametrize("color_range", [1, 2])
def test_limited_and_full_range_have_the_same_colors(tmp_path, color_range):
    gray = np.repeat(np.linspace(8, 248, WIDTH).astype(np.uint8)[None], HEIGHT, axis=0)
    levels = np.repeat(gray[..., None], 3, axis=-1)
    path = encode(tmp_path / "a.mp4", [levels] * 2, color_range=color_range)
    assert error(read(path)[0], levels) < 3


def test_what_is_written_names_its_colors(tmp_path):
    with av.open(str(draw_clip(tmp_path / "a.mp4"))) as container:
        context = container.streams.video[0].codec_context
        assert (context.pix_fmt, context.color_range, context.colorspace) == ("yuv420p", 1, 1)


def test_the_index_of_an_mp4_comes_first(tmp_path):
    content = draw_clip(tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_odd_sides_lose_a_row_or_column_and_one_pixel_gets_a_second(tmp_path):
    odd = draw_clip(tmp_path / "odd.mp4", height=31, width=47)
    assert read(odd)[0].shape == (30, 46, 3)
    dot = write_clip(tmp_path / "dot.mp4", [draw_frame(0, 1, 1)], even_times(1))
    assert read(dot)[0].shape == (2, 2, 3)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.webm", "opus")])
def test_the_sound_of_a_part_comes_along(tmp_path, name, codec):
    frames = [draw_frame(number) for number in range(10)]
    source = encode(tmp_path / "talk.mp4", frames, sound=1.0)
    assert look_at(source, ALL).has_sound
    path = write_clip(tmp_path / name, frames[2:8], even_times(6), Sound(source, Fraction(2, 10)))
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == codec
    assert sound_seconds(path) == pytest.approx(0.6, abs=0.08)


def test_start_end_every_and_fps_choose_frames(tmp_path):
    path = draw_clip(tmp_path / "frames", count=10)

    def times(**chosen):
        return [round(float(t), 3) for t in look_at(path, VideoSettings(**chosen)).times]

    assert times(start=0.08, end=0.2) == [0.08, 0.12, 0.16]
    assert times(every=4) == [0.0, 0.16, 0.32]
    assert times(fps=10)[:3] == [0.0, 0.1, 0.2]
    clip = draw_clip(tmp_path / "a.mp4", count=10)
    chosen = look_at(clip, VideoSettings(fps=5)).times
    assert [float(t) for t in chosen] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8], abs=0.01)
    with pytest.raises(ImageError, match="start"):
        look_at(clip, VideoSettings(start=5))


def test_frames_of_a_folder_are_in_the_order_of_their_numbers(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (10, 9, 2):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"f{number}.png")
    assert [int(levels[0, 0, 0]) for levels in read(folder)] == [2, 9, 10]
    (folder / "cover.png").write_bytes((folder / "f2.png").read_bytes())
    assert not is_clip(folder)


def test_an_animation_has_its_own_times(tmp_path):
    frames = [Image.fromarray(draw_frame(number)) for number in range(3)]
    frames[0].save(
        tmp_path / "a.png", save_all=True, append_images=frames[1:], duration=[40, 200, 100]
    )
    info = look_at(tmp_path / "a.png", ALL)
    assert [float(time) for time in info.times] == pytest.approx([0, 0.04, 0.24])
    assert error(read(tmp_path / "a.png")[2], draw_frame(2)) == 0


def test_an_animation_becomes_a_clip_or_a_still(tmp_path):
    gif = draw_clip(tmp_path / "a.gif")
    still = tmp_path / "a.jpg"
    Image.fromarray(draw_frame(0)).save(still)
    outputs = {name: makes_clip(gif, tmp_path / name) for name in ("o.mp4", "o.webp", "o", "o.png")}
    assert outputs == {"o.mp4": True, "o.webp": True, "o": True, "o.png": False}
    assert not makes_clip(still, tmp_path / "o.webp")
    assert makes_clip(tmp_path / "missing.mp4", tmp_path / "o.png")


@pytest.mark.parametrize("content", [b"", b"no film", "cut"])
def test_a_damaged_clip_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "a.mp4"
    whole = draw_clip(tmp_path / "whole.mp4").read_bytes()
    path.write_bytes(whole[: len(whole) // 8] if content == "cut" else content)
    with pytest.raises(ImageError) as caught:
        look_at(path, ALL)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_outputs_that_cannot_be_written_are_refused_before_any_work(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "letter.txt").write_text("mine")
    for name in ("a.png", "a.avi", "own", "nowhere/a.mp4"):
        with pytest.raises(OutputError):
            check_clip_output(tmp_path / name)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(SettingsError, match=r"nstk\[video\]"):
        extras.import_cv2()
