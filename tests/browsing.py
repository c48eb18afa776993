"""Strict parsing of pages, and opening them in a browser."""

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

in_a_browser = pytest.mark.skipif(
    not shutil.which("chromium"),
    reason="chromium is not on the PATH, so pages are only parsed; install it",
)
"""For tests that open a page; `.ci/run` installs the browser."""

VOID = {"meta", "link", "img", "br", "input"}


class Reader(HTMLParser):
    """A strict parser: elements must nest; it collects attributes and text."""

    def __init__(self, document):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(document)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return "".join(self.texts)

    def values(self, name):
        return [value for key, value in self.attributes if key == name]


def check_page(document, *, scripts=0):
    """Parse a page and check that it is self-contained and well formed, with so many scripts."""
    reader = Reader(document)
    ids = reader.values("id")
    assert len(ids) == len(set(ids))
    for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
        for value in reader.values(name):
            assert value.startswith("data:") or value[0] == "#", value
            assert value[0] != "#" or value[1:] in ids
    assert reader.tags.count("script") == scripts
    assert not {"iframe", "object", "embed", "base", "form"} & set(reader.tags)
    assert not [key for key, _ in reader.attributes if key.startswith("on")]
    (style,) = re.findall(r"<style>(.*?)</style>", document, re.DOTALL)
    assert not re.search(r"url\(|@import|https?:", style)
    for drawing in re.findall(r"<svg.*?</svg>(?=\s*</div>)", document, re.DOTALL):
        tree = ElementTree.fromstring(drawing)
        numbers = " ".join(value for node in tree.iter() for value in node.attrib.values())
        assert not re.search(r"\b(nan|inf)\b", numbers)
    return reader


def browse(page, folder):
    """Load a page in headless Chromium without network access.

    Args:
        page: Path of the page.
        folder: A temporary folder for the browser's files.

    Returns:
        The document as the browser parsed it, its console messages, and the addresses that the
        page requested.
    """
    log = folder / "requests.json"
    answer = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu"),
            "--disable-dev-shm-usage",
            *(f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking"),
            *("--enable-logging=stderr", "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    console = [line for line in answer.stderr.splitlines() if ":CONSOLE:" in line]
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    asked = {
        event["params"]["url"]
        for event in events
        # Requests of the browser itself, such as updates, have no origin.
        if event.get("params", {}).get("initiator", "not an origin") != "not an origin"
    }
    return answer.stdout, console, {url for url in asked if not url.startswith(("file:", "data:"))}
