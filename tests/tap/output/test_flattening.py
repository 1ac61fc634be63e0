import gc
import json
import tracemalloc

from hypothesis import given

from sandbox.timestamps import from_record
from tap_akuity.output import flattening
from tap_akuity.tap import TapAkuity
from tests.helpers.catalogs import CONFIG, convert
from tests.helpers.events import event_of, items
from tests.helpers.truth import COLUMNS, TIMES, flattened, row

TAP = TapAkuity(config=CONFIG | {"flattening_enabled": True})
STREAM = TAP.streams["audit_logs"]


@given(items)
def test_a_record_has_what_the_schema_names(item):
    (schema,) = STREAM._generate_schema_messages()
    ((_, record),) = convert(TAP, event_of(item, "o").json)
    record = json.loads(record)
    for name in TIMES:
        record[name] = record[name] and from_record(record[name])
    expected = flattened(dict.fromkeys(COLUMNS) | row(item, "o"))
    columns = schema.schema["properties"]
    assert columns.keys() == flattened(dict.fromkeys(COLUMNS)).keys()
    assert [record[name] for name in columns] == [expected[name] for name in columns]


def test_names_that_never_come_again_are_not_kept(monkeypatch):
    monkeypatch.setattr(flattening, "MAX_KEPT_NAMES", 30)
    (stream_map,) = STREAM.stream_maps
    flatten = flattening.flattening(stream_map)
    tracemalloc.start()
    kept = []
    for number in range(300):
        labels = {f"label-{number}": {"deep": {"deeper": number}}}
        found = flatten({"actor": {"id": "a"}, "labels": labels})
        assert found[f"labels__label-{number}__deep__deeper"] == number
        assert found["actor__id"] == "a"
        if number in {100, 299}:
            gc.collect()
            kept.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert kept[1] - kept[0] < 20_000
