"""The backbone is chosen by measurement, and the default stays unless another is clearly better."""

import keras
import numpy as np
import pytest
from small_networks import make_backbone

from nstk.backbones.applications import APPLICATIONS
from nstk.backbones.backbone import Backbone
from nstk.backbones.candidates import Candidate, identify_weights, list_candidates
from nstk.backbones.listing import PACKAGED
from nstk.backbones.networks import build_network
from nstk.datasets.folders import scan_folder
from nstk.errors import WeightsError
from nstk.finetuning.backbone_trials import try_backbones
from nstk.finetuning.job import finetune
from nstk.progress import no_progress
from nstk.settings import FinetuneSettings

NAME = "mobilenet-0.25"


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    """A folder of Keras with one network among other files."""
    home = tmp_path_factory.mktemp("keras")
    (home / "models").mkdir()
    keras.utils.set_random_seed(0)
    path = home / "models" / "some_name.weights.h5"
    build_network(APPLICATIONS[NAME]).save_weights(path)
    (home / "models" / "text.h5").write_text("not weights")
    np.savez(home / "small.npz", **{"conv/kernel": np.zeros((3, 3))})
    return home


def named(backbone, name, *, blind=False):
    """The backbone under a name; a blind one sees the same in every image."""
    model = keras.models.clone_model(backbone.model)
    weights = backbone.model.get_weights()
    model.set_weights([0 * each for each in weights] if blind else weights)
    return Backbone(name, model, backbone.input_size, "seeded")


def test_weights_belong_to_the_network_with_as_many(downloads):
    path = downloads / "models" / "some_name.weights.h5"
    assert identify_weights(path) == Candidate(NAME, path, APPLICATIONS[NAME].parameters)
    with pytest.raises(WeightsError, match="9 weights"):
        identify_weights(downloads / "small.npz")


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_weights_are_those_of_their_networks(name):
    path = PACKAGED[name].find_file()
    assert identify_weights(path).name == name


def test_auto_finds_what_needs_no_download(downloads, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(downloads))
    assert [each.name for each in list_candidates("auto")] == [
        NAME,
        "compact",
        "efficientnet-lite0",
    ]
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert [each.name for each in list_candidates("auto")] == list(PACKAGED)
    given = ["auto", downloads / "models" / "some_name.weights.h5", make_backbone()]
    found = list_candidates(given)
    assert {each.name for each in found} == {NAME, "tiny", *PACKAGED}
    assert [each.parameters for each in found] == sorted(each.parameters for each in found)
    assert [each.name for each in list_candidates("vgg16")] == ["vgg16"]


def choose(folder, *backbones):
    made = finetune(folder, backbone=backbones)
    [chosen] = [trial for trial in made.backbone_trials if trial.chosen]
    assert made.classifier.backbone["name"] == chosen.name
    return chosen.name, {trial.name: trial for trial in made.backbone_trials}


def test_the_better_network_is_chosen(color_folder, tiny_backbone):
    blind, seeing = named(tiny_backbone, "blind", blind=True), named(tiny_backbone, "seeing")
    name, trials = choose(color_folder, blind, seeing)
    assert name == "seeing"
    assert trials["seeing"].log_loss < trials["blind"].log_loss
    assert trials["blind"].held_out_log_loss is None, "it dropped out in the first round"


def test_a_better_network_replaces_the_default_and_an_equal_one_does_not(
    color_folder, tiny_backbone
):
    seeing = named(tiny_backbone, "seeing")
    name, trials = choose(color_folder, named(tiny_backbone, "efficientnet-lite0"), seeing)
    assert name == "efficientnet-lite0"
    name, trials = choose(
        color_folder, named(tiny_backbone, "efficientnet-lite0", blind=True), seeing
    )
    assert name == "seeing"
    losses = [trials[each].held_out_log_loss for each in ("seeing", "efficientnet-lite0")]
    assert losses[0] < losses[1]
    assert trials["seeing"].held_out_accuracy == 1


def test_the_default_is_tried_first_when_time_is_short(color_folder, tiny_backbone, monkeypatch):
    monkeypatch.setattr("nstk.finetuning.backbone_trials.BUDGET_SHARE", 0)
    names = ("other", "efficientnet-lite0")
    candidates = [Candidate(named(tiny_backbone, name)) for name in names]
    settings = FinetuneSettings(budget=60.0)
    folder = scan_folder(color_folder)
    chosen, trials = try_backbones(candidates, folder, settings, None, no_progress)
    assert [trial.name for trial in trials] == [chosen.name] == ["efficientnet-lite0"]
