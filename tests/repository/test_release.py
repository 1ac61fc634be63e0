"""What may be released."""

from __future__ import annotations

import sys
from importlib.metadata import version

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


def test_a_tag_that_is_the_version() -> None:
    assert problem("v1.2.0", "1.2.0", CHANGELOG) is None


@pytest.mark.parametrize("tag", ["1.2.0", "v1.2", "v1.2.0rc1", "v1.1.0", "v1x2x0"])
def test_a_tag_that_is_not(tag: str) -> None:
    said = problem(tag, "1.2.0", CHANGELOG)
    assert said
    assert f"`{tag}`" in said
    assert "name the tag `v1.2.0`" in said


@pytest.mark.parametrize("version", ["1.0.0", "1.3.0", "1.2"])
def test_a_version_without_a_section(version: str) -> None:
    said = problem(f"v{version}", version, CHANGELOG)
    assert said
    assert f"`## [{version}] - YYYY-MM-DD`" in said


def test_a_section_without_a_line() -> None:
    said = problem("v1.1.0", "1.1.0", CHANGELOG)
    assert said == "The section [1.1.0] of CHANGELOG.md is empty: list what is new."


@pytest.mark.parametrize("arguments", [[], [""], ["v0.0.0-never"]])
def test_the_command(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["check_release", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    words = version("tap-akuity") if any(arguments) else "Specify the tag"
    assert words in str(caught.value)
