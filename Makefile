# Everything runs from a virtual environment in .venv that this file makes; nothing else is needed but Python 3.11+.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# A third of the time of the larger tests is waiting: for group members to expire, for processes to start and stop.
# tests/conftest.py puts the dearest files first, and xdist must leave them there.
PARALLEL := -n 3 --dist loadfile --no-loadscope-reorder
OUTSIDE  := embedded or kafka or minio or versitygw or openbao or postgresql or model or transformers or superset or dbt or llama or speech_server or long

# What Python compiles is kept, also where the machine says otherwise: each of the hundreds of processes that tests start
# would compile all that it imports, which is two fifths of the start of a worker.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install lock sbom licences audit demo up test test-all nightly test-kafka test-buckets test-minio test-transformers superset dbt llama test-speech-server lint format bench heads contracts freeze clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## make the virtual environment with everything for development

# What is installed is what requirements/*.lock name, by their hashes. uv takes seconds where pip takes half a minute, but
# does not read pip's settings: where it reaches no registry, pip does it.
LOCKED = --quiet --require-hashes --no-build-isolation -r

$(STAMP): pyproject.toml requirements/build.lock requirements/dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "callstream needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@echo "installing callstream into $(VENV) (once; one to five minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/build.lock
	@$(BIN)/uv pip install --python $(BIN)/python $(LOCKED) requirements/dev.lock || $(BIN)/pip install --disable-pip-version-check $(LOCKED) requirements/dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

LOCK = $(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-emit-find-links --no-emit-index-url --custom-compile-command "make lock" $(UPGRADE)

lock: $(STAMP) ## write requirements/*.lock anew after a change of pyproject.toml (UPGRADE=--upgrade: newest versions)
	@$(LOCK) requirements/build.in -o requirements/build.lock
	@$(LOCK) pyproject.toml --extra dev -o requirements/dev.lock
	@$(LOCK) pyproject.toml --extra embedded -c requirements/dev.lock -o requirements/embedded.lock
	@$(LOCK) pyproject.toml --extra sentences --extra sherpa-onnx --extra tracing -c requirements/dev.lock -o requirements/image.lock
	@$(LOCK) examples/dbt/requirements.txt -o requirements/dbt.lock
	@$(LOCK) requirements/llama.in -o requirements/llama.lock
	@$(LOCK) requirements/speech.in -o requirements/speech.lock

.venv-shipped/.installed: requirements/image.lock requirements/embedded.lock $(STAMP)
	@$(PYTHON) -m venv .venv-shipped
	@$(BIN)/uv pip install --quiet --python .venv-shipped/bin/python --require-hashes -r requirements/image.lock -r requirements/embedded.lock
	@touch $@

sbom: .venv-shipped/.installed ## what an image and one machine install, as CycloneDX: build/sbom.cdx.json
	@mkdir -p build
	@$(BIN)/cyclonedx-py environment .venv-shipped/bin/python --pyproject pyproject.toml --mc-type application --output-reproducible --of JSON -o build/sbom.cdx.json
	@echo "build/sbom.cdx.json"

licences: .venv-shipped/.installed ## write docs/licences.md: what ships, and under which licence
	@mkdir -p build
	@$(BIN)/pip-licenses --python .venv-shipped/bin/python --with-system --with-urls --format=json > build/licences.json
	@$(BIN)/python -m deploy.supply_chain.licences build/licences.json > docs/licences.md

audit: $(STAMP) ## known vulnerabilities of what ships; fails where the advisories cannot be reached
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements/image.lock -r requirements/embedded.lock

demo: $(STAMP) ## analyse the example recordings on the embedded stack and show what was found
	@$(BIN)/callstream demo

up: $(STAMP) ## the same stack, kept: Apache Kafka on disk, ClickHouse, workers
	@$(BIN)/callstream up

test: $(STAMP) ## units, contracts on fakes, and one run on the embedded stack with Whisper base (minutes)
	@$(BIN)/pytest $(PARALLEL) -m "not ($(OUTSIDE)) or end_to_end"

test-all: $(STAMP) .venv-dbt/.installed ## everything but make nightly: engines, brokers, faults; Kafka, S3 servers, PostgreSQL, llama.cpp where they can be had
	-@$(MAKE) --no-print-directory .venv-llama/.installed
	@$(BIN)/pytest $(PARALLEL) $(REPORT) -m "not transformers and not superset and not minio and not speech_server and not long"

BROKER ?= both
SEEDS  ?= 1-5
AGAIN  ?=
chaos: $(STAMP) ## break a whole stack in seeded ways and look what is lost; SEEDS=1-200 BROKER=kafka|tansu|both AGAIN=--again
	@$(BIN)/python -m tests.chaos --broker $(BROKER) --seeds $(SEEDS) $(AGAIN)

# Its module refuses `go install`, so it is built from a copy.
.tools/docker-compose: ## docker compose built with Go, which needs no engine for `config` (96 MB)
	@mkdir -p .tools
	@module=$$(mktemp -d) && trap 'rm -rf "$$module"' EXIT && \
	  folder=$$(go mod download -json github.com/docker/compose/v2@v2.40.3 | $(PYTHON) -c 'import json, sys; print(json.load(sys.stdin)["Dir"])') && \
	  cp -r --no-preserve=mode "$$folder/." "$$module" && cd "$$module" && go build -o "$(CURDIR)/$@" ./cmd

nightly: test-transformers superset test-speech-server .tools/docker-compose ## what takes too long for every change; write its result into docs/nightly.md
	@$(BIN)/pytest -m "(long or minio) and not transformers and not superset"
	@$(BIN)/pytest tests/test_deploy_onprem.py
	@$(BIN)/pytest $(PARALLEL) --hypothesis-profile=thorough -m "hypothesis and not long"
	@$(BIN)/python -m tests.chaos --seeds 1-100
	@$(BIN)/python benchmarks/judge.py
	@$(BIN)/python benchmarks/pipeline_overhead.py

test-kafka: $(STAMP) ## the broker-facing tests and the end-to-end run on Apache Kafka
	@$(BIN)/pytest $(PARALLEL) -m kafka

test-buckets: $(STAMP) ## the object store on two servers of S3, MinIO and versitygw (built with Go), and one run end to end
	@$(BIN)/pytest -m "minio or versitygw"

test-minio: $(STAMP) ## the part of it that runs on MinIO
	@$(BIN)/pytest -m minio

test-transformers: .venv-transformers/.installed ## Hugging Face checkpoints: as emotion heads, and fine-tuned beside the reading heads, in an environment of their own (5.6 GB)
	@OMP_NUM_THREADS=1 .venv-transformers/bin/pytest -m transformers tests/processors/emotion tests/processors/reading tests/streams/test_emotion_settings.py tests/streams/cli/learn

.venv-transformers/.installed: pyproject.toml
	@echo "installing callstream with torch and transformers into .venv-transformers (once; some minutes, 5.6 GB)"
	@$(PYTHON) -m venv .venv-transformers
	@.venv-transformers/bin/pip install --quiet --disable-pip-version-check --editable '.[transformers]' pytest hypothesis
	@touch $@

dbt: $(STAMP) .venv-dbt/.installed ## examples/dbt is built by an analyst on the embedded engine, in an environment of its own (160 MB)
	@$(BIN)/pytest -m dbt tests/analysts/test_dbt.py

# Without $(STAMP): CI makes it beside `make install`.
.venv-dbt/.installed: requirements/build.lock requirements/dbt.lock
	@echo "installing dbt into .venv-dbt (once; about a minute, 160 MB)"
	@$(PYTHON) -m venv .venv-dbt
	@.venv-dbt/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.lock
	@.venv-dbt/bin/uv pip install --python .venv-dbt/bin/python $(LOCKED) requirements/dbt.lock || .venv-dbt/bin/pip install --disable-pip-version-check $(LOCKED) requirements/dbt.lock
	@touch $@

llama: $(STAMP) .venv-llama/.installed ## the second reader against llama.cpp's own server, in an environment of its own (190 MB)
	@$(BIN)/pytest -m llama tests/streams/adapters/test_second_reader_llama.py

.venv-llama/.installed: requirements/build.lock requirements/llama.lock
	@echo "installing llama.cpp into .venv-llama (once; seconds to a minute, 190 MB)"
	@$(PYTHON) -m venv .venv-llama
	@.venv-llama/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.lock
	@.venv-llama/bin/uv pip install --python .venv-llama/bin/python $(LOCKED) requirements/llama.lock || .venv-llama/bin/pip install --disable-pip-version-check $(LOCKED) requirements/llama.lock
	@touch $@

test-speech-server: $(STAMP) .venv-speech/.installed ## the engine openai-api against faster-whisper-server, in an environment of its own (410 MB)
	@$(BIN)/pytest -m speech_server tests/processors/listening/engines/test_openai_api_server.py

.venv-speech/.installed: requirements/build.lock requirements/speech.lock
	@echo "installing faster-whisper-server into .venv-speech (once; about a minute, 410 MB)"
	@$(PYTHON) -m venv .venv-speech
	@.venv-speech/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.lock
	@.venv-speech/bin/uv pip install --python .venv-speech/bin/python $(LOCKED) requirements/speech.lock || .venv-speech/bin/pip install --disable-pip-version-check $(LOCKED) requirements/speech.lock
	@touch $@

superset: $(STAMP) .venv-superset/.installed ## the dashboards in a real Superset: imported, every chart asked, drawn in Chromium
	@$(BIN)/pytest -m superset tests/analysts/test_superset_live.py

.venv-superset/.installed: deploy/superset/requirements.txt deploy/superset/constraints.txt
	@echo "installing Apache Superset into .venv-superset (once; some minutes, 1 GB)"
	@$(PYTHON) -m venv .venv-superset
	@.venv-superset/bin/pip install --quiet --disable-pip-version-check -r deploy/superset/requirements.txt -c deploy/superset/constraints.txt
	@touch $@

lint: $(STAMP) ## ruff, mypy --strict and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports

format: $(STAMP) ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP) ## measure against plain faster-whisper in the same run
	@$(BIN)/python benchmarks/pipeline_overhead.py

heads: $(STAMP) ## train what reads calls, finds names and digits and respells what was misheard, on the text of training/ (half an hour of two cores)
	@$(BIN)/python -m training.spelling
	@$(BIN)/python -m training.pins
	@$(BIN)/python -m training.roles
	@$(BIN)/python -m training.pins
	@$(BIN)/python -m training.names
	@$(BIN)/python -m training.pins
	@$(BIN)/python -m training.digits
	@$(BIN)/python -m training.pins
	@$(BIN)/python -m training.heads
	@$(BIN)/python -m training.pins
	@$(BIN)/python -m training.topics
	@$(BIN)/python -m training.pins

contracts: $(STAMP) ## write the JSON Schemas and the AsyncAPI document again
	@$(BIN)/callstream contracts

freeze: $(STAMP) ## VERSION=0.3.0: keep the messages of a release for tests of compatibility
	@$(BIN)/python -m tests.compatibility.freeze $(VERSION)

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .venv-transformers .venv-superset .venv-dbt .venv-llama .venv-speech .venv-shipped build .mypy_cache .ruff_cache .pytest_cache
