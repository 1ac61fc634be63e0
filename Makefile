# Requires Python 3.10 or later, git and make. Everything else is installed into this
# folder: `.venv` (the project and its tools), `.venv-meltano` (Meltano) and `.meltano`
# (its plugins).

PYTHON ?= python3
MELTANO := meltano>=4,<5

CODE := $(wildcard tap_akuity sandbox harness demo tests benchmarks scripts examples)

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
	@.venv/bin/python -m demo

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
	rm -rf .venv .venv-airflow .venv-audit .venv-bench .venv-chart .venv-detections
	rm -rf .venv-docs .venv-mutants
	rm -rf .venv-meltano .venv-newest .venv-oldest .venv-package
	rm -rf .venv-targets .meltano/extractors .meltano/loaders .meltano/run
	rm -rf .meltano/made .meltano/state .meltano/demo.log demo.duckdb demo.duckdb.wal
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist mutants
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/made: pyproject.toml $(call unless_made,.venv/made)
	$(call new_environment,the project)
	@.venv/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	@.venv/bin/python $(PIP_INSTALL) --editable . --group sandbox --group test
	@echo "$(MADE_FOR)" > $@

# Separate, so that `make demo` does not wait for it.
.venv/lint: .venv/made
	@echo "Installing the linters and type checkers into .venv"
	@.venv/bin/python $(PIP_INSTALL) --group lint
	@touch $@

.venv-chart/made: pyproject.toml $(call unless_made,.venv-chart/made)
	$(call new_environment,the packages for the chart)
	@.venv-chart/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	@.venv-chart/bin/python $(PIP_INSTALL) --group chart
	@echo "$(MADE_FOR)" > $@

.venv-docs/made: pyproject.toml $(call unless_made,.venv-docs/made)
	$(call new_environment,the documentation builder)
	@.venv-docs/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	@.venv-docs/bin/python $(PIP_INSTALL) --group docs
	@echo "$(MADE_FOR)" > $@

.venv-detections/made: pyproject.toml $(call unless_made,.venv-detections/made)
	$(call new_environment,the detection converter)
	@.venv-detections/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	@.venv-detections/bin/python $(PIP_INSTALL) --group detections
	@echo "$(MADE_FOR)" > $@

.venv-mutants/made: pyproject.toml $(call unless_made,.venv-mutants/made)
	$(call new_environment,the project with the mutation tester)
	@.venv-mutants/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	@.venv-mutants/bin/python $(PIP_INSTALL) --editable . --group sandbox --group test --group mutants
	@echo "$(MADE_FOR)" > $@

# pip cannot choose the oldest versions; uv can.
.venv-oldest/made: pyproject.toml $(call unless_made,.venv-oldest/made)
	$(call new_environment,the project with its oldest dependencies)
	@.venv-oldest/bin/python $(PIP_INSTALL) 'uv>=0.9'
	@.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python \
		--resolution lowest-direct --editable . --group sandbox --group test
	@echo "$(MADE_FOR)" > $@

# Ignores the upper bound in pyproject.toml, to find out what breaks before allowing it.
.venv-newest/made: pyproject.toml $(call unless_made,.venv-newest/made)
	$(call new_environment,the project with the newest SDK)
	@.venv-newest/bin/python $(PIP_INSTALL) 'uv>=0.9'
	@echo 'singer-sdk>=0.54.0a0' > .venv-newest/overrides.txt
	@.venv-newest/bin/uv pip install --quiet --python .venv-newest/bin/python \
		--overrides .venv-newest/overrides.txt --editable . --group sandbox --group test
	@echo "$(MADE_FOR)" > $@

.venv-audit/made: pyproject.toml $(call unless_made,.venv-audit/made)
	$(call new_environment,the vulnerability scanner)
	@.venv-audit/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	@.venv-audit/bin/python $(PIP_INSTALL) --group audit
	@echo "$(MADE_FOR)" > $@

.venv-package/made: pyproject.toml $(call unless_made,.venv-package/made)
	$(call new_environment,the packaging tools)
	@.venv-package/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	@.venv-package/bin/python $(PIP_INSTALL) --group package
	@echo "$(MADE_FOR)" > $@

.venv-meltano/made: $(call unless_made,.venv-meltano/made)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 14) and "DuckDB 1.2, \
	which the loader requires, is not available for Python 3.14 and later: use an \
	earlier version, as in `make demo PYTHON=python3.13`.")'
	$(call new_environment,Meltano)
	@.venv-meltano/bin/python $(PIP_INSTALL) '$(MELTANO)'
	@echo "$(MADE_FOR)" > $@

.venv-airflow/made: examples/airflow/requirements.txt pyproject.toml $(call unless_made,.venv-airflow/made)
	$(call new_environment,Airflow)
	@.venv-airflow/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	@.venv-airflow/bin/python $(PIP_INSTALL) --group airflow \
	  --requirement examples/airflow/requirements.txt
	@echo "$(MADE_FOR)" > $@

.meltano/made: .venv-meltano/made meltano.yml pyproject.toml $(call unless_made,.meltano/made)
	@echo "Installing the tap and the loader into .meltano"
	@.venv-meltano/bin/meltano --log-level=warning install --clean
	@echo "$(MADE_FOR)" > $@
