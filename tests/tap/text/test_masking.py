import base64
import io
import sys
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_akuity.text import masking
from tap_akuity.text.masking import guard_stderr, hide, hide_key, hide_proxies, one_line

SECRET = "kQ7/x+Zw9=secret%of~it"


@pytest.fixture(autouse=True)
def no_secrets_yet(monkeypatch):
    monkeypatch.setattr(masking, "_secrets", masking._Secrets())


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        SECRET.upper(),
        SECRET[:12],
        SECRET[9:],
        quote(quote(SECRET, safe=""), safe=""),
        "".join(f"\\x{ord(c):02x}" for c in SECRET),
        "".join(f"\\u{ord(c):04X}" for c in SECRET),
        "\x1b".join(SECRET),
        "\\x1b".join(SECRET),
        "\\\\u0007".join(SECRET),
        "\\n".join(SECRET),
        "é".join(SECRET),
    ],
)
def test_a_secret_is_found_however_it_is_written(text):
    assert one_line(text) != "***"
    hide(SECRET)
    assert one_line(f"a {text} b") == "a *** b"
    assert one_line(f"{text}, {text}") == "***, ***"


def test_nothing_else_is_masked():
    hide("secret-of-the-key")
    text = "the secret-, f the-key of api_key_secret, 100%, 50%41, C:\\new\\x"
    assert one_line(text) == text


def test_the_name_of_the_tap_is_no_secret():
    hide("tap-akuity-prod")
    hide("TAP_AKUITY.SECRET")
    line = "tap-akuity | TAP_AKUITY_START_DATE is missing"
    assert one_line(line) == line
    assert one_line("of tap-akuity-prod, tap_akuity.secret") == "of tap***, tap***"


def test_a_short_secret_is_masked_as_a_whole_and_none_of_three():
    hide("hush")
    hide("the")
    assert one_line("the hushed hus") == "the ***ed hus"
    assert one_line("hushhush") == "******"
    hide("secret-of-the-key")
    hide("quiet")
    assert one_line("hush, secret-of-the-key, quiet") == "***, ***, ***"


def test_a_key_is_its_id_its_secret_and_its_token():
    hide_key("id-of-the-key", "secret-of-the-key")
    token = base64.b64encode(b"id-of-the-key:secret-of-the-key").decode()
    assert one_line(f"id-of-the-key secret-of-the-key {token}") == "*** *** ***"


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pa55word-of-it@proxy:80",
        "user:pa55word-of-it@",
        "http://us@er:pa55word-of-it@[",
        "http://us\udcffer:pa55word-of-it@proxy",
    ],
)
def test_passwords_of_proxies_are_masked(url):
    hide_proxies({"https_proxy": url, "OTHER": "x:ordinary-text@y"})
    assert "pa55word" not in one_line(f"Failed to parse: {url}")
    assert one_line("pa55word-of-it x:ordinary-text@y") == "*** x:ordinary-text@y"


def test_every_proxy_and_every_part_of_its_password():
    hide_proxies(
        {
            "HOME": "/home",
            "http_proxy": "http://u:a:bcd@proxy",
            "PATH": "/bin",
            "HTTPS_PROXY": "http://user:other-word@proxy",
        }
    )
    token = base64.b64encode(b"u:a:bcd").decode()
    assert one_line(f"a:bcd, other-word, {token}") == "***, ***, ***"


def test_masked_before_it_is_shortened():
    assert one_line("x" * 300) == "x" * 300
    assert one_line("x" * 301) == "x" * 300 + "…"
    hide("secret-of-the-key")
    for length in range(280, 320):
        shown = one_line("x" * length + " secret-of-the-key " + "y" * 500)
        assert "s" not in shown
        assert len(shown) <= 301


@given(st.text(alphabet="ab\x00\x1b \\%\n1x", max_size=60), st.integers(0, 40))
def test_any_text_is_one_printable_line(text, limit):
    line = one_line(text, limit)
    assert line.isprintable()
    assert len(line) <= limit + 1


def guarded(monkeypatch):
    """Guard a stderr, in the test itself since pytest changes it before each phase."""
    below = io.StringIO()
    monkeypatch.setattr(sys, "stderr", below)
    guard_stderr()
    return below


def test_all_that_goes_to_stderr_is_cleaned(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://u:pa55word-of-it@proxy")
    below = guarded(monkeypatch)
    hide("secret-of-the-key")
    assert sys.stderr.write("a\x1b[31m\r b secret-of-\nthe-key.\n") == 30
    sys.stderr.writelines(["  pa55word-of-it\t\u202esecret-of-the-key\n", "two\n"])
    sys.stderr.flush()
    assert below.getvalue() == "a [31m  b ***.\n  ***  ***\ntwo\n"


def test_what_is_written_has_bounds(monkeypatch):
    below = guarded(monkeypatch)
    longest = "x" * masking.MAX_LINE + "\n"
    fits = (longest * 6).ljust(65_536, "\n")
    sys.stderr.write(fits)
    assert below.getvalue() == fits
    sys.stderr.write("x" * 50_000_000 + "\n")
    sys.stderr.write("y\n" * 50_000)
    lines = below.getvalue().split("\n")
    assert max(map(len, lines)) <= masking.MAX_LINE + 2
    assert len(below.getvalue()) < 165_000
    assert lines[-1] == ""
