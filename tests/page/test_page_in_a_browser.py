"""The whole page in a real browser, on a tiny network: every tab, and what can go wrong."""

import csv
import json
import os
import shutil
import signal

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import in_a_browser
from page_server import serve
from playwright.sync_api import expect, sync_playwright

from nstk.images.encoding import save_image
from nstk.page.process import Worker

pytestmark = [pytest.mark.slow, in_a_browser]

MILLISECONDS = 20_000


@pytest.fixture(scope="module")
def root(tmp_path_factory, color_folder, scene, strokes):
    """A folder of two images, of images in folders of classes, and of the same without labels."""
    root = tmp_path_factory.mktemp("page")
    shutil.copytree(color_folder, root / "colors")
    (root / "photos").mkdir()
    for number, path in enumerate(sorted(color_folder.rglob("*.*"))):
        shutil.copy(path, root / "photos" / f"{path.parent.name}-{number}{path.suffix}")
    save_image(root / "scene.png", scene)
    save_image(root / "strokes.png", strokes)
    return root


@pytest.fixture(scope="module")
def site(root, color_model, tmp_path_factory):
    worker = Worker(root, str(color_model), tmp_path_factory.mktemp("features"))
    with serve(root, worker) as site:
        yield site


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(site, browser):
    """Opens a tab of the browser; at the end, no request left the machine and no script failed."""
    requests, failures, contexts = [], [], []

    def open_page(path="paint", **settings):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(MILLISECONDS)
        expect.set_options(timeout=MILLISECONDS)
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("dialog", lambda dialog: failures.append(dialog.message))
        page.goto(site.access.address)
        page.goto(f"http://127.0.0.1:{site.access.port}/{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    own = f"http://127.0.0.1:{site.access.port}/"
    assert [url for url in requests if not url.startswith((own, "data:", f"blob:{own}"))] == []
    assert failures == []


def slide(page, name, value):
    page.locator(f"#{name}").evaluate(
        "(input, value) => { input.value = value;"
        " input.dispatchEvent(new Event('input', {bubbles: true}));"
        " input.dispatchEvent(new Event('change', {bubbles: true})); }",
        str(value),
    )


def fill_in(page, root):
    page.set_input_files("#content", root / "scene.png")
    page.set_input_files("#style", root / "strokes.png")
    slide(page, "size", 128)
    page.check("[name=quality][value=draft]")


def newest(root):
    records = sorted((root / "nstk-page" / "paintings").glob("*/run.json"))
    return json.loads(records[-1].read_text("utf-8"))


def test_painting_plans_runs_shows_itself_and_keeps_its_result(open_page, root):
    page = open_page("paint")
    fill_in(page, root)
    page.wait_for_selector("#plan dd")
    page.click("#masks > summary")
    page.wait_for_selector("#canvas:visible")
    page.locator("#canvas").scroll_into_view_if_needed()
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
    page.mouse.up()
    page.click("#paint button.primary")
    page.wait_for_selector(".gallery .card")
    made = newest(root)
    assert made["settings"] | {"size": 128, "quality": "draft"} == made["settings"]
    assert made["inputs"]["content"].startswith("nstk-page/uploads/scene-")
    assert "--keep-mask nstk-page/uploads/keep-" in made["command"]
    page.click("text=Command line")
    assert made["command"] in page.inner_text(".gallery pre")
    with page.expect_download() as download:
        page.click("text=Download")
    assert download.value.path().read_bytes()[:4] == b"\x89PNG"


def test_a_painting_can_be_stopped_and_keeps_its_image(open_page, root, site):
    page = open_page("paint")
    before = page.locator(".gallery .card").count()
    fill_in(page, root)
    page.check("[name=quality][value=best]")
    slide(page, "size", 512)
    page.click("#paint button.primary")
    page.wait_for_selector(".run-parts svg")
    page.reload()
    page.click(".run button")
    expect(page.locator(".gallery .card")).to_have_count(before + 1)
    assert newest(root)["interrupted"]
    assert not [job for job in site.jobs.list("paint") if job.is_active]


def test_a_classifier_is_made_asked_and_applied_to_a_folder(open_page, root):
    page = open_page("recognize")
    page.select_option("#data", "colors")
    page.fill("#name", "my colors")
    page.click("text=Make it")
    page.wait_for_selector(".figure-line")
    page.click("#trainings summary")
    report = page.frame_locator("#trainings iframe")
    report.locator("h1").wait_for()
    page.goto(page.url)
    page.set_input_files("#images", sorted((root / "photos").glob("red-*"))[:2])
    page.click("#ask button.primary")
    page.wait_for_selector(".answers .card")
    assert page.locator(".answers h3").all_inner_texts() == ["red", "red"]
    assert page.locator(".answers .pair img").count() == 4
    assert all(page.locator(".pair img").evaluate_all("all => all.map(i => i.naturalWidth > 0)"))
    page.select_option("#folder", "photos")
    page.click("text=Recognize all")
    page.wait_for_selector("#batches table")
    with page.expect_download() as download:
        page.click("text=Download the table")
    table = download.value.path().read_text("utf-8").splitlines()
    assert len(table) == 25


def test_labels_are_given_by_keys_and_nothing_is_lost(open_page, root, site):
    page = open_page("label")
    page.select_option("#folder", "photos")
    page.click("text=Start")
    other = None
    for count in range(1, 13):
        page.wait_for_selector(".subject >> visible=true")
        truth = page.get_attribute(".subject", "alt").removeprefix("Image ").split("-")[0]
        option = page.locator(f"button.option[value={truth}]")
        if option.count():
            page.keyboard.press(option.get_attribute("data-key"))
        else:
            page.keyboard.press("n")
            page.keyboard.type(truth)
            page.keyboard.press("Enter")
            page.keyboard.press("Escape")
        expect(page.locator(".known progress")).to_have_attribute("value", str(count))
        if count == 4:
            page.reload()
        if count == 6:
            other = open_page("label")
            os.kill(site.worker.pid, signal.SIGKILL)
            page.get_by_text("SIGKILL").wait_for()
            page.goto(page.url)
    with (root / "labels.csv").open(newline="", encoding="utf-8") as file:
        written = {row["path"]: row["label"] for row in csv.DictReader(file)}
    assert len(written) == 12
    assert all(path.startswith(f"photos/{label}-") for path, label in written.items())
    page.keyboard.press("u")
    expect(page.locator(".known progress")).to_have_attribute("value", "11")
    shown = page.get_attribute(".subject", "alt")
    page.keyboard.press("s")
    expect(page.locator(".subject")).not_to_have_attribute("alt", shown)
    other.locator(".option").first.click()
    other.locator("#errors .alert").wait_for()
    assert page.locator("button.primary").inner_text().startswith("Yes: ")


def test_what_is_not_an_image_is_refused_in_place(open_page, root, tmp_path):
    (tmp_path / "garbage.png").write_bytes(os.urandom(2000))
    page = open_page("paint")
    page.set_input_files("#content", tmp_path / "garbage.png")
    page.set_input_files("#style", root / "strokes.png")
    page.locator("#errors .alert").wait_for()
    assert "garbage.png" in page.inner_text("#errors")
    assert page.locator("#style").evaluate("input => input.files.length") == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_is_accessible_and_fits_a_small_phone(open_page, scheme):
    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    for tab in ("paint", "recognize", "label"):
        page.goto(f"{page.url.rsplit('/', 1)[0]}/{tab}")
        for details in page.locator("main details").all():
            details.evaluate("each => { each.open = true; }")
        found = Axe().run(page, options={"iframes": False}).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
        page.set_viewport_size({"width": 320, "height": 640})
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, tab
        page.set_viewport_size({"width": 1280, "height": 900})


def test_the_page_speaks_korean_and_the_keyboard_reaches_the_tabs(open_page):
    page = open_page("paint", locale="ko-KR")
    assert page.get_attribute("html", "lang") == "ko"
    for _ in range(4):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "인식"
    page.keyboard.press("Enter")
    page.wait_for_url("**/recognize")
    page.click("text=English")
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_without_scripts_the_forms_do_the_same(open_page, root):
    page = open_page("paint", java_script_enabled=False)
    page.set_input_files("#content", root / "scene.png")
    page.set_input_files("#style", root / "strokes.png")
    page.click("#plan-button")
    assert page.locator("#plan dd").count() == 2
    assert page.locator("[name=content_kept]").get_attribute("value").startswith("nstk-page/")
    page.get_by_role("link", name="Label").click()
    assert page.locator(".known progress").get_attribute("value") == "11"
    page.locator(".option").first.click()
    assert page.locator(".known progress").get_attribute("value") == "12"
