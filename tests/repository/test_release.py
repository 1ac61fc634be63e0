"""What may be released."""

import pytest

from scripts.check_release import main, problem

CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.0] - 2026-11-30

### Added

- A stream.

## [1.1.0] - 2026-10-31

## [1.0.0]

- All.
"""


@pytest.mark.parametrize(
    ("tag", "version", "said"),
    [
        ("v1.2.0", "1.2.0", "ready"),
        ("1.2.0", "1.2.0", "The tag is `1.2.0`"),
        ("v1.2.0rc1", "1.2.0", "name the tag `v1.2.0`"),
        ("v1.1.0", "1.1.0", "The section [1.1.0] of CHANGELOG.md is empty"),
        ("v1.0.0", "1.0.0", "`## [1.0.0] - YYYY-MM-DD`"),
        ("v1.2", "1.2", "has no section"),
    ],
)
def test_a_tag_fits_the_version_and_the_changelog(tag, version, said):
    assert said in (problem(tag, version, CHANGELOG) or "ready")


def test_the_command_says_what_is_wrong_with_a_tag(monkeypatch):
    monkeypatch.setattr("sys.argv", ["check_release", "v0"])
    with pytest.raises(SystemExit, match="The tag is `v0`"):
        main()
    monkeypatch.setattr("sys.argv", ["check_release", ""])
    with pytest.raises(SystemExit, match="Specify the tag"):
        main()
