# DuckDB's words for PostgreSQL's: sed -f duckdb.sed ocsf.sql > ocsf.duckdb.sql
# A merge into nothing leaves out what is null.
s/jsonb_strip_nulls(/json_merge_patch('{}', /
s/jsonb_build_\([a-z]*\)(/json_\1(/g
s/"lastOccurredTimestamp"/lastoccurredtimestamp/g
s/to_char(/strftime(/g
s/'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'/'%Y-%m-%dT%H:%M:%S.%fZ'/g
