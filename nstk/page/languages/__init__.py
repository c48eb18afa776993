"""The words of the page: English in the templates, and translations of them."""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources

LANGUAGES = {"en": "English", "ko": "한국어"}


@cache
def load_words(language: str) -> Mapping[str, str]:
    """The words of every text; in English, those of names such as ``quality draft``."""
    text = resources.files(__name__).joinpath(f"{language}.json").read_text("utf-8")
    words: Mapping[str, str] = json.loads(text)
    return words


def translate(language: str, text: str, **values: object) -> str:
    """A text in a language, with its values filled in."""
    return load_words(language).get(text, text).format(**values)


def choose_language(cookie: str, accepted: str) -> str:
    """The language that was chosen, or else the first of the browser's that there is."""
    if cookie in LANGUAGES:
        return cookie
    wanted = [part.split(";")[0].strip()[:2].lower() for part in accepted.split(",")]
    return next((each for each in wanted if each in LANGUAGES), "en")
