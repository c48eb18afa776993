"""Documentation and help texts use the standard terms, and plain English."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))  # reference.md has all help texts

WORDS = {
    "anew": "again",
    "(?<!there )is no": "is not a",
    "(go|goes|gone|going) on (with|from)": "resume, continue",
    "whoever|whatever it": "a plain sentence",
    "is told": "reports, says",
    "minimi[sz]ers?": "optimizer",
    "unsure-below": "abstain-below",
    "strangeness|familiarity": "ood_score, out of distribution",
    "sureness|how sure": "confidence, calibration",
    "(its|file|wrong|unknown) endings?": "extension",
    "the house|upper floors?|rooms? next door": "architecture, package, layer",
    "left-out": "out-of-fold, held-out",
    "grey|colour|normalise[ds]?|recognise[ds]?": "American spelling",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_has_none_of_the_words_that_we_do_not_use(page):
    text = " ".join(page.read_text(encoding="utf-8").split())
    found = [
        f"…{text[max(match.start() - 30, 0) : match.end() + 30]}… (better: {better})"
        for words, better in WORDS.items()
        for match in re.finditer(rf"\b({words})\b(?! longer)", text, re.IGNORECASE)
    ]
    assert not found, "\n".join(found)


def test_help_texts_say_image():
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert not re.findall(r".*\bpictures?\b.*", text, re.IGNORECASE)
