"""Folders in many styles: names, resumption, shards, files that cannot be read."""

import csv
import json
import pickle
from pathlib import Path

import pytest
from shell import complaint, invoke

from nstk.distribution.shards import Shard
from nstk.images.encoding import save_image
from nstk.images.loading import load_image
from nstk.settings import CheckpointSettings, StylizeSettings
from nstk.stylization import job
from nstk.stylization.batch.job import BatchRecipe, stylize_batch
from nstk.stylization.batch.listing import Content, list_contents, list_jobs, plan_batch

SETTINGS = StylizeSettings(size=32, steps=3, scales=1, precision="float32")
OPTIONS = ("--size", 32, "--steps", 3, "--scales", 1, "--precision", "float32", "-q")


@pytest.fixture(scope="module")
def photos(tmp_path_factory, scene, strokes):
    """Four contents of three shapes, one of them in a subfolder, a text, and two styles."""
    root = tmp_path_factory.mktemp("photos")
    (root / "photos" / "sub").mkdir(parents=True)
    save_image(root / "photos" / "a.png", scene)
    save_image(root / "photos" / "b.png", scene[:, ::-1])
    save_image(root / "photos" / "c.jpg", scene[:40, :44])
    save_image(root / "photos" / "sub" / "a.png", scene[:, 10:])
    (root / "photos" / "notes.txt").write_text("no image")
    save_image(root / "waves.png", strokes)
    save_image(root / "bands.png", strokes[::-1])
    return root


@pytest.fixture
def tiny(monkeypatch, tiny_backbone):
    monkeypatch.setattr("nstk.stylization.batch.job._load_network", lambda *_: tiny_backbone)
    return tiny_backbone


def run(photos, folder, *, styles=("waves.png",), contents=None, backbone, **options):
    plan = plan_batch(contents or [photos / "photos"], [photos / name for name in styles], folder)
    return stylize_batch(plan, folder, BatchRecipe(backbone, None, SETTINGS), **options)


def images_in(folder):
    """All images of a batch by name, without its contact sheet."""
    found = [path for path in folder.rglob("*.png") if path.name != "contact-sheet.png"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_every_content_is_made_in_every_style(photos, tmp_path, tiny):
    styles = ("--style", photos / "waves.png", "--style", photos / "bands.png")
    out = tmp_path / "out"
    result = invoke("stylize", photos / "photos", *styles, "--output-dir", out, *OPTIONS, "--json")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    names = {f"{name}-{style}.png" for name in "abc" for style in ("waves", "bands")}
    names |= {str(Path("sub", f"a-{style}.png")) for style in ("waves", "bands")}
    assert set(images_in(out)) == names
    assert (answer["made"], answer["planned"], len(answer["images"])) == (8, 10, 8)
    assert [Path(each["path"]).name for each in answer["skipped"]] == ["notes.txt"]
    assert load_image(out / "c-waves.png").pixels.shape == (29, 32, 3)
    with (out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["output"] for row in rows] == [each["output"] for each in answer["images"]]
    assert all(float(row["style_loss"]) > 0 for row in rows)
    assert load_image(out / "contact-sheet.png").pixels.shape[1] > 400


def test_a_batch_makes_the_bytes_of_single_runs(photos, tmp_path, tiny_backbone):
    run(photos, tmp_path / "out", styles=("waves.png", "bands.png"), backbone=tiny_backbone)
    for name in ("a", "b"):
        made = job.stylize(
            photos / "photos" / f"{name}.png",
            photos / "bands.png",
            backbone=tiny_backbone,
            settings=SETTINGS,
        )
        made.save(tmp_path / "single.png")
        single = (tmp_path / "single.png").read_bytes()
        assert single == images_in(tmp_path / "out")[f"{name}-bands.png"]


def test_shards_make_together_what_one_run_makes(photos, tmp_path, tiny_backbone):
    run(photos, tmp_path / "one", backbone=tiny_backbone)
    made = [
        run(
            photos,
            tmp_path / "all",
            backbone=tiny_backbone,
            shard=Shard(index, 3),
            checkpoints=CheckpointSettings(resume=True),
        ).made
        for index in (1, 2, 3)
    ]
    assert sum(made) == 4
    assert images_in(tmp_path / "all") == images_in(tmp_path / "one")


def test_an_engine_makes_the_same_bytes(photos, tmp_path, tiny):
    def send(function, tasks):
        """What an engine of other processes does: everything is pickled on its way."""
        for task in tasks:
            there, sent = pickle.loads(pickle.dumps((function, task)))
            yield pickle.loads(pickle.dumps(there(sent)))

    run(photos, tmp_path / "here", backbone="compact")
    made = run(photos, tmp_path / "there", backbone="compact", engine=send)
    assert (made.made, [each.path.name for each in made.skipped]) == (4, ["notes.txt"])
    assert images_in(tmp_path / "there") == images_in(tmp_path / "here")


def test_an_interrupted_batch_resumes_to_the_same_bytes(photos, tmp_path, tiny_backbone):
    def interrupt(progress):
        if progress.step == 5:
            raise KeyboardInterrupt

    whole = run(photos, tmp_path / "whole", backbone=tiny_backbone)
    with pytest.raises(KeyboardInterrupt):
        run(photos, tmp_path / "out", backbone=tiny_backbone, on_progress=interrupt)
    assert list(images_in(tmp_path / "out")) == ["a-waves.png"]
    [checkpoint] = (tmp_path / "out" / ".nstk" / "checkpoints").iterdir()
    assert any(checkpoint.glob("step-*"))
    seen = []
    resumed = run(
        photos,
        tmp_path / "out",
        backbone=tiny_backbone,
        checkpoints=CheckpointSettings(resume=True),
        on_progress=seen.append,
    )
    assert (resumed.made, whole.made) == (3, 4)
    assert images_in(tmp_path / "out") == images_in(tmp_path / "whole")
    assert {each.stage for each in seen} == {"4 images"}  # of which one is a text
    assert not any((tmp_path / "out" / ".nstk" / "checkpoints").iterdir())


def test_with_resume_only_changed_inputs_are_made_again(photos, tmp_path, tiny_backbone, scene):
    contents = [tmp_path / "in" / name for name in ("a.png", "b.png")]
    (tmp_path / "in").mkdir()
    for number, path in enumerate(contents):
        save_image(path, scene[:, number:])
    shared = {"contents": contents, "backbone": tiny_backbone}
    resume = CheckpointSettings(resume=True)
    assert run(photos, tmp_path / "out", **shared).made == 2
    assert run(photos, tmp_path / "out", **shared, checkpoints=resume).made == 0
    save_image(contents[1], scene[::-1])
    assert run(photos, tmp_path / "out", **shared, checkpoints=resume).made == 1


def test_images_of_an_earlier_run_are_not_overwritten(photos, tmp_path, tiny):
    command = ("stylize", photos / "photos" / "a.png", photos / "photos" / "b.png")
    command += ("--style", photos / "waves.png", "--output-dir", tmp_path / "out", *OPTIONS)
    assert invoke(*command).exit_code == 0
    before = images_in(tmp_path / "out")
    assert "--resume" in complaint(invoke(*command))
    assert images_in(tmp_path / "out") == before


def test_pairs_are_combined_one_to_one(photos, tmp_path, tiny):
    styles = ("--style", photos / "waves.png", "--style", photos / "bands.png", "--pair")
    contents = [photos / "photos" / name for name in ("a.png", "b.png")]
    result = invoke("stylize", *contents, *styles, "--output-dir", tmp_path / "out", *OPTIONS)
    assert result.exit_code == 0, result.stderr
    assert set(images_in(tmp_path / "out")) == {"a-waves.png", "b-bands.png"}
    result = invoke("stylize", contents[0], *styles, "--output-dir", tmp_path / "2", *OPTIONS)
    assert "--pair" in complaint(result)


def test_names_never_collide():
    files = ["x/a.png", "y/a.jpg", "x/A.png", "x/a-b.png", "x/c.v1.png"]
    contents = [Content(Path(file), Path(Path(file).name)) for file in files]
    styles = [Path("b-c.png"), Path("c.png"), Path("other/c.png")]
    jobs = list_jobs(contents, styles)
    names = [str(each.name).casefold() for each in jobs]
    assert len(set(names)) == len(jobs) == 15
    assert list_jobs(contents[4:], styles[:1])[0].name == Path("c.v1-b-c.png")
    assert list_jobs(contents, styles)[3].name == list_jobs(contents[:4], styles)[3].name


def test_patterns_are_expanded_and_the_output_folder_is_left_out(photos):
    found, _ = list_contents([photos / "photos" / "*.png"], leave_out=photos / "out")
    assert [each.path.name for each in found] == ["a.png", "b.png"]
    found, _ = list_contents([photos], leave_out=photos / "photos")
    assert {each.path.name for each in found} == {"waves.png", "bands.png"}


def test_a_batch_without_any_image_is_an_error(photos, tmp_path, tiny):
    command = ("stylize", photos / "photos" / "notes.txt", "--style", photos / "waves.png")
    line = complaint(invoke(*command, "--output-dir", tmp_path / "out", *OPTIONS))
    assert "notes.txt" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--output-dir", "out"), "--style"),
        (("--output-dir", "out", "--style", "waves.png", "-o", "a.png"), "--output"),
        (("--output-dir", "out", "--style", "waves.png", "--keep-mask", "a.png"), "--keep-mask"),
        (("--output-dir", "out", "--style", "waves.png", "--shard", "3/2"), "--shard"),
        (("--style", "waves.png", "-o", "a.png", "--pair"), "--output-dir"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, said, photos, monkeypatch):
    monkeypatch.chdir(photos)
    assert said in complaint(invoke("stylize", "photos/a.png", *options))
