"""The page answers its user and nobody else: a hundred hostile requests, and each rule alone."""

import http.client
import io
import re
import socket

import pytest
from page_server import serve
from PIL import Image

from nstk.errors import FolderError, ImageError
from nstk.page import security, workspace
from nstk.page.access import AccessRules
from nstk.page.workspace import Workspace, encode_preview

PLACES = [
    *("/", "/paint", "/recognize", "/label", "/events", "/static/page.js", "/image/a.png"),
    *("/jobs/1/preview", "/results/a/result.png", "/recognize/report/1", "/recognize/table/1"),
]
TRAVERSALS = [
    *("/image/../secret.png", "/image/..%2fsecret.png", "/image/%2e%2e/secret.png"),
    *(
        "/image//etc/passwd",
        "/image/%2fetc%2fpasswd",
        "/image/link.png",
        "/image/sub/../../secret.png",
    ),
    *("/image/a%00.png", "/image/nstk-page/../../secret.png", "/image/label:0", "/image/label:-1"),
    *("/static/..%2fapp.py", "/static/../app.py", "/static/page.css%00", "/results/../secret.png"),
    *("/results/..%2f..%2f/secret.png", "/results/%2e%2e/secret.png", "/results/a/..%2frun.json"),
    *("/recognize/overlay/..%2f..%2fsecret.png", "/jobs/..%2f/preview", "/recognize/report/..%2f"),
]
FOREIGN_HOSTS = [
    *(
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.evil.example:{port}",
    ),
    *("127.0.0.1.nip.io:{port}", "", "[::1]", "0.0.0.0:{port}", "127.0.0.1:{port}@evil.example"),
    *("192.168.0.1:{port}", "a" * 3000 + ":{port}"),
]
FOREIGN_ORIGINS = [
    *(
        "http://evil.example",
        "null",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "https://127.0.0.1:{port}",
    ),
    *("http://127.0.0.1:{port}.evil.example", "file://", "http://localhost:{port}", ""),
]
FORMS = ["/paint", "/recognize", "/recognize/train", "/recognize/folder", "/label/start",
         "/label/answer", "/label/close", "/language", "/jobs/1/stop"]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    place = tmp_path_factory.mktemp("served")
    Image.new("RGB", (8, 8)).save(place / "secret.png")
    root = place / "root"
    (root / "sub").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(root / "a.png")
    (root / "link.png").symlink_to(place / "secret.png")
    with serve(root) as site:
        yield site


def ask(site, path, method="GET", body=None, **headers):
    """The status and the text of an answer; None in ``headers`` leaves one out."""
    given = {"Host": f"127.0.0.1:{site.access.port}"}
    given["Cookie"] = f"{site.access.cookie}={site.access.token}"
    if method != "GET":
        given |= {"Origin": f"http://{given['Host']}"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", site.access.port, timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in given.items():
        if value is not None:
            connection.putheader(name, value.replace("{port}", str(site.access.port)))
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    text = b"" if path == "/events" and answer.status == 200 else answer.read()
    connection.close()
    return answer.status, text, dict(answer.getheaders())


def test_a_hundred_hostile_requests_are_refused_and_the_server_lives(site):
    hostile = [(path, "GET", {"Cookie": None}) for path in PLACES]
    hostile += [(path, "GET", {"Cookie": f"{site.access.cookie}=guess"}) for path in PLACES]
    hostile += [("/?token=guess", "GET", {"Cookie": None}), ("/?token=", "GET", {"Cookie": None})]
    hostile += [(path, "GET", {}) for path in TRAVERSALS]
    hostile += [("/paint", "GET", {"Host": host}) for host in FOREIGN_HOSTS]
    hostile += [("/label/close", "POST", {"Origin": origin}) for origin in FOREIGN_ORIGINS]
    hostile += [(path, "POST", {"Origin": None}) for path in FORMS]
    hostile += [(path, "POST", {"Origin": "http://evil.example"}) for path in FORMS]
    sites = ("cross-site", "same-site")
    hostile += [(p, "GET", {"Sec_Fetch_Site": each}) for p in PLACES[:4] for each in sites]
    hostile += [("/paint", method, {}) for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")]
    hostile += [("/paint", "POST", {"Content_Length": size}) for size in ("9" * 30, "-1", "x")]
    assert len(hostile) >= 100
    for path, method, headers in hostile:
        status, text, _ = ask(site, path, method, **headers)
        assert 400 <= status < 500, (path, method, headers, status)
        assert b"PNG" not in text
        assert b"JFIF" not in text
    assert ask(site, "/paint")[0] == 200
    assert not [each for each in site.worker.asked if each[0] != "warm"]


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_get(site):
    status, _, headers = ask(site, f"/paint?token={site.access.token}", Cookie=None)
    assert (status, headers["location"]) == (303, "/paint")
    cookie = headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert site.access.token not in ask(site, "/paint")[1].decode()


def test_every_answer_forbids_inline_scripts_foreign_content_and_frames(site):
    for path in ("/paint", "/static/page.js", "/nothing"):
        policy = ask(site, path)[2]["content-security-policy"]
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        assert rules["default-src"] == "'none'"
        assert rules["script-src"] == "'self'"
        assert rules["frame-ancestors"] == "'none'"
        assert not [each for each in rules.values() if "http" in each or "*" in each]
    page = ask(site, "/paint")[1].decode()
    assert set(re.findall(r"<script.*?</script>", page, re.DOTALL)) == {
        f'<script src="/static/{name}.js" defer></script>' for name in ("masks", "page")
    }
    assert " onclick" not in page
    assert "http://" not in page.replace("http://www.w3.org/", "")


def test_a_slow_body_and_a_large_one_are_ended(site, monkeypatch):
    monkeypatch.setattr(security, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(security, "MAX_BODY", 10_000)
    head = (
        f"POST /paint HTTP/1.1\r\nHost: 127.0.0.1:{site.access.port}\r\n"
        f"Cookie: {site.access.cookie}={site.access.token}\r\n"
        f"Origin: http://127.0.0.1:{site.access.port}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n"
    )
    for framing, body in (
        ("Content-Length: 5000\r\n\r\n", b"--b\r\n"),
        (
            "Transfer-Encoding: chunked\r\n\r\n",
            b"2000\r\n" + b"x" * 8192 + b"\r\n2000\r\n" + b"x" * 8192,
        ),
    ):
        with socket.create_connection(("127.0.0.1", site.access.port), timeout=10) as connection:
            connection.sendall((head + framing).encode() + body)
            assert connection.recv(100).split()[1] in (b"413", b"400")
    assert ask(site, "/paint")[0] == 200


def test_an_upload_is_checked_before_it_is_decoded(tmp_path, monkeypatch):
    place = Workspace(tmp_path)
    with pytest.raises(ImageError, match=r"notes\.png"):
        place.save_upload("notes.png", b"not an image")
    monkeypatch.setattr(workspace, "MAX_PIXELS", 60)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    with pytest.raises(ImageError, match="8 × 8"):
        place.save_upload("large.png", file.getvalue())
    assert list(place.results.rglob("*.*")) == []
    monkeypatch.setattr(workspace, "MAX_PIXELS", 64)
    kept = place.save_upload("../../<evil>\0 name.svg", file.getvalue())
    assert kept.parent == place.results / "uploads"
    assert kept.name.startswith("evil-name-")
    assert kept.suffix == ".png"


def test_images_are_encoded_again_so_that_nothing_but_pixels_leaves_the_folder(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "a secret"
    Image.new("RGB", (64, 32)).save(tmp_path / "a.jpg", exif=exif)
    content = encode_preview(tmp_path / "a.jpg", 16)
    assert b"secret" not in content
    assert Image.open(io.BytesIO(content)).size == (16, 8)


def test_paths_stay_in_the_folder(tmp_path):
    (tmp_path / "root" / "in").mkdir(parents=True)
    (tmp_path / "root" / "out").symlink_to(tmp_path)
    place = Workspace(tmp_path / "root")
    assert place.resolve("in") == tmp_path / "root" / "in"
    for path in ("..", "/etc/passwd", "out", "in/../..", "absent", "in\0"):
        with pytest.raises(FolderError):
            place.resolve(path)
    assert place.list_folders() == [".", "in"]


def test_names_are_no_hosts_even_where_others_may_connect():
    access = AccessRules(8765, "0.0.0.0", shared=True)
    assert access.accepts_host("192.168.1.7:8765")
    assert access.accepts_host("[fe80::1]:8765")
    assert not access.accepts_host("evil.example:8765")
    assert not AccessRules(8765).accepts_host("192.168.1.7:8765")


def test_an_error_of_the_worker_is_shown_and_a_form_is_not_lost(site):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    body = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % part
        for part in (
            (b"content", b'; filename="a.png"', file.getvalue()),
            (b"style", b'; filename="b.png"', file.getvalue()),
            (b"strength", b"", b"0.85"),
            (b"action", b"", b"plan"),
        )
    )
    kind = "multipart/form-data; boundary=b"
    status, text, _ = ask(site, "/paint", "POST", body + b"--b--\r\n", Content_Type=kind)
    assert status == 422
    assert "nothing is computed here" in text.decode()
    assert 'value="0.85"' in text.decode()
    assert text.decode().count('name="content_kept"') == 1


def test_others_cannot_connect_without_consent(tmp_path):
    from nstk.errors import SettingsError
    from nstk.page.server import serve_page
    from nstk.settings import PageSettings

    with pytest.raises(SettingsError, match="i_know_others_can_connect"):
        serve_page(tmp_path, PageSettings(host="0.0.0.0"), on_ready=print)
