# Requires Python 3.11 or later, git and make. `uv run` installs what a target needs into
# .venv, or with `--isolated` somewhere for the moment. pip installs uv into .uv if missing.
PYTHON ?= python3
UV := $(if $(shell uv --version 2>/dev/null),uv,.uv/bin/uv)
E2E := $(UV) run pytest --quiet -p no:xdist
.PHONY: uv $(shell awk -F: '/^[a-z-]+:/ {print $$1}' Makefile)
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile
demo: .meltano/made ## Load the sandbox's audit log into DuckDB, and query it
	@$(UV) run --quiet --only-group demo python -m scripts.demo
test: lint ## Run everything that must pass: lint, types and tests
	$(UV) run pytest --quiet --numprocesses=auto
lint: $(UV) ## Check style, formatting, types, dependencies and workflows
	$(UV) run ruff check .
	$(UV) run ruff format --check .
	$(UV) run deptry tap_akuity
	$(UV) run zizmor --offline --quiet --persona=pedantic .github
	$(UV) run check-jsonschema --builtin-schema=vendor.github-workflows .github/workflows/*.yml
	$(UV) run check-jsonschema --builtin-schema=vendor.dependabot .github/dependabot.yml
	$(UV) run check-jsonschema --builtin-schema=vendor.github-issue-forms .github/ISSUE_TEMPLATE/*_*.yml
	$(UV) run check-jsonschema --builtin-schema=vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(UV) run mypy --strict tap_akuity sandbox scripts tests benchmarks examples
format: $(UV) ## Format the code, and apply automatic fixes
	$(UV) run ruff check --fix-only . && $(UV) run ruff format .
test-airflow: $(UV) ## Run the example's DAGs with the real Airflow
	$(E2E) tests/e2e/test_airflow.py
test-examples: .meltano/made ## Run the examples and pages with Meltano and PostgreSQL, and small benchmarks
	$(E2E) tests/e2e/test_examples.py tests/e2e/test_kubernetes.py tests/e2e/test_pages.py tests/e2e/test_sync.py tests/e2e/test_benchmarks.py tests/e2e/test_memory.py
test-meltano: .meltano/made ## Run the real Meltano and the tap, kill them, and resume
	$(E2E) tests/e2e/test_hub.py tests/e2e/test_killed.py tests/e2e/test_meltano.py
test-targets: $(UV) ## Load the sandbox into real targets, and compare every row
	$(E2E) tests/e2e/test_targets.py tests/e2e/test_translations.py
test-oldest: build/oldest ## Run the tests with the oldest supported dependencies
	$(UV) run python -m scripts.generate_plugin --check .venv/bin/python build/oldest/bin/python
	build/oldest/bin/python -m pytest --quiet --numprocesses=auto
test-newest: $(UV) ## Run the tests with the newest SDK, including pre-releases
	$(UV) venv --quiet --clear build/newest
	echo 'singer-sdk[msgspec,parquet,s3,testing]' | $(UV) pip compile --quiet --no-header --no-deps --no-strip-extras --no-annotate --prerelease allow --output-file build/newest.txt -
	$(UV) pip install --quiet --python build/newest --prerelease allow --overrides build/newest.txt --editable . --group sandbox --group test
	$(UV) pip freeze --python build/newest | grep -x "$$(sed 's/\[.*\]//' build/newest.txt)"
	build/newest/bin/python -m pytest --quiet --numprocesses=auto
bench: $(UV) ## Compare the speed of the tap with alternatives
	@$(UV) run python -m benchmarks
docs: $(UV) ## Build the documentation as a site into build/site, and check it
	$(UV) run --isolated --only-group docs mkdocs build --strict
	$(E2E) tests/e2e/test_site.py
examples: $(UV) ## Print the tables of docs/questions.md, and draw its chart
	@$(UV) run python -m scripts.examples
mutants: $(UV) ## Print mutants of what changed since BASE (main), or of a SAMPLE, that no test notices
	@nice $(UV) run --isolated --group mutants python -m scripts.mutants $(if $(SAMPLE),--sample=$(SAMPLE),$(BASE))
meta: build/oldest ## Generate the settings in meta.yml and meltano.yml
	$(UV) run python -m scripts.generate_plugin .venv/bin/python build/oldest/bin/python
build/oldest: pyproject.toml | $(UV)
	$(UV) venv --quiet --clear $@ && $(UV) pip install --quiet --python $@ --resolution lowest-direct --editable . --group sandbox --group test
audit: $(UV) ## Check the newest and oldest dependencies for known vulnerabilities
	mkdir -p build && for versions in highest lowest-direct; do \
	  $(UV) pip compile --quiet --resolution $$versions --output-file build/audit.txt pyproject.toml && \
	  $(UV) run --only-group audit pip-audit --strict --no-deps --disable-pip --requirement build/audit.txt || exit 1; done
package: $(UV) ## Build the package into dist as a release does, and test it
	rm -rf dist
	$(UV) run --isolated --no-project --with-requirements requirements/build.txt python -m build --no-isolation
	$(MAKE) test-package
test-package: $(UV) ## Inspect the package in dist, and test it alone
	$(UV) run --only-group package twine check --strict dist/*
	$(UV) run --only-group package check-wheel-contents dist/*.whl
	$(E2E) tests/e2e/test_installed.py
check-release: ## Check that TAG matches the version and the changelog
	@$(PYTHON) -m scripts.check_release "$$TAG"
meltano: .meltano/made ## Install Meltano with the tap and DuckDB, for your own organization
.meltano/made: meltano.yml pyproject.toml | $(UV)
	@echo "Installing Meltano, the tap and the loader into .venv-meltano and .meltano: up to a minute"
	@$(UV) venv --quiet --clear --python '>=3.11,<3.14' .venv-meltano
	@$(UV) pip install --quiet --python .venv-meltano --group meltano
	@.venv-meltano/bin/meltano --log-level=warning install --clean
	@touch $@
.uv/bin/uv:
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements/uv.txt
clean: ## Delete generated files, but neither your state nor your data
	rm -rf .venv .venv-* .uv uv.lock build dist mutants .hypothesis .*_cache demo.duckdb* .meltano/demo.log .meltano/extractors .meltano/loaders .meltano/run .meltano/made .meltano/state
