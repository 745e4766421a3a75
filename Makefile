# Everything a developer types. A target makes what it needs: nothing is installed by hand.

PYTHON ?= python3
BIN = .venv/bin
QUIET = --quiet --disable-pip-version-check
SAMPLE = sample.duckdb
SUDO = $(if $(filter-out 0,$(shell id -u)),sudo)

.PHONY: run serve test check audit package bench chaos browser clean
.DEFAULT_GOAL = run

# A synthetic trail, its counts, who is throttled, who is behind it, and who is denied.
run: .venv/run
	@test -d sample-trail || $(BIN)/apitracker sample sample-trail
	@$(BIN)/apitracker ingest sample-trail --store $(SAMPLE)
	@printf '\nThe busiest APIs:\n'
	@$(BIN)/apitracker top 10 --store $(SAMPLE)
	@printf '\nThrottled, and who is behind it:\n'
	@$(BIN)/apitracker throttles --store $(SAMPLE) | head -n 12
	@printf '\nDenied, and who was:\n'
	@$(BIN)/apitracker denials --store $(SAMPLE) | head -n 17
	@printf '\nNext, with your own logs:\n'
	@printf '  $(BIN)/apitracker count FOLDER --by minute,eventName\n'
	@printf '  $(BIN)/apitracker ingest s3://BUCKET/PREFIX\n'
	@printf '  $(BIN)/apitracker top --since 24h\n'
	@printf '  $(BIN)/apitracker --help\n'
	@printf '\nAs a local web page:\n  make serve\n'

# The page of the synthetic trail, in a browser where there is one.
serve: .venv/run
	@test -e $(SAMPLE) || test -d sample-trail || $(BIN)/apitracker sample sample-trail
	@test -e $(SAMPLE) || $(BIN)/apitracker ingest sample-trail --store $(SAMPLE)
	@$(BIN)/apitracker serve --store $(SAMPLE) --open

# On all cores, a file of tests on one of them.
test: .venv/development .venv-emulator/installed .venv-lint/installed
	$(BIN)/pytest -n auto --dist loadfile

check: .venv/development
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(MAKE) test

# Known vulnerabilities of what is pinned. It asks PyPI, and fails for what PyPI does not answer for,
# so it is no part of check, which does without the network.
audit: .venv-lint/installed
	@set -e; for file in requirements/*.txt; do echo "$$file"; \
		.venv-lint/bin/pip-audit --strict --disable-pip --no-deps --progress-spinner off -r $$file; done

# The Lambda: build/lambda for sam.yaml, dist/apitracker-lambda.zip for the console.
package: .venv/run
	$(BIN)/python scripts/package.py

# Fault campaigns of many seeds: make chaos SEEDS=100 FIRST=21
SEEDS ?= 20
FIRST ?= 1
chaos: .venv/development .venv-emulator/installed
	$(BIN)/python -m tests.chaos --seeds $(SEEDS) --first $(FIRST)

bench: .venv/development
	$(BIN)/python -m benchmarks.run

# What tests/web drives: Debian's chromium, or the one that Playwright brings.
browser: .venv/development
	@command -v chromium || command -v chromium-browser || command -v google-chrome \
	|| if command -v apt-get >/dev/null; then \
	  $(SUDO) apt-get update -qq && $(SUDO) apt-get install -qq --no-install-recommends chromium; \
	else $(BIN)/playwright install chromium; fi

clean:
	rm -rf .venv .venv-emulator .venv-lint .aws-sam build dist

.venv/made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.13")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/run: .venv/made requirements/run.txt pyproject.toml
	$(BIN)/pip install $(QUIET) -r requirements/run.txt
	$(BIN)/pip install $(QUIET) --no-deps --editable .
	@touch $@

.venv/development: .venv/run requirements/development.txt
	$(BIN)/pip install $(QUIET) -r requirements/development.txt
	@touch $@

# The local AWS has a virtualenv of its own: it pins other versions of what we use.
.venv-emulator/installed: requirements/emulator.txt
	$(PYTHON) -m venv .venv-emulator
	.venv-emulator/bin/pip install $(QUIET) -r requirements/emulator.txt
	@touch $@

# What lints the stack: it pins others again.
.venv-lint/installed: requirements/lint.txt
	$(PYTHON) -m venv .venv-lint
	.venv-lint/bin/pip install $(QUIET) -r requirements/lint.txt
	@touch $@
