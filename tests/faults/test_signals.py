"""Ctrl-C and SIGTERM: the image so far and the state are saved, with different exit statuses."""

import re
import signal

import pytest
from jobs import STYLIZE
from PIL import Image

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.faults("Ctrl-C", soak=True)),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.faults("SIGTERM")),
    ],
)
def test_a_signal_saves_the_image_and_the_state(number, status, whole, tmp_path):
    expected, _ = whole(STYLIZE)
    STYLIZE.prepare(tmp_path)
    run = STYLIZE.start(tmp_path)
    run.wait_for("states/*.checkpoint", tmp_path)
    run.send(number)
    assert run.wait() == status, run.said
    assert re.search("out.png.*--resume", run.said)
    with Image.open(tmp_path / "out.png") as image:
        image.load()
    run = STYLIZE.start(tmp_path, again=True)
    assert run.wait() == 0, run.said
    assert STYLIZE.read(tmp_path) == expected
