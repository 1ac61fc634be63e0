"""What happens in the sandbox: before the first run, and between it and the second."""

from datetime import UTC, datetime
from random import Random

from sandbox.data import Dataset, Organization
from sandbox.timestamps import DAY, SECOND, to_go

UNTIL = datetime(2025, 11, 1, tzinfo=UTC)
END = int(UNTIL.timestamp()) * SECOND
SEED = 6

RECENT = 60
"""Events in the last minutes, ten seconds apart, the first of them at `END`."""

KNOWN = 40
"""How many of them happen before the first run, except the late one."""

LATE = 30
SEEN_AGAIN = 35

NEWEST = "2025-11-01T00:06:30.999999861Z"
"""The newest event before the first run."""

LOOKBACK = 300 * SECOND

NASTY = (
    "e\u0301 and é, ß and ẞ, \u0130 and \u0131, \ufb01 and fi, \U0001d4b3",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇪🇺",
    "\u202eright to left\u202c and العربية and עברית",
    "\u2028 \u2029 \x85 \ufeff \u200b \xa0",
    "tab\t, carriage return\r, line feed\n, both\r\n",
    "quotes \" ' ` \xb4, backslashes \\ \\\\ \\n \\u0041",
    "commas, semicolons; pipes | and percents %s %(x)s {} {0} $HOME ${HOME}",
    "\x01 \x1b[31m \x7f",
    "NULL",
    "null",
    "\\N",
    "None",
    '{"a": [1, "b"]}',
    "=1+1",
    " blanks around ",
    "2025-11-01T00:00:00Z",
    "x" * 100_000,
)


def before():
    """Return the events before the first run."""
    known = [event for n, event in enumerate(recent()[:KNOWN]) if n != LATE]
    return [*Dataset(1500, SEED, UNTIL), *map(_nasty, NASTY), *known]


def meanwhile(sandbox):
    """Let more happen: new events, one that comes late, one that is seen again."""
    events = recent()
    sandbox.store.add([events[LATE], *events[KNOWN:]])
    last = END + RECENT * 10 * SECOND + 123_456_789
    sandbox.store.bump(events[SEEN_AGAIN], last, 4)


def since(rows, instant):
    """Count the events from an instant on."""
    return sum(row["timestamp"] >= instant for row in rows.values())


def recent():
    """Return the events from `END` on."""
    organization = Organization(Random(SEED))
    # Truncating and rounding these fractions to microseconds differ.
    instants = [END + n * 10 * SECOND + 999_999_900 - n for n in range(RECENT)]
    return [organization.event(at, at + 1) for at in instants]


def _nasty(text):
    """Return an event with text that is easily spoilt."""
    at = to_go(END - DAY + 1)
    return {
        "timestamp": at,
        "action": "updated",
        "actor": {"type": "user", "id": text, "ip": "2001:db8::1"},
        "object": {
            "type": "k8s_resource",
            "id": {"name": text, "kind": "Pod", "group": ""},
            "parentId": {"name": "", "parentName": text, "applicationName": ""},
        },
        "details": {"message": text, "patch": text, "actionType": "UPDATE"},
        "count": 1,
        "lastOccurredTimestamp": at,
    }
