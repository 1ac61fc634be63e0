"""The documentation's site: broken links fail, and pages look as they should."""

import json
import os
import shutil
import subprocess

import pytest

from scripts import ROOT
from scripts.environments import UV

pytestmark = pytest.mark.timeout(300)

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom"),
    *("--allow-file-access-from-files", "--virtual-time-budget=10000"),
    # The site works from files: what asks for another host is to be seen, and fails.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
BUILD = [UV, "run", "--isolated", "--only-group", "docs", "mkdocs", "build", "--strict"]

SCRIPT = """<script>addEventListener("load", () => setTimeout(() => {
const scrolls = e => e && (/auto|scroll/.test(getComputedStyle(e).overflowX)
  || scrolls(e.parentElement));
// To read a sheet that is not there is an error.
const styled = one => { try { return one.sheet.cssRules.length } catch { return 0 } };
const names = performance.getEntriesByType("resource").map(one => one.name);
document.documentElement.dataset.seen = JSON.stringify({
  foreign: names.filter(one => !one.startsWith("file:")),
  broken: [...document.images].filter(one => !one.naturalWidth).map(one => one.src),
  unstyled: [...document.querySelectorAll("link[rel=stylesheet]")].filter(
    one => !styled(one)).map(one => one.href),
  styles: document.styleSheets.length,
  cut: [...document.querySelectorAll("article table")].filter(one =>
    one.getBoundingClientRect().right > innerWidth && !scrolls(one)).length,
})}, 2000))</script>"""


def build(folder, site):
    """Build the site of the sources in a folder."""
    return subprocess.run(
        [*BUILD, "--config-file", folder / "mkdocs.yml", "--site-dir", site],
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
    done = build(sources, sources / "site")
    assert done.returncode == 1
    assert link in done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def problems(path, width, folder):
    """Return what a browser finds wrong with a page."""
    page = path.read_text("utf-8")
    if SCRIPT not in page:
        path.write_text(page + SCRIPT, "utf-8")
    command = [str(BROWSER), *OPTIONS, f"--window-size={width},900"]
    dom = subprocess.check_output(
        [*command, f"--user-data-dir={folder}", path.as_uri()],
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=120,
    )
    (seen,) = (part.split('"')[0] for part in dom.split('data-seen="')[1:])
    return json.loads(seen.replace("&quot;", '"'))


needs_browser = pytest.mark.skipif(
    not BROWSER and "CI" not in os.environ,
    reason="no page was looked at: install Chromium",
)


@needs_browser
def test_the_browser_notices(tmp_path):
    cells = "<td style='min-width: 900px'>a</td>" * 2
    bad = tmp_path / "bad.html"
    bad.write_text(
        f"""<!doctype html><html><link rel="stylesheet" href="missing.css">
        <script src="https://example.com/a.js"></script><img src="none.svg">
        <article><table><tr>{cells}</tr></table></article></html>""",
        encoding="utf-8",
    )
    missing = [(tmp_path / name).as_uri() for name in ("none.svg", "missing.css")]
    assert problems(bad, 600, tmp_path / "browser") == {
        "foreign": ["https://example.com/a.js"],
        "broken": missing[:1],
        "unstyled": missing[1:],
        "styles": 1,
        "cut": 1,
    }


@needs_browser
@pytest.mark.parametrize("width", [1280, 600])
@pytest.mark.parametrize("page", ["index", "docs/replication", "docs/targets"])
def test_a_page_in_a_browser(page, width, site, tmp_path):
    assert problems(site / f"{page}.html", width, tmp_path) == {
        "foreign": [],
        "broken": [],
        "unstyled": [],
        "styles": 2,
        "cut": 0,
    }
