"""Check that a tag can be released: it matches the version and the changelog.

python -m scripts.check_release v0.1.0
"""

import re
import sys
import tomllib

from scripts import ROOT


def problem(tag: str, version: str, changelog: str) -> str | None:
    """Say in a sentence what to do before a release, or `None` if it is ready."""
    if tag != f"v{version}":
        return (
            f"The tag is `{tag}`, but the version in pyproject.toml is {version}: "
            f"name the tag `v{version}`, or change the version."
        )
    title = rf"(?m)^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n"
    _, *sections = re.split(title, changelog)
    if not sections:
        return (
            "CHANGELOG.md has no section for this version: give it the heading "
            f"`## [{version}] - YYYY-MM-DD`."
        )
    if "\n- " not in sections[0].partition("\n## ")[0]:
        return f"The section [{version}] of CHANGELOG.md is empty: list what is new."
    return None


def main() -> None:
    """Check the tag given on the command line."""
    tag = "".join(sys.argv[1:])
    if not tag:
        sys.exit("Specify the tag, as in `make check-release TAG=v0.1.0`.")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    sys.exit(problem(tag, project["project"]["version"], changelog))


if __name__ == "__main__":
    main()
