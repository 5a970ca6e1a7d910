# Two commands: `make demo` shows what this does, `make test` checks it. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
QGIS_PYTHON ?= /usr/bin/python3
PIP_INSTALL = -m pip install -qq --disable-pip-version-check $(PIP_ARGS)
SAR ?=
DEM ?=
MASK ?=
LEGEND ?=
DATA ?=
CHECKED = engine training eo_translate_plugin tests benchmarks .ci

export SAR DEM MASK LEGEND

.PHONY: help demo test test-engine test-qgis faults lint bench package docs test-matrix fuzz train clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: .venv-base/.installed ## Both algorithms on a sample scene; or SAR=path [DEM=path], MASK=path [LEGEND=name]
	@.venv-base/bin/python .ci/demo.py

test: .venv/.installed .venv-qgis/.installed .venv-base/.installed ## Every test, under 15 minutes: three parts, two at a time
	@$(MAKE) --no-print-directory -k -j2 --output-sync=target test-engine test-training test-qgis

test-engine: .venv/.installed ## Engine, conformance and packaging
	.venv/bin/python -m pytest tests/engine tests/conformance tests/package $(PYTEST_ARGS)

test-training: .venv/.installed ## Training, faults and a sample of the fuzzing
	.venv/bin/python -m pytest tests/training tests/faults tests/fuzz $(PYTEST_ARGS)

test-qgis: .venv-qgis/.installed .venv-base/.installed ## Plugin and end-to-end tests inside QGIS's Python
	@status=0; for part in plugin e2e; do \
	QT_QPA_PLATFORM=offscreen EO_TRANSLATE_PYTHON=$(CURDIR)/.venv-base/bin/python \
	.venv-qgis/bin/python -m pytest tests/$$part $(PYTEST_ARGS) || status=$$?; done; exit $$status

faults: .venv/.installed ## Every fault on purpose: 50 kills in each format, full disks, lost inputs (5 minutes)
	EO_TRANSLATE_KILLS=50 .venv/bin/python -m pytest tests/faults -s $(PYTEST_ARGS)

lint: .venv/.installed ## Style, types named, formatting (ruff)
	.venv/bin/ruff check $(CHECKED)
	.venv/bin/ruff format --check $(CHECKED)

bench: .venv/.installed .venv-base/.installed ## Every figure beside its bar, into benchmarks/results (20 minutes); or ONLY=memory,growth
	.venv/bin/python benchmarks/run.py $(if $(ONLY),--only $(ONLY))

bench-gpu: .venv/.installed ## What a GPU delivers, into benchmarks/results (needs CUDA and onnxruntime-gpu)
	.venv/bin/python benchmarks/gpu.py

package: ## The plugin's zip, into dist
	$(PYTHON) .ci/package.py

docs: .venv-base/.installed ## Algorithm reference and pictures, from the plugin and the demo themselves
	.venv-base/bin/python .ci/docs.py

test-matrix: .venv-base/.installed package ## The zip in QGIS 3.40 on Debian 13 (a chroot of 2.4 GB, root needed)
	.ci/matrix

fuzz: .venv/.installed ## 10,000 mutated packages, graphs, rasters, jobs and requests (about 15 minutes)
	nice -n 15 .venv/bin/python tests/fuzz/run.py

train: .venv/.installed ## Fit, score and package both bundled models (about two hours): DATA=folder
	$(foreach name,sar-to-optical mask-to-image, \
	$(if $(DATA),EO_DATA=$(DATA)) .venv/bin/eo-train experiment=$(subst -,_,$(name)) && \
	$(if $(filter sar-to-optical,$(name)),.venv/bin/eo-train calibrate runs/$(name) &&) .venv/bin/eo-train evaluate runs/$(name) && \
	.venv/bin/eo-train figures runs/$(name) docs/images && \
	.venv/bin/eo-train package runs/$(name) resources/models/$(name) &&) true

clean: ## Remove everything that make made
	rm -rf .venv .venv-qgis .venv-base .matrix build dist demo

.venv-base/.installed: pyproject.toml
	@.ci/install-qgis
	@echo "Making the engine's environment in .venv-base ..."
	@$(PYTHON) -m venv .venv-base
	@.venv-base/bin/python $(PIP_INSTALL) -e .
	@touch $@

.venv/.installed: pyproject.toml
	@.ci/install-qgis
	@echo "Making the training and test environment in .venv ..."
	@$(PYTHON) -m venv .venv
	@.venv/bin/python $(PIP_INSTALL) -e '.[train,dev]'
	@touch $@

.venv-qgis/.installed: pyproject.toml
	@.ci/install-qgis
	@echo "Making the environment of the QGIS tests in .venv-qgis ..."
	@$(QGIS_PYTHON) -m venv --system-site-packages .venv-qgis
	@.venv-qgis/bin/python $(PIP_INSTALL) 'pytest>=8' 'pytest-qgis>=2' 'rasterio>=1.4,<2' 'attrs>=23.3'
	@touch $@
