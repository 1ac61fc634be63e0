#!/usr/bin/env bash
# sync.sh loads what is new into NAME.duckdb, and keeps the state in NAME.state.json.
# `venv` and `config.json` are beside it: see "Without Meltano" in README.md.
set -euo pipefail
usage='usage: sync.sh [--quiet] [NAME [FROM [TO]]]
The first run of a NAME (default: audit) starts at the date FROM, and no run reads what
happened from TO on. With --quiet, or if stderr is not a terminal, nothing but warnings
and errors is shown; NAME.log has the rest.'
fail() {
  echo "$1" >&2
  exit 2
}
quiet=yes
[ ! -t 2 ] || quiet=
while [[ ${1:-} == -* ]]; do
  case $1 in
    --quiet) quiet=yes ;;
    --help) echo "$usage" && exit ;;
    *) fail "$usage" ;;
  esac
  shift
done
[ $# -le 3 ] || fail "$usage"
name=${1:-audit}
[[ $name =~ ^[A-Za-z0-9_][A-Za-z0-9._-]*$ ]] || fail "NAME is part of file names: $name"
for date in "${@:2}"; do
  [[ $date =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}([T\ ][0-9:.]+(Z|[+-][0-9:]+)?)?$ ]] ||
    fail "not a date such as 2026-01-01: $date"
done
umask 077  # The files hold events.
CDPATH='' cd -- "$(dirname -- "$0")"
state=$name.state.json

[ -e "$state" ] || echo '{}' > "$state"
range='{}'
[ $# -lt 2 ] || range="{\"start_date\": \"$2\"${3:+, \"end_date\": \"$3\"}}"
echo "$range" > "$name.range.json"
# The target confirms a state after each batch, not only at the end.
echo "{\"filepath\": \"$name.duckdb\", \"default_target_schema\": \"akuity\"," \
  '"batch_size_rows": 10000}' > "$name.target.json"
if [ "$quiet" ]; then exec 4> /dev/null; else exec 4>&2; fi
trap : INT  # Keep the state that the target confirms before Ctrl-C ends it.
code=0
{
  venv/bin/tap-akuity --config config.json --config "$name.range.json" \
    --state "$state" 2>&3 |
    venv/bin/target-duckdb --config "$name.target.json" > "$name.loaded" 2>&3
} 3>&1 | tee -i "$name.log" >&4 || code=$?
# The target repeats each state once all before it is loaded, also if the tap fails. A
# target that is killed may leave half a line, which `read` does not take for one.
while IFS= read -r line; do
  if [[ $line == \{* ]]; then loaded=$line; fi
done < "$name.loaded"
if [ -n "${loaded:-}" ]; then
  echo "$loaded" > "$state.new"
  mv "$state.new" "$state"
fi
if [ "$code" = 0 ]; then
  [ -z "$quiet" ] || grep -E 'WARNING|ERROR' "$name.log" >&2 || true
else
  [ -z "$quiet" ] || cat "$name.log" >&2
  # The target may have written more after the sentence that says why the tap failed.
  grep CRITICAL "$name.log" | sed "s/^/$name: /" >&2 || true
fi
exit "$code"
