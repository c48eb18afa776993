import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from nstk.backbones.backbone import Backbone
from nstk.errors import DivergenceError, ImageError, SettingsError
from nstk.images.image import LoadedImage, load_image, save_image
from nstk.progress import Progress
from nstk.settings import StylizeSettings
from nstk.stylization import objective as objectives
from nstk.stylization.inputs import open_image
from nstk.stylization.job import StylizeResult, stylize
from nstk.stylization.preparing import plan_stylization

QUICK = StylizeSettings(size=64, steps=8, scales=2)


@pytest.fixture(scope="module")
def painted(tiny_backbone, scene, strokes) -> StylizeResult:
    return stylize(scene, strokes, backbone=tiny_backbone, settings=QUICK)


def test_a_result_has_the_size_asked_for_and_the_aspect_of_the_content(painted):
    assert painted.image.shape == (48, 64, 3)
    assert painted.image.dtype == np.float32
    assert painted.image.min() >= 0.0
    assert painted.image.max() <= 1.0


def test_terms_hold_content_style_variation_and_every_style_layer(painted):
    layers = {"block1_conv1", "block2_conv1", "block3_conv1"}
    assert set(painted.terms) == {"content", "style", "tv", *layers}
    assert np.isfinite(painted.loss)


def test_steps_are_those_of_all_scales(painted):
    assert painted.steps == 8 + 11
    assert painted.seconds_per_step > 0
    assert painted.peak_memory_bytes is None or painted.peak_memory_bytes > 10_000_000


def test_the_loss_falls(tiny_backbone, scene, strokes):
    losses = []

    def listen(progress: Progress) -> None:
        if progress.loss is not None:
            losses.append(progress.loss)

    settings = StylizeSettings(size=64, steps=40, scales=1)
    stylize(scene, strokes, backbone=tiny_backbone, settings=settings, on_progress=listen)
    assert len(losses) == 40
    assert losses[-1] < 0.5 * losses[0]


def test_content_equal_to_style_stays_as_it_is(tiny_backbone, scene):
    settings = StylizeSettings(size=64, steps=10, scales=1, tv_weight=0.0)
    result = stylize(scene, scene, backbone=tiny_backbone, settings=settings)
    noise = np.mean(np.square(result.image - scene))
    assert 10 * np.log10(1 / noise) > 25


def test_the_same_settings_give_the_same_bytes(tiny_backbone, scene, strokes, painted):
    again = stylize(scene, strokes, backbone=tiny_backbone, settings=QUICK)
    np.testing.assert_array_equal(again.image, painted.image)


@pytest.mark.parametrize("init", ["noise", "gray", "style"])
def test_every_start_is_seeded(tiny_backbone, scene, strokes, init):
    def paint(seed):
        settings = StylizeSettings(size=64, steps=1, scales=1, init=init, seed=seed)
        return stylize(scene, strokes, backbone=tiny_backbone, settings=settings).image

    np.testing.assert_array_equal(paint(1), paint(1))
    assert np.abs(paint(1) - paint(2)).max() > 0


def test_a_descent_can_start_from_any_image_file(tiny_backbone, scene, strokes, tmp_path):
    start = save_image(tmp_path / "start.png", np.full((20, 30, 3), 0.5, np.float32))
    settings = StylizeSettings(
        size=64, steps=1, scales=1, init=str(start), learning_rate=1e-6, style_weight=0.0
    )
    result = stylize(scene, strokes, backbone=tiny_backbone, settings=settings)
    np.testing.assert_allclose(result.image, 0.5, atol=0.01)


def test_a_larger_content_weight_keeps_more_of_the_content(tiny_backbone, scene, strokes):
    terms = [
        stylize(
            scene,
            strokes,
            backbone=tiny_backbone,
            settings=StylizeSettings(size=64, steps=30, scales=1, content_weight=weight),
        ).terms
        for weight in (0.01, 0.3, 10.0)
    ]
    content = [each["content"] for each in terms]
    style = [each["style"] for each in terms]
    assert content == sorted(content, reverse=True)
    assert style == sorted(style)


def test_stylizing_leaves_the_backbone_as_it_was(tiny_backbone, scene, strokes):
    before = tiny_backbone.digest
    stylize(scene, strokes, backbone=tiny_backbone, settings=QUICK)
    assert Backbone(**vars_of(tiny_backbone)).digest == before


def vars_of(backbone: Backbone) -> dict:
    return {name: getattr(backbone, name) for name in ("name", "model", "input_size", "source")}


def test_several_styles_are_painted_together(tiny_backbone, scene, strokes):
    both = stylize(scene, [strokes, scene], backbone=tiny_backbone, settings=QUICK)
    assert both.image.shape == (48, 64, 3)


def test_a_tensor_and_an_image_are_one_style_each(tiny_backbone, scene, strokes, painted):
    levels = np.rint(strokes * 255).astype(np.uint8)
    expected = stylize(scene, levels, backbone=tiny_backbone, settings=QUICK).image
    for style in (tf.constant(levels), Image.fromarray(levels)):
        made = stylize(scene, style, backbone=tiny_backbone, settings=QUICK)
        np.testing.assert_array_equal(made.image, expected)


def test_an_interrupt_returns_the_image_so_far(tiny_backbone, scene, strokes):
    def interrupt(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    result = stylize(scene, strokes, backbone=tiny_backbone, settings=QUICK, on_progress=interrupt)
    assert result.interrupted
    assert result.steps == 3
    assert np.isfinite(result.image).all()


def test_progress_brings_a_preview_of_the_present_image(tiny_backbone, scene, strokes):
    seen = []
    stylize(
        scene,
        strokes,
        backbone=tiny_backbone,
        settings=QUICK,
        on_progress=lambda progress: seen.append((progress.stage, progress.preview().shape)),
    )
    assert ("45×34", (34, 45, 3)) in seen
    assert seen[-1] == ("64×48", (48, 64, 3))


def test_alpha_comes_back_at_the_size_of_the_result(tiny_backbone, scene, strokes, tmp_path):
    mask = np.zeros(scene.shape[:2], np.float32)
    mask[:, 32:] = 1.0
    path = save_image(tmp_path / "cut.png", scene, alpha=mask)
    settings = StylizeSettings(size=128, steps=1, scales=1)
    result = stylize(path, strokes, backbone=tiny_backbone, settings=settings)
    saved = load_image(result.save(tmp_path / "out.png"))
    assert isinstance(saved, LoadedImage)
    assert saved.alpha.shape == (96, 128)
    assert saved.alpha[:, :56].max() < 0.05
    assert saved.alpha[:, 72:].min() > 0.95


def test_a_loss_that_is_no_number_stops_with_the_name_of_the_term(
    tiny_backbone, scene, strokes, monkeypatch
):
    monkeypatch.setattr(
        "nstk.stylization.objective.sum_variation",
        lambda image: float("nan") * tf.ones(4),
    )
    with pytest.raises(DivergenceError, match="in variation"):
        stylize(scene, strokes, backbone=tiny_backbone, settings=QUICK)


def test_a_step_is_compiled_once_for_every_scale(tiny_backbone, scene, strokes, monkeypatch):
    traces = []
    measure = objectives.StyleObjective.evaluate

    def counting(self, image, balance):
        traces.append(image.shape)
        return measure(self, image, balance)

    monkeypatch.setattr(objectives.StyleObjective, "evaluate", counting)
    stylize(scene, strokes, backbone=tiny_backbone, settings=QUICK)
    assert len(traces) == 2


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000)])
def test_a_image_too_small_to_look_at_is_refused(tiny_backbone, strokes, shape):
    small = np.zeros((*shape, 3), np.float32)
    with pytest.raises(ImageError, match="needs at least 8"):
        stylize(small, strokes, backbone=tiny_backbone, settings=QUICK)
    with pytest.raises(ImageError, match="needs at least 8"):
        stylize(strokes, small, backbone=tiny_backbone, settings=QUICK)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.zeros((4, 4), np.float32), r"\(4, 4\) of float32"),
        (np.zeros((0, 4, 3), np.float32), r"\(0, 4, 3\)"),
        (np.zeros((8, 8, 3), np.int64), "of int64; give"),
        (np.full((8, 8, 3), 255.0), "floats from 255 to 255; give floats from 0 to 1"),
        (np.full((8, 8, 3), np.nan), "floats from nan to nan"),
        (None, "of object"),
    ],
)
def test_an_array_that_is_no_image_is_refused_with_what_it_is(given, told):
    with pytest.raises(ImageError, match=f"content: .*{told}"):
        open_image(given, "content")


def test_a_image_in_memory_is_the_same_in_whole_levels_and_in_floats(scene):
    levels = np.rint(scene * 255).astype(np.uint8)
    floats = open_image(np.float64(levels) / 255, "content").pixels
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(open_image(levels, "content").pixels, floats)


def test_what_resampling_overshot_is_clipped():
    pixels = open_image(np.float32([[[-0.1, 0.5, 1.2]]]), "content").pixels
    np.testing.assert_array_equal(pixels, np.float32([[[0, 0.5, 1]]]))


def test_at_least_one_style_is_needed(tiny_backbone, scene):
    with pytest.raises(SettingsError, match="No style"):
        stylize(scene, [], backbone=tiny_backbone, settings=QUICK)


def test_a_first_image_that_is_none_is_refused_before_any_work(
    tiny_backbone, scene, strokes, tmp_path
):
    settings = StylizeSettings(size=64, steps=2, init=tmp_path / "none.png")
    with pytest.raises(ImageError, match=r"none\.png: no such file"):
        plan_stylization(scene, strokes, backbone=tiny_backbone, settings=settings)


def test_a_device_with_too_little_memory_is_told(tiny_backbone, scene, strokes, monkeypatch):
    def refuse(self, image, balance):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(objectives.StyleObjective, "evaluate", refuse)
    with pytest.raises(SettingsError, match=r"pixels need more memory.*--tiling on"):
        stylize(scene, strokes, backbone=tiny_backbone, settings=QUICK)
