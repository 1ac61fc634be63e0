"""The key goes nowhere else, and is shown nowhere."""

from __future__ import annotations

import base64
import json
import logging
import socket
import ssl
import threading
import traceback
from typing import TYPE_CHECKING, Any

import backoff
import pytest
import trustme
from singer_sdk.exceptions import FatalAPIError

from sandbox.data import Dataset
from sandbox.faults import KINDS, Faults, Plan
from sandbox.server import Sandbox
from sandbox.state import Options
from tap_akuity.api.query import Query
from tap_akuity.streams import AuditLogsStream
from tap_akuity.tap import TapAkuity
from tests.helpers.commands import last_line, messages, run, write
from tests.helpers.faults import HUGE, SLOW
from tests.helpers.running import config_for, records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY_ID, KEY_SECRET = "id-of-the-key", "secret-of-the-key"
BASIC = base64.b64encode(f"{KEY_ID}:{KEY_SECRET}".encode()).decode()
SECRETS = (KEY_ID, KEY_SECRET, BASIC)


def leaks(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    options = Options(api_key_id=KEY_ID, api_key_secret=KEY_SECRET)
    with Sandbox(Dataset(records=30), options=options) as sandbox:
        yield sandbox


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "requests", "backoff", "tap-akuity"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


@pytest.mark.parametrize("kind", sorted(set(KINDS) - HUGE))
def test_no_failure_shows_the_key(
    served: Sandbox,
    kind: str,
    log: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.setattr(backoff, "full_jitter", lambda _: 0)
    location = "https://evil.example.com"
    served.state.faults = Faults(
        Plan(kinds=(kind,), retry_after="0", location=location)
    )
    seconds = 0.2 if kind in SLOW else 30
    tap = TapAkuity(
        config=config_for(served, max_retries=1, request_timeout_seconds=seconds)
    )
    with pytest.raises(FatalAPIError) as caught:
        tap.sync_all()
    trace = "".join(traceback.format_exception(caught.value))
    output = capsysbinary.readouterr()
    text = log.text + trace + output.out.decode() + output.err.decode()
    assert "urllib3" in text
    assert leaks(text) == []


def test_no_object_shows_the_key(served: Sandbox) -> None:
    served.state.faults = Faults()
    tap = TapAkuity(config=config_for(served))
    stream = tap.streams["audit_logs"]
    assert isinstance(stream, AuditLogsStream)
    page = stream.client.fetch(Query(0, 10**18, 0, 1))
    prepared = stream.build_prepared_request("GET", stream.get_url(None))
    shown: list[Any] = [tap, stream, stream.client, prepared, page, tap.streams]
    shown += [stream.authenticator, *stream.client._idle_sessions]
    shown += [tap.catalog_json_text, json.dumps(stream.schema), tap.state]
    for value in shown:
        assert leaks(repr(value)) == [], type(value)
        assert leaks(str(value)) == [], type(value)
    assert prepared.headers["Authorization"] == f"Basic {BASIC}"


def test_no_output_shows_the_key(served: Sandbox, tmp_path: Path) -> None:
    served.state.faults = Faults()
    config = write(tmp_path / "config.json", config_for(served))
    for option in ([], ["--test"], ["--discover"], ["--about", "--format=json"]):
        result = run("--config", config, *option, TAP_AKUITY_LOGLEVEL="DEBUG")
        assert result.returncode == 0
        assert leaks(result.stdout + result.stderr) == [], option
    for wrong in ({"organization_id": "other"}, {"api_url": "http://127.0.0.1:9"}):
        write(config, config_for(served, **wrong))
        result = run("--config", config, TAP_AKUITY_LOGLEVEL="DEBUG")
        assert result.returncode == 1
        assert "urllib3.connectionpool" in result.stderr
        assert leaks(result.stdout + result.stderr) == [], wrong


def test_the_key_does_not_follow_a_redirect(served: Sandbox) -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.5)

        def listen() -> None:
            try:
                connection, _ = other.accept()
            except TimeoutError:
                return
            with connection:
                seen.append(connection.recv(4096))

        thread = threading.Thread(target=listen)
        thread.start()
        location = f"http://127.0.0.1:{other.getsockname()[1]}/"
        served.state.faults = Faults(Plan(kinds=("redirect",), location=location))
        with pytest.raises(FatalAPIError, match=r"redirects to 127\.0\.0\.1, "):
            TapAkuity(config=config_for(served)).sync_all()
        thread.join()
    assert seen == []


def test_no_proxy_sees_the_key_in_clear(
    served: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.state.faults = Faults()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    TapAkuity(config=config_for(served)).sync_all()


def test_a_proxy_of_the_environment_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(60)

        def refuse() -> None:
            connection, _ = proxy.accept()
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        config = write(
            tmp_path / "config.json",
            {
                "organization_id": "o",
                "api_key_id": KEY_ID,
                "api_key_secret": KEY_SECRET,
                "api_url": "https://akuity.invalid",
                "max_retries": 0,
            },
        )
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        result = run("--config", config, HTTPS_PROXY=url, https_proxy=url)
        thread.join()
    assert asked[0].startswith(b"CONNECT akuity.invalid:443 ")
    assert leaks(asked[0].decode()) == []
    assert result.returncode == 1
    assert last_line(result) == (
        "The proxy did not connect to https://akuity.invalid: check HTTPS_PROXY and "
        "NO_PROXY (Tunnel connection failed: 403 Forbidden). Attempts: 1."
    )


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    """Serve over TLS, with a certificate of a private authority."""
    folder = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("127.0.0.1")
    key, chain = folder / "key.pem", folder / "chain.pem"
    certificate.private_key_pem.write_to_path(key)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    with Sandbox(
        Dataset(records=30), ssl_certfile=str(chain), ssl_keyfile=str(key)
    ) as sandbox:
        yield sandbox


CA_VARIABLES = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]


@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_a_private_authority_is_trusted_when_named(
    secure: Sandbox, authority: trustme.CA, tmp_path: Path, variable: str
) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    config = write(tmp_path / "config.json", config_for(secure))
    environment = {**dict.fromkeys(CA_VARIABLES, ""), variable: str(bundle)}
    result = run("--config", config, **environment)
    assert result.returncode == 0, result.stderr
    assert len(records(messages(result.stdout))) == 30


def test_a_certificate_is_always_verified(secure: Sandbox, tmp_path: Path) -> None:
    config = write(tmp_path / "config.json", config_for(secure, max_retries=5))
    result = run("--config", config, **dict.fromkeys(CA_VARIABLES, ""))
    assert result.returncode == 1
    assert last_line(result).startswith(
        f"The certificate of {secure.url} is not trusted: if it is from a private "
        "authority, name its file in REQUESTS_CA_BUNDLE ("
    )
    assert "Attempt 1 of" not in result.stderr


def test_a_certificate_of_another_host_is_refused(
    authority: trustme.CA, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example.com").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def greet() -> None:
            connection, _ = server.accept()
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

        thread = threading.Thread(target=greet)
        thread.start()
        config = {
            "organization_id": "o",
            "api_key_id": KEY_ID,
            "api_key_secret": KEY_SECRET,
            "api_url": f"https://127.0.0.1:{server.getsockname()[1]}",
        }
        result = run(
            "--config",
            write(tmp_path / "config.json", config),
            REQUESTS_CA_BUNDLE=str(bundle),
        )
        thread.join()
    assert result.returncode == 1
    assert "is not trusted" in last_line(result)


@pytest.mark.parametrize("variable", CA_VARIABLES)
@pytest.mark.parametrize("content", [None, "no certificates"])
def test_a_bundle_that_cannot_be_used_is_named(
    tmp_path: Path, variable: str, content: str | None
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content, encoding="utf-8")
    environment = {**dict.fromkeys(CA_VARIABLES, ""), variable: str(bundle)}
    result = run("--config", away(tmp_path), **environment)
    assert last_line(result) == (
        f"{variable} names {bundle}, which cannot be read as certificates: correct or "
        "unset it."
    )
    assert result.returncode == 1


PASSWORD = "pa55word-hunter-2"
UNUSABLE = "Could not send a request to https://127.0.0.1:9: correct the proxy in HTTP"
REFUSED = "The proxy did not connect to https://127.0.0.1:9: check HTTPS_PROXY and NO_"
PROXIES = {
    "http://": UNUSABLE,
    "http://:80": UNUSABLE,
    "socks5://127.0.0.1:9": UNUSABLE,
    f"http://user:{PASSWORD}@[bad": UNUSABLE,
    f"http://user:{PASSWORD}@": UNUSABLE,
    f"http://user:{PASSWORD}@127.0.0.1:port": UNUSABLE,
    f"http://user:{PASSWORD}@127.0.0.1:99999": UNUSABLE,
    f"http://user:{PASSWORD}/x@127.0.0.1:9": UNUSABLE,
    f"http://user:{PASSWORD}//x@127.0.0.1:9": UNUSABLE,
    f"http://user:{PASSWORD}#x@127.0.0.1:9": UNUSABLE,
    f"user:{PASSWORD}@[::": UNUSABLE,
    f"http:/user:{PASSWORD}@[": UNUSABLE,
    f"http://user:{PASSWORD}@127.0.0.1:9": REFUSED,
    f"http://user:{PASSWORD.replace('-', '%2D')}@127.0.0.1:9": REFUSED,
    f"user:{PASSWORD}@127.0.0.1:9": UNUSABLE,
}


@pytest.mark.parametrize("url", PROXIES)
def test_a_bad_proxy_is_a_sentence_without_its_password(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    environment = {"HTTPS_PROXY": url, "https_proxy": url}
    result = run("--config", away(tmp_path), **environment, TAP_AKUITY_LOGLEVEL="DEBUG")
    assert last_line(result).startswith(PROXIES[url])
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    token = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
    for secret in (PASSWORD, PASSWORD.replace("-", "%2D"), PASSWORD[:9], token):
        assert secret not in result.stderr


def away(folder: Path) -> Path:
    """Write settings for a host where nobody listens."""
    settings = {
        "organization_id": "o",
        "api_key_id": KEY_ID,
        "api_key_secret": KEY_SECRET,
        "api_url": "https://127.0.0.1:9",
        "max_retries": 0,
    }
    return write(folder / "config.json", settings)
