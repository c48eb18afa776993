"""The head is solved: leave-one-out is exact, the solution is optimal and deterministic."""

import dataclasses
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge

from nstk.heads.head import FOLDS, assign_folds, fit_head, predict_out_of_fold
from nstk.heads.links import SOFTMAX
from nstk.heads.logistic import balanced_weights, solve
from nstk.heads.ridge import choose_l2, decompose, leave_one_out
from nstk.heads.selection import select_head
from nstk.heads.splits import Samples
from nstk.settings import FinetuneSettings

SHAPES = [(40, 6), (25, 60)]


def clusters(images: int, width: int, classes: int = 3, seed: int = 0):
    """Overlapping clouds, one per class, with features of very different scale and offset."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    centers = generator.normal(0, 0.7, (classes, width))
    features = centers[labels] + generator.normal(0, 1, (images, width))
    return features * np.geomspace(0.1, 10, width) + np.linspace(-5, 5, width), labels


def one_hot(labels, classes=3):
    return np.arange(classes) == labels[:, np.newaxis]


def standardize(features):
    return (features - features.mean(axis=0)) / features.std(axis=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_decomposition_is_the_standardized_features_in_another_basis(shape):
    features, _ = clusters(*shape)
    parts = decompose(features)
    assert parts.coordinates @ parts.basis.T == pytest.approx(standardize(features), abs=1e-6)
    assert parts.coordinates.T @ parts.coordinates == pytest.approx(
        np.diag(parts.scatter), abs=1e-6 * parts.scatter.max()
    )


def test_with_labels_features_are_scaled_by_their_spread_within_classes():
    features, labels = clusters(300, 6)
    parts = decompose(features, one_hot(labels))
    means = np.stack([features[labels == label].mean(axis=0) for label in range(3)])
    within = (features - means[labels]).std(axis=0)
    ratio = parts.std / np.sqrt(within)
    assert ratio == pytest.approx(np.full(6, ratio[0]), rel=0.02)
    assert parts.coordinates @ parts.basis.T == pytest.approx(
        (features - features.mean(axis=0)) / parts.std, abs=1e-6
    )


def test_classes_of_one_image_keep_the_overall_scale():
    features, _ = clusters(8, 5)
    parts = decompose(features, np.eye(8, dtype=bool))
    usual = np.sqrt(features.std(axis=0))
    ratio = parts.std / usual
    assert ratio == pytest.approx(np.full(5, ratio[0]))


def test_a_constant_feature_has_no_weight():
    features, labels = clusters(30, 5)
    constant = np.full((30, 1), 0.1, np.float32)
    plain = fit_head(features, one_hot(labels))
    widened = fit_head(np.hstack([features, constant]), one_hot(labels))
    assert widened.kernel[-1] == pytest.approx(0, abs=1e-6)
    assert widened.kernel[:-1] == pytest.approx(plain.kernel, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("l2", [0.3, 30.0])
def test_leave_one_out_equals_refitting_without_each_image(shape, l2):
    features, labels = clusters(*shape)
    targets = np.eye(3)[labels]
    [predictions] = leave_one_out(decompose(features), targets, np.array([l2]))
    values = standardize(features)
    for index in range(0, len(values), 7):
        others = np.arange(len(values)) != index
        ridge = Ridge(alpha=l2).fit(values[others], targets[others])
        assert predictions[index] == pytest.approx(
            ridge.predict(values[index : index + 1])[0], abs=1e-6
        )


def test_noise_needs_a_larger_penalty_than_informative_features():
    features, labels = clusters(60, 20)
    noise = np.random.default_rng(1).normal(size=features.shape)
    targets = one_hot(labels)
    assert choose_l2(decompose(noise), targets) > choose_l2(decompose(features), targets)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("l2", [0.1, 10.0])
def test_the_optimum_is_that_of_scikit_learn(shape, l2):
    features, labels = clusters(*shape)
    kernel, bias = solve(decompose(features), one_hot(labels), l2)
    values = standardize(features)
    reference = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000).fit(values, labels)
    logits = features @ kernel.astype(float) + bias
    expected = reference.decision_function(values)
    centered = logits - logits.mean(axis=1, keepdims=True)
    assert centered == pytest.approx(expected - expected.mean(axis=1, keepdims=True), abs=1e-4)


def test_out_of_fold_logits_come_from_heads_fitted_without_the_fold():
    features, labels = clusters(60, 8)
    head = fit_head(features, one_hot(labels), seed=4)
    folds = assign_folds(labels, FOLDS, 4)
    parts = decompose(features, one_hot(labels))
    values = (features - parts.mean) / parts.std
    for fold in range(FOLDS):
        out = folds == fold
        reference = LogisticRegression(C=1 / head.l2, tol=1e-8, max_iter=1000)
        reference.fit(values[~out], labels[~out])
        expected = reference.predict_log_proba(values[out])
        found = (
            head.oof_logits[out] - np.logaddexp.reduce(head.oof_logits[out], axis=1)[:, np.newaxis]
        )
        assert found == pytest.approx(expected, rel=0.02, abs=0.05)


def test_the_same_images_give_the_same_bytes():
    features, labels = clusters(50, 12)
    first, second = (fit_head(features, one_hot(labels), seed=5) for _ in range(2))
    assert first.kernel.tobytes() == second.kernel.tobytes()
    assert first.bias.tobytes() == second.bias.tobytes()
    assert first.l2 == second.l2


def test_the_scale_of_the_features_does_not_matter():
    features, labels = clusters(50, 12)
    other = features * 1000 - 7
    head, same = fit_head(features, one_hot(labels)), fit_head(other, one_hot(labels))
    assert same.l2 == pytest.approx(head.l2)
    assert other @ same.kernel.astype(float) + same.bias == pytest.approx(
        features @ head.kernel.astype(float) + head.bias, abs=1e-2
    )


def test_two_images_are_enough():
    head = fit_head(np.array([[0.0, 1.0], [1.0, 0.0]]), np.eye(2, dtype=bool))
    assert np.isfinite(head.kernel).all()
    assert np.isnan(head.oof_logits).all()


def test_images_that_all_look_alike_get_the_shares_of_their_classes():
    head = fit_head(np.ones((6, 4), np.float32), one_hot(np.array([0, 0, 0, 0, 1, 1]), 2))
    odds = np.exp(head.bias[0] - head.bias[1])
    assert not head.kernel.any()
    assert odds == pytest.approx(2, rel=1e-4)


def test_progress_counts_up_to_the_end():
    seen = []
    features, labels = clusters(30, 4)
    fit_head(features, one_hot(labels), on_progress=seen.append)
    assert {event.stage for event in seen} == {"head"}
    steps = [event.step for event in seen]
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, seen[-1].total)


def test_balanced_classes_have_equal_weight():
    labels = np.array([0] * 30 + [1] * 6)
    weights = balanced_weights(labels)
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 1].sum())
    assert weights.mean() == pytest.approx(1)
    head = fit_head(np.ones((36, 2), np.float32), one_hot(labels, 2), balance=True)
    assert head.bias[0] == pytest.approx(head.bias[1], abs=1e-3)


@pytest.mark.parametrize("l2", [0.3, 10.0])
def test_a_weight_of_two_is_an_image_twice(l2):
    features, labels = clusters(30, 5)
    twice = np.concatenate([np.arange(30), np.arange(10)])
    weights = np.where(np.arange(30) < 10, 2.0, 1.0)[:, np.newaxis]
    targets = one_hot(labels)
    weighted, bias = solve(decompose(features), targets, l2, weights)
    # Both need the same standardization, or the penalty would differ.
    parts = decompose(features)
    repeated = dataclasses.replace(parts, coordinates=parts.coordinates[twice])
    kernel, offset = solve(repeated, targets[twice], l2)
    assert weighted == pytest.approx(kernel, abs=1e-5)
    assert bias == pytest.approx(offset, abs=1e-4)


@pytest.mark.parametrize("seed", [6, 26])
def test_the_optimum_is_found_where_a_full_newton_step_is_too_long(seed):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(40, 1))
    labels = (features[:, 0] + 0.1 * generator.normal(size=40) > 0).astype(int)
    features[:2] *= 80
    labels[:2] = 1 - labels[:2]
    weights = np.exp(generator.normal(0, 2, (40, 1)))
    kernel, bias = solve(decompose(features), one_hot(labels, 2), 0.01, weights)
    reference = LogisticRegression(C=100, tol=1e-10, max_iter=10_000)
    reference.fit(standardize(features), labels, weights[:, 0])
    logits = features @ kernel.astype(float) + bias
    expected = reference.decision_function(standardize(features))
    assert logits[:, 1] - logits[:, 0] == pytest.approx(expected, rel=2e-3)


@settings(max_examples=20)
@given(st.floats(-1e4, 1e4))
def test_the_log_loss_is_invariant_to_a_common_offset(offset):
    logits = np.array([[0.0, 1.0, -2.0], [3.0, 0.5, 0.0]])
    targets = one_hot(np.array([1, 2]))
    expected = SOFTMAX.losses(targets, logits)
    assert SOFTMAX.losses(targets, logits + offset) == pytest.approx(expected, abs=1e-6)


def test_with_balance_features_are_selected_by_the_weighted_loss():
    generator = np.random.default_rng(0)
    labels = (np.arange(60) >= 50).astype(int)
    vectors = generator.normal(labels[:, np.newaxis], 1.5, (60, 8)).astype(np.float32)
    targets = labels[:, np.newaxis] == np.arange(2)
    samples = Samples({"pooled": vectors}, targets, np.arange(60))
    chosen = select_head(samples, FinetuneSettings(balance=True))
    losses = SOFTMAX.losses(targets, chosen.head.oof_logits)[:, 0]
    expected = np.mean([losses[labels == label].mean() for label in (0, 1)])
    assert chosen.trials["pooled"].log_loss == pytest.approx(expected)
    assert losses.mean() != pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("classes", [3, 7, 40])
def test_the_gradient_vanishes_at_the_optimum_for_any_number_of_classes(classes):
    features, labels = clusters(4 * classes + 20, 12, classes)
    parts, targets, l2 = decompose(features), one_hot(labels, classes), 2.0
    kernel, bias = solve(parts, targets, l2)
    values = standardize(features)
    reference = LogisticRegression(C=1 / l2, tol=1e-12, max_iter=10_000).fit(values, labels)
    probabilities = SOFTMAX.probabilities(features @ kernel.astype(float) + bias)
    assert probabilities == pytest.approx(reference.predict_proba(values), abs=1e-5)
    assert objective(
        values, targets, probabilities, kernel * features.std(axis=0)[:, None], l2
    ) == (
        pytest.approx(
            objective(values, targets, reference.predict_proba(values), reference.coef_.T, l2),
            rel=1e-6,
        )
    )


def objective(values, targets, probabilities, weights, l2):
    """The regularized log-loss per image; a common change of all classes is not penalized."""
    centered = weights - weights.mean(axis=1, keepdims=True)
    return -np.log(probabilities[targets]).mean() + l2 * (centered**2).sum() / 2 / len(values)


def test_a_warm_start_leads_to_the_same_optimum():
    features, labels = clusters(60, 20)
    parts, targets = decompose(features), one_hot(labels)
    start = np.random.default_rng(1).normal(size=(21, 3))
    cold, warm = (solve(parts, targets, 3.0, start=each)[0] for each in (None, start))
    assert warm == pytest.approx(cold, rel=1e-5, abs=1e-6)


def test_the_time_grows_linearly_with_the_number_of_classes():
    def seconds(classes):
        features, labels = clusters(1200, 48, classes)
        parts, targets = decompose(features), one_hot(labels, classes)
        began = time.process_time()
        solve(parts, targets, 5.0)
        return time.process_time() - began

    few, many = (min(seconds(classes) for _ in range(2)) for classes in (60, 240))
    assert many <= 7 * few


def test_one_large_fold_is_enough_and_every_image_is_predicted_on_request(monkeypatch):
    features, labels = clusters(60, 8)
    targets = one_hot(labels)
    everything = fit_head(features, targets)
    monkeypatch.setattr("nstk.heads.head._SUFFICIENT", 12)
    brief = fit_head(features, targets)
    held_out = assign_folds(labels, FOLDS, 0) == 0
    assert (np.isfinite(brief.oof_logits).all(axis=1) == held_out).all()
    assert 0.3 < brief.l2 / everything.l2 < 3.3  # no more than a step of the grid
    assert np.isfinite(predict_out_of_fold(features, targets)).all()
    assert np.isfinite(everything.oof_logits).all()


def test_few_images_with_many_features_are_solved_as_precisely(monkeypatch):
    generator = np.random.default_rng(0)
    labels = np.arange(80) % 2
    features = generator.normal(0, 0.25, (2, 500))[labels] + generator.normal(size=(80, 500))
    targets = one_hot(labels, 2)
    found = fit_head(features, targets)
    monkeypatch.setattr("nstk.heads.logistic._CROSS_VALIDATION", 1e-9)
    exact = fit_head(features, targets)
    assert found.l2 == exact.l2
    assert (found.oof_logits.argmax(axis=1) == exact.oof_logits.argmax(axis=1)).all()
    losses = [SOFTMAX.losses(targets, each.oof_logits).mean() for each in (found, exact)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
