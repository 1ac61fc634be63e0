"""What a hostile server may cost: the memory of the whole process."""

from datetime import datetime
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.helpers.peer import ENDLESS, Peer, endless, page, run_tap

ONE_RESPONSE = 125  # MB with one request at a time: Python and the SDK take 50 of them.
ANY_SERVER = 400  # MB at the default settings, as docs/security.md says.


@pytest.mark.parametrize("is_secure", [False, True])
def test_no_response_costs_more_memory_than_allowed(bundle, context, is_secure):
    responses = [partial(endless, *response) for response in ENDLESS]
    with Peer(responses, context if is_secure else None) as peer:
        runs = run_tap(
            *peer.urls(),
            TAP_AKUITY_PAGE_SIZE="4",
            TAP_AKUITY_CONCURRENCY="1",
            REQUESTS_CA_BUNDLE=str(bundle),
        )
    for number, run in enumerate(runs):
        assert run.code == 1
        assert "Traceback" not in "".join(run.lines)
        assert "not trusted" not in run.lines[-1]
        assert run.megabytes < ONE_RESPONSE, run.lines[-1]
        # A page of four, two halves of it, and three single events at the most.
        assert 0 < peer.sent[str(number)] < 6 * 40 << 20, run.lines[-1]
    assert len(runs) == len(ENDLESS)
    assert "is larger than 8 MiB" in runs[2].lines[-1]


def large_pages(request):
    """Return as many events as are asked for, each of 15 KB, in whatever range."""
    query = parse_qs(urlsplit(request.split()[1].decode()).query)
    names = ("startTime", "endTime", "offset", "limit")
    first, last, offset, limit = (query[f"filters.{name}"][0] for name in names)
    begin, end = (datetime.fromisoformat(one[:19]) for one in (first, last))
    item = '{"timestamp":"%sZ","action":"%d","details":{"patch":"%s😀"}}'
    items = [
        item % ((end - (end - begin) * min(n / 12_000, 1)).isoformat(), n, "x" * 15_000)
        for n in range(int(offset), int(offset) + int(limit))
    ]
    return [page(",".join(items).encode(), 12_000)]


DATED = b'{"timestamp":"2025-01-01T00:00:00Z"'
MANY_MEMBERS = DATED + b"".join(b',"%d":0' % n for n in range(600_000)) + b"}"
LONG = b'"%b"' % (b"soon" * (3 << 19))
SERVERS = [
    large_pages,
    lambda _: [page(b"{}," * 2_700_000 + b"{}", 500)],
    lambda _: [page((DATED + b"},") * 210_000 + b"{}", 500)],
    lambda _: [page(b'{"timestamp":%b}' % LONG, 1)],
    lambda _: [page(b'%b,"lastOccurredTimestamp":%b}' % (DATED, LONG), 1)],
    lambda _: [page(MANY_MEMBERS, 1)],
]


def test_no_server_costs_more_memory_than_promised():
    with Peer(SERVERS) as peer:
        end, level = "2025-01-01T00:01:00Z", "DEBUG"
        environment = {"TAP_AKUITY_END_DATE": end, "TAP_AKUITY_LOGLEVEL": level}
        runs = run_tap(*peer.urls(), **environment)
    assert [run.code for run in runs] == [1, 1, 1, 1, 1, 0]
    for run in runs:
        assert run.megabytes < ANY_SERVER, run.lines[-1]
        assert len(run.lines[-1]) < 1000
        assert len("".join(run.lines)) < 200_000
