#!/usr/bin/env bash
# sync.sh [NAME [FROM [TO]]]: loads what is new into NAME.duckdb, and keeps the state in
# NAME.state.json. The first run of a NAME starts at the date FROM; no run reads what
# happened from TO on. `venv` and `config.json` are beside it: see "Without Meltano" in
# README.md.
set -euo pipefail
if [ $# -gt 3 ]; then
  echo "usage: sync.sh [NAME [FROM [TO]]]" >&2
  exit 2
fi
umask 077  # The files hold events.
cd "$(dirname "$0")"
name=${1:-audit}
state=$name.state.json

[ -e "$state" ] || echo '{}' > "$state"
range='{}'
[ $# -lt 2 ] || range="{\"start_date\": \"$2\"${3:+, \"end_date\": \"$3\"}}"
echo "$range" > "$name.range.json"
echo "{\"filepath\": \"$name.duckdb\", \"default_target_schema\": \"akuity\"}" \
  > "$name.target.json"
code=0
{
  venv/bin/tap-akuity --config config.json --config "$name.range.json" \
    --state "$state" 2>&3 |
    venv/bin/target-duckdb --config "$name.target.json" > "$name.loaded"
} 3>&1 | tee -i "$name.log" >&2 || code=$?
# The target repeats each state once all before it is loaded, also if the tap fails. A
# target that is killed may leave half a line, which `read` does not take for one.
while IFS= read -r line; do loaded=$line; done < "$name.loaded"
if [ -n "${loaded:-}" ]; then
  echo "$loaded" > "$state.new"
  mv "$state.new" "$state"
fi
# The target may have written more after the sentence that says why the tap failed.
[ "$code" = 0 ] || grep CRITICAL "$name.log" >&2 || true
exit "$code"
