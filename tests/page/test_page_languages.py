"""Every text of the page is there in every language, with the same values to fill in."""

import re
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

import nstk.page
from nstk.labeling.loop import Reason
from nstk.page.languages import LANGUAGES, choose_language, load_words, translate
from nstk.page.painting import COLORS, QUALITIES
from nstk.page.site import TABS

TEMPLATES = sorted((Path(nstk.page.__file__).parent / "templates").glob("*.html"))
NAMES = {f"quality {each}" for each in QUALITIES} | {f"color {each}" for each in COLORS}
NAMES |= {f"reason {each}" for each in get_args(Reason)}
TEXTS = {
    found[1]
    for page in TEMPLATES
    for found in re.findall(r"""_\((["'])(.*?)\1[,)]""", page.read_text("utf-8"))
} | {*TABS.values()}


def fields(text):
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("language", sorted(LANGUAGES.keys() - {"en"}))
def test_a_translation_has_every_text_and_no_other(language):
    words = load_words(language)
    assert words.keys() == TEXTS | NAMES
    assert not {text: word for text, word in words.items() if fields(text) != fields(word)}


def test_english_has_words_for_every_name():
    assert load_words("en").keys() == NAMES
    assert translate("en", "{count} images", count=3) == "3 images"


@pytest.mark.parametrize(
    ("cookie", "accepted", "language"),
    [
        ("", "ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en", "ko", "en"),
        ("xx", "de, fr;q=0.5", "en"),
        ("", "", "en"),
    ],
)
def test_the_language_is_the_chosen_one_or_the_browsers(cookie, accepted, language):
    assert choose_language(cookie, accepted) == language
