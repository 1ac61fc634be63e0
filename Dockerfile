# Two images: docs/kubernetes.md says what each holds, and why.
FROM python:3.13.11-slim-trixie AS build
RUN python -m venv --without-pip /opt/meltano \
 && pip --python /opt/meltano/bin/python install 'meltano[postgres]==4.4.1'
COPY LICENSE README.md meta.yml pyproject.toml /src/
COPY tap_akuity /src/tap_akuity/
COPY examples/kubernetes/meltano.yml /project/
WORKDIR /project
# The database of the build is in memory. uv, which installs the plugins, is not needed
# after that.
RUN export DATABASE_URL=sqlite:// PATH="/opt/meltano/bin:$PATH" \
 && meltano add tap-akuity --from-ref /src/meta.yml --no-install \
 && meltano config set tap-akuity _pip_url /src \
 && meltano install \
 && pip --python /opt/meltano/bin/python uninstall --yes uv \
 && chmod a+r meltano.yml

FROM build AS build-sync
RUN python -m venv --without-pip /opt/audit/venv \
 && pip --python /opt/audit/venv/bin/python install \
      /src 'target-duckdb==0.8.0' 'duckdb>=1.2,<1.3'
COPY examples/shell/sync.sh /opt/audit/

# `--target sync`: sync.sh with DuckDB, which works in the folder that it is called from.
FROM python:3.13.11-slim-trixie AS sync
COPY --from=build-sync /opt/audit /opt/audit
USER 10001:10001
ENTRYPOINT ["bash", "-euc", "ln -sfn /opt/audit/venv /opt/audit/sync.sh /audit/ && exec bash /audit/sync.sh"]

# Meltano with target-postgres.
FROM python:3.13.11-slim-trixie AS meltano
COPY --from=build /opt/meltano /opt/meltano
COPY --from=build /project /project
WORKDIR /project
# target-postgres stores times in the time zone of the session.
ENV HOME=/tmp PGTZ=UTC
USER 10001:10001
ENTRYPOINT ["/opt/meltano/bin/meltano"]
CMD ["run", "tap-akuity", "target-postgres"]
