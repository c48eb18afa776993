"""The parts of unfreezing: McNemar's test, augmentation, the split network, schedules, plans."""

from math import comb

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from nstk.backbones.backbone import Backbone
from nstk.backbones.blocks import find_blocks
from nstk.errors import OutputError, SettingsError
from nstk.features.activation_store import ActivationStore
from nstk.features.networks import BLOCKS, build_feature_network
from nstk.features.workers import Workers
from nstk.finetuning.unfreezing.augmentation import PIXEL_RECIPES, Augmentation
from nstk.finetuning.unfreezing.model import PartiallyFrozenModel, normalization_weights
from nstk.finetuning.unfreezing.planning import EPOCHS, choose_depth, count_steps
from nstk.finetuning.unfreezing.result import McNemarTest, SecondStage
from nstk.finetuning.unfreezing.training import TrainingStep, schedule_rate
from nstk.heads.head import Head
from nstk.heads.links import SOFTMAX
from nstk.settings import FinetuneSettings, parse_time


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemars_p_value_is_that_of_the_two_sided_binomial_test(gained, lost):
    count = gained + lost
    chances = [comb(count, k) / 2**count for k in range(count + 1)]
    as_rare = sum(chance for chance in chances if chance <= chances[gained] * (1 + 1e-9))
    assert McNemarTest(100, gained, lost).p_value == pytest.approx(as_rare)


def test_the_smaller_expected_log_loss_is_kept_whatever_the_significance():
    for losses, kept in (((0.5, 0.4), True), ((0.5, 0.5), False), ((0.4, 0.5), False)):
        stage = SecondStage(*[None] * 5, McNemarTest(100, 6, 0), (0.9, 0.96), losses, 0, 0.0)
        assert stage.kept == kept
    assert McNemarTest(10_000, 2000, 1500).p_value < 1e-10


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_gains_and_losses_explain_the_difference(pairs):
    first, second = np.array(pairs).T
    test = McNemarTest.compare(first, second)
    assert test.gained - test.lost == int(second.sum()) - int(first.sum())


@pytest.mark.parametrize("memory", [0, 10**6])
def test_an_activation_store_returns_its_rows_from_memory_and_from_disk(memory):
    rows = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)
    store = ActivationStore(9, (2, 3), np.float32, memory=memory)
    store.write(rows[:4])
    store.write(rows[4:])
    assert store.is_file == (memory == 0)
    assert len(store) == 7
    some = np.array([6, 0, 0, 3])
    np.testing.assert_array_equal(store.take_rows(some), rows[some])


def test_a_row_may_be_empty():
    store = ActivationStore(3, (0,), np.float32)
    store.write(np.zeros((3, 0), np.float32))
    assert store.take_rows(np.array([1, 2])).shape == (2, 0)


def test_a_full_disk_is_one_line(monkeypatch):
    store = ActivationStore(3, (4,), np.float32, memory=0)

    def fill_up(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.open", fill_up)
    with pytest.raises(OutputError, match="TMPDIR"):
        store.write(np.zeros((1, 4), np.float32))


@pytest.fixture(scope="module")
def batch():
    random = np.random.default_rng(5)
    maps = random.uniform(size=(6, 16, 16, 3)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    weights = np.ones((6, 1), np.float32)
    return maps, random.normal(size=(6, 4)).astype(np.float32), targets, weights


@pytest.fixture(scope="module", params=["none", "mixup", "light", "strong"])
def recipe(request):
    """A recipe, and two augmentations by it with the same seed."""
    return request.param, [Augmentation(request.param, 3, 1 / 3) for _ in range(2)]


def test_augmentation_is_the_same_for_one_seed_and_keeps_the_sum_of_targets(recipe, batch):
    name, augmentations = recipe
    made = [[np.array(each) for each in augment(*batch)] for augment in augmentations]
    for first, second, given_ in zip(*made, batch, strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.shape == given_.shape
    assert made[0][2].sum(axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    changed = not np.array_equal(made[0][0], batch[0])
    assert changed == (name != "none")


def test_the_state_of_augmentation_is_restored(recipe, batch):
    _, [augment, other] = recipe
    augment(*batch)
    for generator, known in zip(other.generators, augment.generators, strict=True):
        generator.assign(known)
    expected = [np.array(each) for each in augment(*batch)]
    for found, known in zip(other(*batch), expected, strict=True):
        np.testing.assert_array_equal(found, known)


def test_no_two_steps_are_augmented_alike(batch):
    augment = Augmentation("light", 3, 1 / 3)
    assert not np.array_equal(*(augment(*batch)[0] for _ in range(2)))


def test_features_are_mixed_as_maps_are(batch):
    maps, _, *others = batch
    augment = Augmentation("mixup", 8, 1 / 3)
    mixed, mixed_features, *_ = augment(maps, maps.mean(axis=(1, 2)), *others)
    assert np.mean(mixed, axis=(1, 2)) == pytest.approx(mixed_features.numpy(), abs=1e-5)


@pytest.fixture(scope="module")
def residual():
    """A small network with batch normalization and a residual addition."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    image = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(2.0, offset=-1.0)(image)
    for number, strides in enumerate((2, 2, 1)):
        y = layers.Conv2D(8, 3, strides, padding="same", name=f"conv{number}")(x)
        y = layers.BatchNormalization(name=f"norm{number}")(y)
        y = layers.ReLU(name=f"relu{number}")(y)
        x = layers.Add(name=f"add{number}")([x, y]) if strides == 1 else y
    model = keras.Model(image, x)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            random = np.random.default_rng(1)
            layer.set_weights([random.uniform(0.5, 1.5, 8).astype("f4") for _ in range(4)])
    return Backbone("residual", model, 32, "seeded")


def test_a_residual_addition_is_never_cut(residual):
    assert [block.name for block in find_blocks(residual.model)] == ["relu0", "relu1", "add2"]


def test_convolutions_of_one_stride_are_one_block():
    from nstk.backbones.packaged import build_compact

    names = [block.name for block in find_blocks(build_compact())]
    assert names == ["block1_pool", "block2_pool", "block3_pool", "block4_pool", "block5_conv2"]


def test_an_inverted_bottleneck_is_one_block_and_so_is_a_separable_convolution():
    image = keras.Input((32, 32, 3))
    v2 = keras.applications.MobileNetV2(
        alpha=0.35, include_top=False, weights=None, input_tensor=image
    )
    names = [block.name for block in find_blocks(v2)]
    assert names[:4] == [
        "expanded_conv_project_BN",
        "block_1_project_BN",
        "block_2_add",
        "block_3_project_BN",
    ]
    assert (len(names), names[-1]) == (18, "out_relu")
    v1 = keras.applications.MobileNet(
        alpha=0.25, include_top=False, weights=None, input_tensor=keras.Input((32, 32, 3))
    )
    assert len(find_blocks(v1)) == 14


def test_blocks_hold_every_layer_once(residual):
    layers = [layer for block in find_blocks(residual.model) for layer in block.layers]
    assert layers == residual.model.layers


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(2).uniform(size=(3, 32, 32, 3)).astype(np.float32)


def head_for(width):
    kernel = np.random.default_rng(4).normal(size=(width, 2)).astype(np.float32)
    return Head(kernel, np.zeros(2, np.float32), np.ones(1), np.zeros((0, 2)))


@pytest.mark.parametrize("features", ["pooled", "pooled+statistics"])
@pytest.mark.parametrize("depth", [1, 3])
def test_frozen_and_trainable_parts_together_are_the_network(residual, crops, features, depth):
    whole = build_feature_network(residual, 32, BLOCKS[features])(crops)
    expected = np.concatenate([whole[block] for block in BLOCKS[features]], axis=1)
    network = PartiallyFrozenModel(
        residual, depth, features, head_for(expected.shape[1]), "float32"
    )
    described = network.features(*network.activations(crops)).numpy()
    assert described == pytest.approx(expected, abs=1e-5)


def test_a_step_changes_the_unfrozen_blocks_and_nothing_else(residual, crops):
    before = {layer.name: layer.get_weights() for layer in residual.model.layers}
    network = PartiallyFrozenModel(residual, 1, "pooled", head_for(8), "float32")
    step = TrainingStep(network, SOFTMAX, Workers(tf.distribute.get_strategy()), from_pixels=True)
    targets = np.eye(2, dtype=np.float32)[[0, 1, 0]]
    batch = (crops, np.zeros((3, 0), np.float32), targets, np.ones((3, 1), np.float32))
    losses = [step(batch, 10.0, count) for count in range(12)]
    assert losses[-1] < losses[0]
    learned, _ = network.to_backbone()
    moved = {
        layer.name
        for layer in learned.model.layers
        if not all(map(np.array_equal, layer.get_weights(), before[layer.name]))
    }
    assert moved == {"conv2"}
    pinned = zip(
        normalization_weights(learned.model), normalization_weights(residual.model), strict=True
    )
    assert all(np.array_equal(*pair) for pair in pinned)
    assert all(
        np.array_equal(old, new)
        for layer in residual.model.layers
        for old, new in zip(before[layer.name], layer.get_weights(), strict=True)
    )


def test_a_step_at_rate_0_changes_nothing(residual, crops):
    network = PartiallyFrozenModel(residual, 2, "pooled", head_for(8), "float32")
    step = TrainingStep(network, SOFTMAX, Workers(tf.distribute.get_strategy()), from_pixels=True)
    targets, weights = np.eye(2, dtype=np.float32)[[0, 1, 0]], np.ones((3, 1), np.float32)
    batch = (crops, np.zeros((3, 0), np.float32), targets, weights)
    before = network.get_weights()
    assert step(batch, 0.0, 0) > 0
    assert all(map(np.array_equal, before, network.get_weights()))


def test_deeper_blocks_have_lower_learning_rates(residual):
    network = PartiallyFrozenModel(residual, 3, "pooled", head_for(8), "float32")
    step = TrainingStep(network, SOFTMAX, Workers(tf.distribute.get_strategy()), from_pixels=True)
    assert step.rates == pytest.approx([1, 1, *(r for d in (1, 2, 3) for r in 2 * [0.8**d])])


def test_half_precision_halves_maps_and_keeps_weights(residual, crops):
    network = PartiallyFrozenModel(residual, 1, "pooled", head_for(8), "bfloat16")
    maps, features = network.activations(crops)
    assert maps.dtype == tf.bfloat16
    assert network.features(maps, features).dtype == tf.float32
    assert {variable.dtype for variable in network.variables} == {"float32"}


def test_the_rate_rises_to_1_and_falls_to_0():
    rates = [schedule_rate(step, 50) for step in range(50)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert 0 < rates[-1] < 0.01
    assert schedule_rate(0, 1) == 1


def test_more_images_unfreeze_more_blocks_and_less_time_fewer(residual):
    blocks, network = find_blocks(residual.model), residual.model
    never = float("inf")

    def choose(asked="auto", augment="auto", images=1000, left=never, seconds=1.0):
        return choose_depth(asked, augment, blocks, network, images, left, seconds)

    assert choose(images=20) == (1, "light")
    assert choose(images=50) == (2, "light")
    assert choose() == choose("all") == choose(17) == (3, "light")
    assert choose(augment="none") == (3, "none")
    assert choose(left=1.0) == (1, "mixup")
    assert choose(2, left=1.0) == (2, "mixup")
    assert choose(2, "strong", left=1.0) == (2, "strong")
    assert PIXEL_RECIPES == ("light", "strong")


@given(st.integers(1, 50), st.floats(0, 1e4), st.floats(1e-3, 10), st.floats(0, 10))
def test_steps_fit_into_the_remaining_time(per_epoch, left, step, check):
    steps = count_steps(per_epoch, left, step, check)
    assert steps * step + steps // per_epoch * check <= left + 1e-6
    assert count_steps(per_epoch, float("inf"), step, check) == EPOCHS * per_epoch


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("10m", 600), ("1.5 min", 90), ("2h", 7200), ("45", 45)]
)
def test_times_are_parsed_with_their_units(text, seconds):
    assert parse_time(text) == seconds


def test_invalid_times_and_numbers_of_blocks_are_refused():
    for text in ("soon", "10 weeks", "m", "1:30"):
        with pytest.raises(ValueError, match=r"time|float"):
            parse_time(text)
    for value in (0, -1, True, 1.5, "some"):
        with pytest.raises(SettingsError, match="unfreeze"):
            FinetuneSettings(unfreeze=value)
    with pytest.raises(SettingsError, match="budget"):
        FinetuneSettings(budget=0)
    with pytest.raises(SettingsError, match="augment"):
        FinetuneSettings(augment="much")


def test_a_budget_alone_unfreezes_as_many_blocks_as_fit():
    assert FinetuneSettings().unfreeze_depth is None
    assert FinetuneSettings(budget=60.0).unfreeze_depth == "auto"
    assert FinetuneSettings(budget=60.0, unfreeze=2).unfreeze_depth == 2
