"""Collects the pages of the documentation site: a hook for MkDocs (`make docs`).

MkDocs takes its pages from one folder. These pages are in several, and link to each
other and to code, so the site keeps the layout of the repository.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_PAGES = ("*.md", "docs/*.md", "docs/*.css", "examples/**/*.md", "benchmarks/*.md")
_LINK = re.compile(r"\]\(([^)\s#:]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of `docs_dir` with all pages and the files they link to."""
    root = Path(config.config_file_path).parent
    pages = {path for pattern in _PAGES for path in root.glob(pattern)}
    linked = {
        (page.parent / link).resolve()
        for page in pages
        for link in _LINK.findall(page.read_text(encoding="utf-8"))
    }
    of_theme = (file for file in files if file.src_dir != config.docs_dir)
    ours = (
        File.generated(config, str(path.relative_to(root)), abs_src_path=str(path))
        for path in sorted(pages | linked)
        if path.is_file()
    )
    return Files([*of_theme, *ours])
