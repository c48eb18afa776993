import gc
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from unit_images import unit_image

from nstk.backbones.backbone import Backbone
from nstk.errors import DivergenceError, ImageError, SettingsError
from nstk.images.color_spaces import to_luma
from nstk.images.encoding import save_image
from nstk.images.loading import LoadedImage, load_image
from nstk.progress import Progress
from nstk.settings import StylizeSettings
from nstk.stylization import objective as objectives
from nstk.stylization.inputs import open_image, read_inputs
from nstk.stylization.job import plan_stylization, stylize
from nstk.stylization.regions import NO_MASKS
from nstk.stylization.result import StylizeResult
from nstk.stylization.task import read_task

QUICK = StylizeSettings(size=64, steps=6, scales=1)
TWO_SCALES = StylizeSettings(size=64, steps=8, scales=2)


@pytest.fixture(scope="module")
def two_scales(tiny_backbone, scene, strokes) -> tuple[StylizeResult, list]:
    """A result with two scales, and every progress report with its preview's shape."""
    reports = []
    result = stylize(
        scene,
        strokes,
        settings=TWO_SCALES,
        backbone=tiny_backbone,
        on_progress=lambda progress: reports.append((progress, progress.preview().shape)),
    )
    return result, reports


@pytest.fixture(scope="module")
def result(two_scales) -> StylizeResult:
    return two_scales[0]


@pytest.fixture(scope="module")
def quick(tiny_backbone, scene, strokes) -> StylizeResult:
    return stylize(scene, strokes, settings=QUICK, backbone=tiny_backbone)


def test_a_result_has_the_requested_size_and_the_aspect_ratio_of_the_content(result):
    assert result.image.shape == (48, 64, 3)
    assert result.image.dtype == np.float32
    assert result.image.min() >= 0.0
    assert result.image.max() <= 1.0


def test_terms_are_content_style_tv_and_every_style_layer(result):
    layers = {"block1_conv1", "block2_conv1", "block3_conv1"}
    assert set(result.terms) == {"content", "style", "tv", *layers}
    assert np.isfinite(result.loss)


def test_steps_are_counted_over_all_scales(result):
    assert result.steps == 8 + 8
    assert result.seconds_per_step > 0
    assert result.peak_memory_bytes is None or result.peak_memory_bytes > 10_000_000


def test_the_loss_falls_and_previews_have_the_size_of_their_scale(two_scales):
    _, reports = two_scales
    assert {(progress.stage, shape) for progress, shape in reports} == {
        ("45×34", (34, 45, 3)),
        ("64×48", (48, 64, 3)),
    }
    losses = [progress.loss for progress, _ in reports if progress.loss is not None]
    assert len(losses) == 8 + 8
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("is_gray", [True, False])
def test_content_equal_to_style_hardly_changes(tiny_backbone, scene, optimizer, is_gray):
    image = np.repeat(to_luma(scene)[..., np.newaxis], 3, axis=-1) if is_gray else scene
    settings = StylizeSettings(size=64, steps=10, scales=1, tv_weight=0, optimizer=optimizer)
    result = stylize(image, image, value_range=(0, 1), backbone=tiny_backbone, settings=settings)
    noise = np.mean(np.square(result.image - image))
    assert noise < 10**-2.5  # a signal-to-noise ratio of 25 dB


def test_keyword_settings_give_the_same_bytes_as_a_settings_object(
    tiny_backbone, scene, strokes, quick
):
    again = stylize(scene, strokes, backbone=tiny_backbone, size=64, steps=6, scales=1)
    np.testing.assert_array_equal(again.image, quick.image)
    assert again.settings == QUICK


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"sise": 64}, "sise.*size"),
        ({"size": 3}, "size"),
        ({"settings": QUICK, "size": 64}, "size"),
    ],
)
def test_wrong_keyword_settings_are_refused_by_name(tiny_backbone, scene, strokes, options, name):
    for function in (stylize, plan_stylization):
        with pytest.raises(SettingsError, match=name):
            function(scene, strokes, backbone=tiny_backbone, **options)


@pytest.mark.parametrize("init", ["noise", "gray", "style"])
def test_every_random_initial_image_depends_on_the_seed_alone(tiny_backbone, scene, strokes, init):
    def start(seed):
        settings = StylizeSettings(size=64, scales=1, init=init, seed=seed)
        return read_task(scene, strokes, NO_MASKS, tiny_backbone, settings).start().image()

    np.testing.assert_array_equal(start(1), start(1))
    assert np.abs(start(1) - start(2)).max() > 0


def test_the_initial_image_can_be_any_file(tiny_backbone, scene, strokes, tmp_path):
    start = save_image(tmp_path / "start.png", np.full((20, 30, 3), 0.5, np.float32))
    settings = StylizeSettings(size=64, scales=1, init=str(start))
    image = read_task(scene, strokes, NO_MASKS, tiny_backbone, settings).start().image()
    np.testing.assert_allclose(image, 0.5, atol=0.01)


def test_a_larger_content_weight_preserves_more_content(tiny_backbone, scene, strokes):
    terms = [
        stylize(
            scene,
            strokes,
            backbone=tiny_backbone,
            settings=StylizeSettings(size=48, steps=20, scales=1, content_weight=weight),
        ).terms
        for weight in (0.01, 10.0)
    ]
    assert terms[0]["content"] > 1.2 * terms[1]["content"]
    assert terms[0]["style"] < 0.8 * terms[1]["style"]


def test_stylizing_does_not_change_the_backbone(tiny_backbone, quick):
    fields = ("name", "model", "input_size", "source")
    fresh = Backbone(**{name: getattr(tiny_backbone, name) for name in fields})
    assert fresh.digest == tiny_backbone.digest


def test_a_tensor_and_a_pillow_image_are_one_style_each(scene, strokes):
    levels = np.rint(strokes * 255).astype(np.uint8)
    for style in (levels, tf.constant(levels), Image.fromarray(levels)):
        [read] = read_inputs(scene, style, NO_MASKS, QUICK).styles
        np.testing.assert_array_equal(read.pixels, levels / np.float32(255))
    assert len(read_inputs(scene, [strokes, scene], NO_MASKS, QUICK).styles) == 2


def test_ctrl_c_returns_the_image_so_far(tiny_backbone, scene, strokes):
    def interrupt(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    result = stylize(scene, strokes, settings=QUICK, backbone=tiny_backbone, on_progress=interrupt)
    assert result.interrupted
    assert result.steps == 3
    assert np.isfinite(result.image).all()


def test_transparency_has_the_size_of_the_result(tiny_backbone, scene, strokes, tmp_path):
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


def test_a_loss_that_is_not_finite_stops_with_the_name_of_the_term(
    tiny_backbone, scene, strokes, monkeypatch
):
    monkeypatch.setattr(
        "nstk.stylization.objective.tv_sums",
        lambda image: float("nan") * tf.ones(4),
    )
    with pytest.raises(DivergenceError, match="in tv"):
        stylize(scene, strokes, settings=QUICK, backbone=replace(tiny_backbone))


def test_a_step_is_compiled_once_for_all_sizes_and_calls(
    tiny_backbone, scene, strokes, monkeypatch
):
    traces, network = [], replace(tiny_backbone)
    evaluate = objectives.StyleObjective.evaluate

    def counting(self, image, loss_weights):
        traces.append(image.shape)
        return evaluate(self, image, loss_weights)

    monkeypatch.setattr(objectives.StyleObjective, "evaluate", counting)
    for content in (scene, scene[:-5, :-11]):
        stylize(content, strokes, settings=TWO_SCALES, backbone=network)
    assert len(traces) == 1


def test_a_call_leaves_no_compiled_graph_when_its_network_is_gone(tiny_backbone, scene, strokes):
    kind = type(tf.function(lambda: 0).get_concrete_function().graph)

    def count_graphs():
        stylize(scene, strokes, settings=QUICK, backbone=replace(tiny_backbone))
        gc.collect()
        return sum(isinstance(each, kind) for each in gc.get_objects())

    first, *others = (count_graphs() for _ in range(3))
    assert max(others) <= first


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000)])
def test_an_image_too_small_for_the_network_is_refused(tiny_backbone, strokes, shape):
    small = np.zeros((*shape, 3), np.float32)
    with pytest.raises(ImageError, match="8"):
        stylize(small, strokes, backbone=tiny_backbone, settings=QUICK)
    with pytest.raises(ImageError, match="8"):
        stylize(strokes, small, backbone=tiny_backbone, settings=QUICK)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.zeros((4, 4), np.float32), r"\(4, 4\)"),
        (np.zeros((0, 4, 3), np.float32), r"\(0, 4, 3\)"),
        (np.full((8, 8, 3), 300), "300"),
        (np.full((8, 8, 3), 999.0), "999"),
        (np.full((8, 8, 3), 0.5), r"value_range.*\(0, 255\)"),
        (np.full((8, 8, 3), np.nan), "nan"),
        (None, "object"),
    ],
)
def test_an_array_that_is_not_an_image_is_refused_with_its_shape_and_type(given, told):
    with pytest.raises(ImageError, match=f"content: .*{told}"):
        open_image(given, "content")


def test_uint8_and_float_arrays_give_the_same_image(scene):
    levels = np.rint(scene * 255).astype(np.uint8)
    floats = open_image(np.asarray(levels, np.float64), "content").pixels
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(open_image(levels, "content").pixels, floats)


def test_overshoot_from_resampling_is_clipped():
    pixels = open_image(unit_image([[[-0.1, 0.5, 1.2]]]), "content").pixels
    np.testing.assert_array_equal(pixels, np.float32([[[0, 0.5, 1]]]))


def test_at_least_one_style_is_needed(tiny_backbone, scene):
    with pytest.raises(SettingsError, match="style"):
        stylize(scene, [], backbone=tiny_backbone, settings=QUICK)


def test_a_missing_initial_image_is_refused_before_any_work(
    tiny_backbone, scene, strokes, tmp_path
):
    settings = StylizeSettings(size=64, steps=2, init=tmp_path / "none.png")
    with pytest.raises(ImageError, match=r"none\.png"):
        plan_stylization(scene, strokes, backbone=tiny_backbone, settings=settings)


def test_a_device_with_too_little_memory_is_reported(tiny_backbone, scene, strokes, monkeypatch):
    def refuse(self, image, loss_weights):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(objectives.StyleObjective, "evaluate", refuse)
    with pytest.raises(SettingsError, match=r"64×48 .*tiling"):
        stylize(scene, strokes, settings=QUICK, backbone=replace(tiny_backbone))


def test_a_result_describes_and_shows_itself(two_scales, tmp_path):
    result, _ = two_scales
    described = json.loads(json.dumps(result.to_dict()))
    assert (described["width"], described["height"]) == (64, 48)
    assert described["terms"] == pytest.approx(dict(result.terms))
    assert "\n" not in repr(result)
    image = Image.open(io.BytesIO(result._repr_png_()))
    saved = Image.open(result.save(tmp_path / "saved.png"))
    np.testing.assert_array_equal(np.asarray(image), np.asarray(saved))


def test_a_result_is_an_image_of_its_own_range(two_scales):
    result, _ = two_scales
    np.testing.assert_array_equal(open_image(result, "content").pixels, result.image)


def test_a_loaded_image_keeps_its_transparency(scene, tmp_path):
    alpha = np.full(scene.shape[:2], 0.5, np.float32)
    loaded = load_image(save_image(tmp_path / "half.png", scene, alpha=alpha))
    assert open_image(loaded, "content").alpha is loaded.alpha


def test_gray_images_give_a_gray_result(tiny_backbone, scene, strokes):
    grays = [unit_image(np.repeat(image[..., 1:2], 3, axis=-1)) for image in (scene, strokes)]
    image = stylize(*grays, settings=QUICK, backbone=tiny_backbone).image
    np.testing.assert_array_equal(np.ptp(image, axis=-1), 0)
    assert np.abs(image - grays[0]).max() > 0.05


@pytest.mark.parametrize("noise", [0, 3])
def test_a_swatch_is_refused_as_a_style(tiny_backbone, scene, noise):
    grain = np.random.default_rng(1).integers(-noise, noise + 1, (64, 64, 3))
    swatch = (np.array([200, 30, 30]) + grain).astype(np.uint8)
    with pytest.raises(ImageError, match="RGB 200 30 30"):
        stylize(scene, swatch, settings=QUICK, backbone=tiny_backbone)


def test_faint_paper_is_a_style(tiny_backbone, scene):
    rows, columns = np.mgrid[:96, :96]
    fibers = 3 * np.sin(rows / 5 + np.sin(columns / 9))[..., np.newaxis]
    paper = np.rint(np.array([235, 228, 210]) + fibers).astype(np.uint8)
    assert stylize(scene, paper, settings=QUICK, backbone=tiny_backbone).steps == QUICK.steps
