"""The labeling loop: what it asks for, and that what it says is true."""

from contextlib import ExitStack

import numpy as np
import pytest

from nstk.errors import SettingsError
from nstk.labeling.answers import AnswerFile
from nstk.labeling.job import answer_from
from nstk.labeling.loop import LabelingLoop
from nstk.labeling.measures import count_worthwhile
from nstk.labeling.sampling import cluster, find_useful, margins, rank_typical
from nstk.settings import LabelSettings

NAMES = ("ant", "bee", "wasp")


@pytest.fixture
def images(tmp_path):
    return make_images(tmp_path, 60, 0.45)


def make_images(folder, count, spread, seed=0):
    """Paths, features around one center for each class, and the true labels."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(len(NAMES), size=count)
    centers = 3 * np.eye(len(NAMES), 12)
    vectors = centers[truth] + generator.normal(0, spread, (count, 12))
    paths = [folder / f"{number}.png" for number in range(count)]
    return paths, vectors.astype(np.float32), [NAMES[each] for each in truth]


@pytest.fixture
def open_loop():
    """Opens loops, and closes their tables at the end."""
    with ExitStack() as stack:

        def open_loop(paths, vectors, **settings):
            chosen, folder = LabelSettings(**settings), paths[0].parent
            answers = AnswerFile(folder / "labels.csv", folder, multi_label=chosen.multi_label)
            stack.callback(answers.close)
            return LabelingLoop(paths, vectors, answers, chosen)

        yield open_loop


def answer_truly(loop, truth, count):
    reasons = []
    for _ in range(count):
        question = loop.ask()
        reasons.append(question.reason)
        loop.answer(question.image, [truth[question.image]])
    return reasons


def test_every_image_is_asked_for_once_and_then_no_more(images, open_loop):
    paths, vectors, truth = images
    loop = open_loop(paths, vectors)
    asked = []
    while (question := loop.ask()) is not None and question.reason != "second look":
        asked.append(question.image)
        loop.answer(question.image, [truth[question.image]])
    assert sorted(asked) == list(range(len(paths)))
    assert loop.status().counts == {name: truth.count(name) for name in set(truth)}


def test_typical_images_show_every_class_at_once(images):
    _paths, vectors, truth = images
    first = rank_typical(vectors, 3, seed=0)
    assert {truth[each] for each in first} == set(NAMES)
    members = cluster(vectors, 3, seed=0)
    assert all(len({truth[i] for i in np.flatnonzero(members == each)}) == 1 for each in range(3))


def test_the_useful_image_has_a_small_margin_and_stands_for_many():
    points = np.float32([[0], [1], [1.1], [1.2], [9]])
    clear = np.array([0.0, 0.9, 0.1, 0.9, 0.1])
    assert find_useful(clear, np.arange(5), points, np.full(5, 100.0)) == 0
    several = np.concatenate([points, 50 + points, 70 + points])
    clear = np.array([1.0, 1, 0.1, 1, 0.1] + [1.0] * 10)
    assert find_useful(clear, np.arange(15), several, np.full(15, 4.0)) == 2


def test_margins_are_small_where_two_answers_are_as_likely():
    scores = np.array([[0.5, 0.5, 0.0], [0.9, 0.1, 0.0], [0.4, 0.3, 0.3]])
    assert margins(scores, multi_label=False).argsort().tolist() == [0, 2, 1]
    assert margins(scores, multi_label=True).argsort().tolist()[:2] == [0, 2]


def test_after_each_answer_the_predictions_are_better_than_chance_and_soon_right(images, open_loop):
    paths, vectors, truth = images
    loop = open_loop(paths, vectors)
    answer_truly(loop, truth, 15)
    free = [i for i in range(len(paths)) if paths[i] not in loop.answers.answers]
    right = [loop.question(i).predicted == (truth[i],) for i in free]
    assert np.mean(right) > 0.9
    for i in free:
        shares = [share for _, share in loop.question(i).suggestions]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1)


def test_the_accuracy_is_measured_on_a_random_sample(tmp_path, open_loop):
    """The first images of a fixed random order, for whatever reason they were asked."""
    paths, vectors, truth = make_images(tmp_path, 300, 1.6)
    loop = open_loop(paths, vectors)
    reasons = answer_truly(loop, truth, 150)
    assert reasons.count("control") + reasons.count("second look") >= 150 // 5
    status = loop.status()
    assert status.interval[0] <= status.accuracy <= status.interval[1]
    free = [i for i in range(len(paths)) if paths[i] not in loop.answers.answers]
    true = np.mean([loop.question(i).predicted == (truth[i],) for i in free])
    assert status.interval[0] - 0.1 <= true <= status.interval[1] + 0.1


def test_nothing_is_said_before_there_is_something_to_say(images, open_loop):
    paths, vectors, _truth = images
    loop = open_loop(paths, vectors)
    assert loop.ask().suggestions == ()
    loop.answer(0, ["ant"])
    status = loop.status()
    assert (status.answered, status.accuracy, status.worthwhile) == (1, None, None)


def test_wrong_answers_come_back_until_they_are_corrected_or_confirmed(tmp_path, open_loop):
    paths, vectors, truth = make_images(tmp_path, 90, 0.3)
    loop = open_loop(paths, vectors)
    for image in range(60):
        loop.answer(image, ["wasp" if image == 7 and truth[7] != "wasp" else truth[image]])
    wrong = next(i for i in range(60) if truth[i] != "wasp")
    loop.answer(wrong, ["wasp"])
    for image in range(60, 70):
        loop.answer(image, [truth[image]])
    question = loop.ask()
    assert question.reason == "second look"
    assert question.given == {"wasp"} != {truth[question.image]}
    assert question.predicted == (truth[question.image],)
    loop.answer(question.image, ["wasp"])
    assert question.image not in loop._suspects


def test_skipped_images_are_not_asked_again_and_get_no_label(images, open_loop):
    paths, vectors, _ = images
    loop = open_loop(paths, vectors)
    first = loop.ask().image
    loop.skip(first)
    assert loop.ask().image != first
    assert loop.status().answered == 0
    assert loop.answers.answers == {}


def test_undo_asks_for_the_same_image_again(images, open_loop):
    paths, vectors, truth = images
    loop = open_loop(paths, vectors)
    answer_truly(loop, truth, 6)
    image = loop.ask().image
    loop.answer(image, ["ant"])
    assert loop.undo() == image
    assert loop.status().answered == 6
    assert loop.question(image).given is None
    while loop.undo() is not None:
        pass
    assert loop.status().answered == 0


def test_a_loop_resumes_with_the_same_question(images, open_loop):
    paths, vectors, truth = images
    loop = open_loop(paths, vectors)
    answer_truly(loop, truth, 22)
    asked, known = loop.ask(), loop.status()
    loop.answers.close()
    again = open_loop(paths, vectors)
    assert again.ask().image == asked.image
    assert again.status() == known


def test_images_may_have_several_labels(images, open_loop):
    paths, vectors, _ = images
    truth = [[name for name, on in zip("xyz", row[:3] > 1, strict=True) if on] for row in vectors]
    truth = [each if number % 7 else [] for number, each in enumerate(truth)]
    known = dict(zip(paths, map(frozenset, truth), strict=True))
    loop = open_loop(paths, vectors, multi_label=True)
    statuses = list(answer_from(loop, {path.resolve(): each for path, each in known.items()}, 40))
    assert statuses[-1].answered == 40
    assert statuses[-1].accuracy is not None
    assert loop.answers.answers.items() <= known.items()


def test_an_answer_is_exactly_one_label_unless_several_are_allowed(images, open_loop):
    paths, vectors, _ = images
    loop = open_loop(paths, vectors)
    for labels in ([], ["ant", "bee"]):
        with pytest.raises(SettingsError):
            loop.answer(0, labels)
    assert loop.status().answered == 0


def test_answers_from_a_table_skip_what_it_does_not_have(images, open_loop):
    paths, vectors, truth = images
    known = {paths[i].resolve(): frozenset([truth[i]]) for i in range(0, 60, 2)}
    loop = open_loop(paths, vectors)
    *_, last = answer_from(loop, known)
    assert last.answered == 30
    assert set(loop.answers.answers) == {paths[i] for i in range(0, 60, 2)}


def test_more_answers_are_worth_it_while_they_helped_much():
    assert count_worthwhile(40, 0.9, 0.9) == 0
    assert count_worthwhile(40, 0.8, 0.6) > count_worthwhile(40, 0.8, 0.75) > 0
    assert count_worthwhile(4000, 0.9, 0.89) == 0
