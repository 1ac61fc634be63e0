# Requires Python 3.11 or later, git and make. Everything else is installed into this
# folder: `.venv` (the project and its tools), `.venv-meltano` (Meltano) and `.meltano`
# (its plugins).

PYTHON ?= python3
MELTANO := meltano>=4,<5

CODE := $(wildcard tap_akuity sandbox tests benchmarks scripts examples)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP_INSTALL := -m pip install --quiet

# With the oldest and the newest SDK that are allowed.
EACH_SDK := .venv-oldest/bin/python .venv/bin/python

# An environment is tied to its folder and its version of Python. It is rebuilt if either
# of them changes, or its requirements do.
MADE_FOR := $(shell $(PYTHON) -c 'import os, sys; print(os.getcwd(), sys.version)') $(MELTANO)
unless_made = $(shell test "$$(cat $(1) 2>/dev/null)" = "$(MADE_FOR)" || echo ANEW)

define new_environment
@echo "Installing $(1) into $(@D)"
@rm -rf $(@D)
@$(PYTHON) -m venv $(@D)
endef

.PHONY: help demo docs examples test bench mutants test-targets test-meltano test-examples test-airflow
.PHONY: test-oldest test-newest audit meta package check-release lint types format meltano clean ANEW

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

demo: .meltano/made .venv/made ## Load the sandbox's audit log into DuckDB, and query it
	@.venv/bin/python -m scripts.demo

examples: .venv/made .venv-chart/made .venv-detections/made ## Update docs/questions.md, its chart and the detections
	@.venv-detections/bin/python examples/detections/convert.py \
	  examples/detections/rules examples/detections/sql
	@.venv/bin/python -m scripts.examples
	@.venv-chart/bin/python examples/chart/events_per_day.py \
	  build/examples/audit.duckdb examples/chart/events_per_day.svg

docs: .venv-docs/made ## Build the documentation as a site into build/site
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet
	@echo "build/site/index.html"

test: lint types ## Run everything that must pass: lint, types and tests
	.venv/bin/python -m pytest --numprocesses=auto --quiet

bench: .venv/made ## Compare the speed of the tap with alternatives, 15 minutes
	@.venv/bin/python -m benchmarks

mutants: .venv-mutants/made ## Mutate the tap's pure modules, and check that a test fails for each mutant
	@nice .venv-mutants/bin/python -m scripts.mutants $(ONLY)

test-targets: .venv/made ## Load the sandbox into real targets, and compare every row
	.venv/bin/python -m pytest -p no:xdist tests/e2e/test_recipes.py tests/e2e/test_targets.py tests/e2e/test_translations.py --quiet

test-meltano: .venv/made .meltano/made ## Run the real Meltano, kill it, and resume
	.venv/bin/python -m pytest -p no:xdist tests/e2e/test_hub.py tests/e2e/test_meltano.py --quiet

test-examples: .venv/made .venv-chart/made .venv-detections/made .venv-meltano/made ## Run the examples with Meltano, PostgreSQL, pySigma and matplotlib
	.venv/bin/python -m pytest -p no:xdist tests/e2e/test_examples.py tests/e2e/test_findings.py --quiet

test-airflow: .venv/made .venv-airflow/made ## Run the example's DAGs with the real Airflow
	.venv/bin/python -m pytest -p no:xdist tests/e2e/test_airflow.py --quiet

test-oldest: .venv/made .venv-oldest/made ## Run the tests with the oldest supported dependencies
	.venv/bin/python -m scripts.generate_plugin --check $(EACH_SDK)
	.venv-oldest/bin/python -m pytest --numprocesses=auto --quiet

test-newest: .venv-newest/made ## Run the tests with the newest SDK, including pre-releases
	.venv-newest/bin/python -m pytest --numprocesses=auto --quiet

audit: .venv-audit/made ## Check the newest and oldest dependencies for known vulnerabilities
	@for versions in highest lowest-direct; do \
	  .venv-audit/bin/uv pip compile --quiet --no-header --resolution $$versions \
	    --output-file .venv-audit/$$versions.txt pyproject.toml && \
	  .venv-audit/bin/pip-audit --strict --no-deps --disable-pip \
	    --requirement .venv-audit/$$versions.txt || exit 1; \
	done

meta: .venv/made .venv-oldest/made ## Generate the settings in meta.yml and meltano.yml
	.venv/bin/python -m scripts.generate_plugin $(EACH_SDK)

package: .venv/made .venv-package/made ## Build the package into dist, inspect it, and test it alone
	rm -rf dist
	.venv-package/bin/python -m build --outdir dist
	.venv-package/bin/twine check --strict dist/*
	.venv-package/bin/check-wheel-contents dist/*.whl
	.venv/bin/python -m pytest -p no:xdist tests/e2e/test_installed.py --quiet

export TAG
check-release: .venv/made ## Check that TAG matches the version and the changelog
	@.venv/bin/python -m scripts.check_release "$$TAG"

lint: .venv/lint ## Check style, formatting, dependencies and workflows
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/deptry tap_akuity
	.venv/bin/zizmor --offline --quiet --persona=pedantic .github
	.venv/bin/check-jsonschema --builtin-schema=vendor.github-workflows .github/workflows/*.yml
	.venv/bin/check-jsonschema --builtin-schema=vendor.dependabot .github/dependabot.yml
	.venv/bin/check-jsonschema --builtin-schema=vendor.github-issue-forms .github/ISSUE_TEMPLATE/*_*.yml
	.venv/bin/check-jsonschema --builtin-schema=vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml

types: .venv/lint ## Check types
	.venv/bin/mypy --strict $(CODE)

format: .venv/lint ## Format the code, and apply automatic fixes
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

meltano: .meltano/made ## Install Meltano with the tap and DuckDB, for your own organization

# Keeps .meltano/meltano.db, which has the state of your organization, and
# warehouse.duckdb, which has its log.
clean: ## Delete generated files, but none of your data
	rm -rf .venv .venv-* .meltano/extractors .meltano/loaders .meltano/run
	rm -rf .meltano/made .meltano/state .meltano/demo.log demo.duckdb demo.duckdb.wal
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist mutants
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# A folder, what it holds, and what pip installs into it.
define environment
$(1)/made: pyproject.toml $(call unless_made,$(1)/made)
	$$(call new_environment,$(2))
	@$(1)/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	@$(1)/bin/python $(PIP_INSTALL) $(3)
	@echo "$$(MADE_FOR)" > $$@
endef

PROJECT := --editable . --group sandbox --group test
AIRFLOW := examples/airflow/requirements.txt

$(eval $(call environment,.venv,the project,$(PROJECT)))
$(eval $(call environment,.venv-airflow,Airflow,--group airflow --requirement $(AIRFLOW)))
$(eval $(call environment,.venv-audit,the vulnerability scanner,--group audit))
$(eval $(call environment,.venv-chart,the packages for the chart,--group chart))
$(eval $(call environment,.venv-detections,the detection converter,--group detections))
$(eval $(call environment,.venv-docs,the documentation builder,--group docs))
$(eval $(call environment,.venv-mutants,the mutation tester,$(PROJECT) --group mutants))
$(eval $(call environment,.venv-package,the packaging tools,--group package))

.venv-airflow/made: $(AIRFLOW)

# Separate, so that `make demo` does not wait for it.
.venv/lint: .venv/made
	@echo "Installing the linters and type checkers into .venv"
	@.venv/bin/python $(PIP_INSTALL) --group lint
	@touch $@

# pip cannot choose the oldest versions; uv can.
.venv-oldest/made: pyproject.toml $(call unless_made,.venv-oldest/made)
	$(call new_environment,the project with its oldest dependencies)
	@.venv-oldest/bin/python $(PIP_INSTALL) 'uv>=0.9'
	@.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python \
		--resolution lowest-direct $(PROJECT)
	@echo "$(MADE_FOR)" > $@

# Ignores the upper bound in pyproject.toml, to find out what breaks before allowing it.
.venv-newest/made: pyproject.toml $(call unless_made,.venv-newest/made)
	$(call new_environment,the project with the newest SDK)
	@.venv-newest/bin/python $(PIP_INSTALL) 'uv>=0.9'
	@echo 'singer-sdk[msgspec,parquet,s3,testing]>=0.54.0a0' > .venv-newest/overrides.txt
	@.venv-newest/bin/uv pip install --quiet --python .venv-newest/bin/python \
		--overrides .venv-newest/overrides.txt $(PROJECT)
	@echo "$(MADE_FOR)" > $@

.venv-meltano/made: $(call unless_made,.venv-meltano/made)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 14) and "DuckDB 1.2, \
	which the loader requires, is not available for Python 3.14 and later: use an \
	earlier version, as in `make demo PYTHON=python3.13`.")'
	$(call new_environment,Meltano)
	@.venv-meltano/bin/python $(PIP_INSTALL) '$(MELTANO)'
	@echo "$(MADE_FOR)" > $@

.meltano/made: .venv-meltano/made meltano.yml pyproject.toml $(call unless_made,.meltano/made)
	@echo "Installing the tap and the loader into .meltano"
	@.venv-meltano/bin/meltano --log-level=warning install --clean
	@echo "$(MADE_FOR)" > $@
