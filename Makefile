# Everything a stranger needs; each target does its own set-up. A second run is quick.
PYTHON ?= python3
PIP = -m pip install --quiet --disable-pip-version-check

.PHONY: help install demo test soak chaos bench bench-web check check-deploy audit lock clean

help:
	@echo "make demo     see the whole thing run, in under a minute"
	@echo "make install  .venv/bin/vtexorders, without development tools"
	@echo "make test     unit, flow and live tests"
	@echo "make soak     tests that take minutes: processes that die at every place"
	@echo "make chaos    minutes of kills and faults, then a verdict on each promise (CHAOS_ORDERS=…, CHAOS_SEED=…)"
	@echo "make bench-web  what the front door takes a second, on this machine"
	@echo "make check    ruff, mypy, import contracts; Dockerfile, compose file, Kubernetes manifests"
	@echo "make audit    known weaknesses of packages and images (asks the network)"
	@echo "make bench    how fast it is here, beside a bare script and a textbook's chain; a quarter of an hour"

install: .venv/.ready

demo: .venv/.ready
	.venv/bin/vtexorders demo

# Three at once: most tests wait for processes. A file stays together, since its tests share what it started.
test: .venv-dev/.ready
	.venv-dev/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

soak: .venv-dev/.ready
	.venv-dev/bin/python -m pytest -m soak

bench: .venv/.ready
	.venv/bin/vtexorders bench

bench-web: .venv-dev/.ready
	.venv-dev/bin/python tests/bench/front_door.py

# Options by environment: CHAOS_SEED, _ORDERS, _COMMANDS, _SECONDS, _EVERY, _KILLS, _WORKERS, _ERP, _DRAIN.
chaos: .venv-dev/.ready
	.venv-dev/bin/python -m tests.chaos

check: .venv-dev/.ready check-deploy
	.venv-dev/bin/ruff check .
	.venv-dev/bin/ruff format --check .
	.venv-dev/bin/mypy
	.venv-dev/bin/lint-imports --no-logo

check-deploy: .venv-deploy/.ready
	.venv-deploy/bin/python deploy/validate.py

# Exit 2 where nobody answers: nothing was audited.
audit: .venv-deploy/.ready
	.venv-deploy/bin/python deploy/audit.py requirements.txt

# The set-up: a virtual environment, the pinned and hashed dependencies, then this project itself.
.venv/.ready: requirements.txt pyproject.toml
.venv-dev/.ready: requirements-dev.txt pyproject.toml
.venv-deploy/.ready: requirements-deploy.txt
.venv/.ready .venv-dev/.ready .venv-deploy/.ready:
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Python 3.11 or newer is needed; this is %d.%d. Another one: make PYTHON=/path/to/python3.12 ..." % v[:2])'
	@echo "Setting up $(@D) (once; a minute or so)"
	@rm -rf "$(@D)"
	@$(PYTHON) -m venv "$(@D)"
	@"$(@D)/bin/python" $(PIP) --require-hashes -r $<
	@[ "$(@D)" = .venv-deploy ] || "$(@D)/bin/python" $(PIP) --no-deps --no-build-isolation --editable .
	@touch "$@"

# Pin anew (needs uv): exact versions and hashes for every platform, and no index address.
lock:
	echo setuptools | uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet pyproject.toml - -o requirements.txt
	echo setuptools | uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet pyproject.toml - --group dev -c requirements.txt -o requirements-dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet --group deploy -o requirements-deploy.txt

clean:
	rm -rf .venv .venv-dev .venv-deploy .mypy_cache .ruff_cache .pytest_cache
