"""The key goes nowhere else, and is shown nowhere."""

import base64
import contextlib
import socket
import ssl
import threading
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial, partialmethod

import pytest
from singer_sdk.exceptions import FatalAPIError

from sandbox.server import Sandbox
from tap_akuity.api.query import Query
from tap_akuity.text import masking
from tests.helpers.clients import client_of, stream_of
from tests.helpers.commands import run, write
from tests.helpers.peer import Peer, head, page
from tests.helpers.running import config_for

CA_VARIABLES = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]


QUERY = Query(0, 10**18, 0, 1)


def fetch(url, **options):
    return client_of(f"{url}/logs", **options).fetch(QUERY)


def set_proxy(monkeypatch, url):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, url)
        monkeypatch.setenv(name.lower(), url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def empty(_):
    return [page()]


def test_no_output_shows_the_key(sandbox, tmp_path):
    key = (sandbox.api_key_id, sandbox.api_key_secret)
    token = base64.b64encode(":".join(key).encode()).decode()
    config = write(tmp_path / "config.json", config_for(sandbox))
    for options, shown in (
        ([], '"record":'),
        (["--test"], ""),
        (["--discover"], '"tap_stream_id":"audit_logs"'),
        (["--about"], "lookback_seconds"),
    ):
        result = run("--config", config, *options, TAP_AKUITY_LOGLEVEL="DEBUG")
        assert result.returncode == 0
        assert shown in result.stdout
        for secret in (*key, token):
            assert secret not in result.stdout + result.stderr, options


def test_the_key_does_not_follow_a_redirect():
    with Peer(empty) as other:
        elsewhere = head(302, f"Location: {other.url}/x\r\n".encode())
        with (
            Peer(lambda _: [elsewhere]) as peer,
            pytest.raises(FatalAPIError, match=r"redirects to 127\.0\.0\.1, "),
        ):
            fetch(peer.url)
        assert not other.requests


def test_no_cookie_is_sent_back():
    with Peer(lambda _: [page(headers=b"Set-Cookie: a=b\r\n")]) as peer:
        client = client_of(f"{peer.url}/logs")
        for _ in range(2):
            client.fetch(QUERY)
    assert len(peer.requests) == 2
    assert b"cookie" not in b"".join(peer.requests).lower()


def test_no_proxy_sees_the_key_in_clear(monkeypatch):
    with Peer(empty) as proxy, Peer(empty) as peer:
        set_proxy(monkeypatch, proxy.url)
        fetch(peer.url)
        assert not proxy.requests


def test_a_proxy_of_the_environment_is_used(monkeypatch):
    with Peer(lambda _: [b"HTTP/1.1 403 Forbidden\r\n\r\n"]) as proxy:
        set_proxy(monkeypatch, proxy.url)
        with pytest.raises(FatalAPIError) as caught:
            fetch("https://akuity.invalid")
    (request,) = proxy.requests
    assert request.startswith(b"CONNECT akuity.invalid:443 ")
    assert b"Authorization" not in request
    assert str(caught.value) == (
        "The proxy did not connect to https://akuity.invalid: check HTTPS_PROXY and "
        "NO_PROXY (Tunnel connection failed: 403 Forbidden). Attempts: 1."
    )


def copy(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def tunnel(listener):
    """Serve one connection as a proxy does."""
    with contextlib.suppress(OSError), listener.accept()[0] as client:
        host, port = client.recv(65_536).split()[1].decode().split(":")
        with socket.create_connection((host, int(port))) as server:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=copy, args=(server, client))
            back.start()
            copy(client, server)
            back.join()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_certificates_are_verified_through_a_proxy(
    bundle, context, monkeypatch, scheme
):
    listener = socket.create_server(("127.0.0.1", 0))
    if scheme == "https":
        listener = context.wrap_socket(listener, server_side=True)
    set_proxy(monkeypatch, f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with listener, Peer(empty, context) as peer, ThreadPoolExecutor(1) as thread:
        served = thread.submit(tunnel, listener)
        assert fetch(peer.url).total_count == 0
        served.result(10)
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        served = thread.submit(tunnel, listener)
        with pytest.raises(FatalAPIError, match="is not trusted"):
            fetch(peer.url)
        served.result(10)
    assert len(peer.requests) == 1


@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_a_private_authority_is_trusted_when_named(
    bundle, context, monkeypatch, variable
):
    monkeypatch.setenv(variable, str(bundle))
    with Peer(empty, context) as peer:
        assert fetch(peer.url).total_count == 0
        with pytest.raises(FatalAPIError, match="The certificate of https://localhost"):
            fetch(peer.url.replace("127.0.0.1", "localhost"))


def test_threads_share_the_authorities_and_connections(
    bundle, certificate, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    calls: Counter[str] = Counter()

    def count(call, *given, **named):
        calls[call.__name__] += 1
        return call(*given, **named)

    for call in (ssl.SSLContext.load_verify_locations, ssl.SSLContext.wrap_socket):
        counted = partialmethod(partial(count, call))
        monkeypatch.setattr(ssl.SSLContext, call.__name__, counted)
    with Sandbox([], ssl_certfile=str(certificate)) as sandbox:
        client = stream_of(**config_for(sandbox)).client
        with ThreadPoolExecutor(4) as threads:
            for _ in range(9):
                list(threads.map(client.fetch, [QUERY] * 4))
    assert calls["load_verify_locations"] == 1
    assert calls["wrap_socket"] <= 4


def test_a_certificate_is_always_verified(context):
    with Peer(empty, context) as peer:
        with pytest.raises(FatalAPIError) as caught:
            fetch(peer.url, max_attempts=5)
        assert not peer.requests
    assert str(caught.value).startswith(
        f"The certificate of {peer.url} is not trusted: if it is from a private "
        "authority, name its file in REQUESTS_CA_BUNDLE ("
    )
    assert "Attempts" not in str(caught.value)


@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_a_bundle_that_cannot_be_used_is_named(tmp_path, monkeypatch, variable):
    path = tmp_path / "ca.pem"
    monkeypatch.setenv(variable, str(path))
    for _ in ("missing", "empty"):
        with pytest.raises(FatalAPIError) as caught:
            fetch("https://127.0.0.1:9")
        assert str(caught.value) == (
            f"{variable} names {path}, which cannot be read as certificates: correct "
            "or unset it."
        )
        path.touch()


UNUSABLE = "Could not send a request to https://127.0.0.1:9: correct the proxy in HTTP"
REFUSED = "The proxy did not connect to https://127.0.0.1:9: check HTTPS_PROXY and NO_"
PROXIES = {
    "http://": UNUSABLE,
    "socks5://127.0.0.1:9": UNUSABLE,
    "http://user:pa55word-hunter@[bad": UNUSABLE,
    "http://user:pa55word-hunter@127.0.0.1:port": UNUSABLE,
    "http://user:pa55word-hunter//x@127.0.0.1:9": UNUSABLE,
    "http:/user:pa55word-hunter@[": UNUSABLE,
    "http://user:pa55word-hunter@127.0.0.1:9": REFUSED,
    "http://user:pa55word%2Dhunter@127.0.0.1:9": REFUSED,
    "user:pa55word-hunter@127.0.0.1:9": UNUSABLE,
}


@pytest.mark.parametrize("url", PROXIES)
def test_a_bad_proxy_is_a_sentence_without_its_password(monkeypatch, url):
    monkeypatch.setattr(masking, "_secrets", masking._Secrets())
    set_proxy(monkeypatch, url)
    masking.hide_proxies({"HTTPS_PROXY": url})
    with pytest.raises(FatalAPIError) as caught:
        fetch("https://127.0.0.1:9")
    assert str(caught.value).startswith(PROXIES[url])
    trace = "".join(traceback.format_exception(caught.value))
    shown = str(caught.value) + masking.one_line(trace, len(trace))
    token = base64.b64encode(b"user:pa55word-hunter").decode()
    for secret in ("pa55word", "hunter", token):
        assert secret not in shown
