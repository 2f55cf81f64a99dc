# Everything lives in .venv; every target can be called first.
PYTHON ?= python3
# make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu  takes the small build of torch
TORCH_INDEX ?=

BIN := .venv/bin
READY := .venv/ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))

.PHONY: setup reproduce test check notebooks notebooks-check assignments lab data clean

setup: $(READY)

$(READY): pyproject.toml requirements-lock.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make setup PYTHON=python3.12"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "no venv here: install it (Debian: apt install python3-venv)"; exit 2; }
	@echo "installing into .venv (once; torch is the large part)"
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install -q -c requirements-lock.txt torch torchvision --index-url $(TORCH_INDEX))
	@$(BIN)/python -m pip install -q -c requirements-lock.txt -e '.[check]'
	@touch $@

reproduce: setup
	@easgd reproduce

test: setup
	@python -m pytest tests
	@$(MAKE) --no-print-directory notebooks-check

check: setup
	@ruff check .
	@ruff format --check .
	@mypy

notebooks: setup
	@IPP_NONINTERACTIVE=1 OMP_NUM_THREADS=1 jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.record_timing=False --log-level=WARN $(NOTEBOOKS)

notebooks-check: setup
	@python -m pytest --nbval $(NOTEBOOKS)

assignments: setup
	@cd notebooks/assignments && python -m nbgrader generate_assignment elastic_exchange \
	  --force --log-level=ERROR
	@echo "student version: notebooks/assignments/release/elastic_exchange/"

lab: setup
	@jupyter lab notebooks/00-check-your-setup.ipynb

data: setup
	@easgd data

clean:
	rm -rf .venv build *.egg-info figures/quick data/runs/quick notebooks/assignments/release
	find . -name __pycache__ -prune -exec rm -rf {} +
