"""The documentation's site: broken links fail, and pages look as they should."""

import json
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scripts import ROOT
from scripts.environments import UV

pytestmark = pytest.mark.timeout(300)

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom"),
    *(
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
    ),
    *(
        "--virtual-time-budget=10000",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ),
)
BUILD = [UV, "run", "--isolated", "--only-group", "docs", "mkdocs", "build", "--strict"]

SCRIPT = """<script>addEventListener("load", () => setTimeout(() => {
const scrolls = e => e && (/auto|scroll/.test(getComputedStyle(e).overflowX)
  || scrolls(e.parentElement));
const names = performance.getEntriesByType("resource").map(one => one.name);
document.documentElement.dataset.seen = JSON.stringify({
  foreign: names.filter(one => !one.startsWith(location.origin)),
  broken: [...document.images].filter(one => !one.naturalWidth).map(one => one.src),
  unstyled: [...document.querySelectorAll("link[rel=stylesheet]")].filter(one =>
    !(one.sheet && one.sheet.cssRules.length)).map(one => one.href),
  styles: document.styleSheets.length,
  cut: [...document.querySelectorAll("article table")].filter(one =>
    one.getBoundingClientRect().right > innerWidth && !scrolls(one)).length,
})}, 2000))</script>"""


def build(folder):
    """Build the site of the sources in a folder."""
    return subprocess.run(
        [*BUILD, "--config-file", folder / "mkdocs.yml"],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def sources(tmp_path):
    """Copy the pages, and what they link to."""
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).split()  # noqa: S607
    for name in listed:
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("link", ["nowhere.md", "../sandbox", "limits.md#nothing"])
def test_a_broken_link_fails(sources, link):
    page = sources / "docs" / "limits.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(f"{text}\n[broken]({link})\n", encoding="utf-8")
    done = build(sources)
    assert done.returncode == 1
    assert link in done.stderr


@contextmanager
def serve(site):
    """Serve a site, with the script at the end of each page."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=site)

        def copyfile(self, source, outputfile):
            super().copyfile(source, outputfile)
            if self.path.endswith(".html"):
                outputfile.write(SCRIPT.encode())

        def send_header(self, keyword, value):
            if keyword != "Content-Length":
                super().send_header(keyword, value)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def problems(tmp_path):
    """Return what lists what a browser finds wrong with a page."""

    def look(site, page, width):
        with serve(site) as url:
            size = f"--window-size={width},900"
            command = [str(BROWSER), *OPTIONS, f"--user-data-dir={tmp_path}", size]
            dom = subprocess.check_output(
                [*command, f"{url}/{page}"],
                stderr=subprocess.DEVNULL,
                text=True,
                timeout=120,
            )
        (seen,) = (part.split('"')[0] for part in dom.split('data-seen="')[1:])
        return json.loads(seen.replace("&quot;", '"'))

    return look


needs_browser = pytest.mark.skipif(
    not BROWSER and "CI" not in os.environ,
    reason="no page was looked at: install Chromium",
)


@needs_browser
def test_the_browser_notices(tmp_path, problems):
    site = tmp_path / "site"
    site.mkdir()
    cells = "<td style='min-width: 900px'>a</td>" * 2
    (site / "bad.html").write_text(
        f"""<!doctype html><html><link rel="stylesheet" href="missing.css">
        <script src="https://example.com/a.js"></script><img src="none.svg">
        <article><table><tr>{cells}</tr></table></article></html>""",
        encoding="utf-8",
    )
    found = problems(site, "bad.html", 600)
    assert found["foreign"] == ["https://example.com/a.js"]
    assert [one.rpartition("/")[2] for one in found["broken"]] == ["none.svg"]
    assert [one.rpartition("/")[2] for one in found["unstyled"]] == ["missing.css"]
    assert found["cut"] == 1


@needs_browser
@pytest.mark.parametrize("width", [1280, 600])
@pytest.mark.parametrize(
    "page", ["index.html", "docs/replication.html", "docs/targets.html"]
)
def test_a_page_in_a_browser(page, width, problems):
    done = build(ROOT)
    assert done.returncode == 0, done.stderr
    assert problems(ROOT / "build" / "site", page, width) == {
        "foreign": [],
        "broken": [],
        "unstyled": [],
        "styles": 2,
        "cut": 0,
    }
