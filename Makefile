# Everything lives in .venv; every target can be called first.
PYTHON ?= python3
# make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu  takes the small build of torch
TORCH_INDEX ?=

BIN := .venv/bin
READY := .venv/ready
PIP := env -u PYTHONPATH $(BIN)/python -m pip --disable-pip-version-check
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Whatever the user has told pip and Python elsewhere, this goes into .venv and nowhere else.
export PIP_USER := 0
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PYTHONHOME
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))

# A virtual environment knows its own path: one that was moved is made anew. ($$PWD, and not
# make's own word for it: a path may hold quotes, brackets and spaces.)
$(shell test ! -e $(READY) || pwd -P | cmp -s - $(READY) || rm -rf .venv)

.PHONY: setup reproduce quick test check notebooks notebooks-check soak assignments lab data clean

setup: $(READY)

$(READY): pyproject.toml requirements-lock.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make setup PYTHON=python3.12"; exit 2; }
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear .venv || \
	  { rm -rf .venv; echo "no venv here: install it (Debian: apt install python3-venv)"; exit 2; }
	@echo "installing into .venv, once; PyTorch is the large part"
	@$(PIP) install $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
	  -c requirements-lock.txt -e '.[notebooks,course,test,check]'
	@pwd -P > $@

reproduce: setup
	@easgd reproduce

# Lint, types, and every test that starts no process: under a minute, before each commit.
quick: check
	@python -m pytest tests -q -n 2 --hypothesis-profile quick \
	  -m "not mpi and not engines and not slow"

# What trains, or has processes of its own, gets the cores to itself.
test: setup
	@python -m pytest tests -n 2 -m "not mpi and not engines and not slow"
	@OMP_NUM_THREADS=1 python -m pytest tests -n 2 -m "slow and not mpi and not engines"
	@python -m pytest tests -m "mpi or engines"
	@$(MAKE) --no-print-directory notebooks-check

check: setup
	@ruff check .
	@ruff format --check .
	@mypy
	@codespell easgd_lib tests docs *.md data/README.md figures/README.md

notebooks: setup
	@IPP_NONINTERACTIVE=1 OMP_NUM_THREADS=1 jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.record_timing=False --log-level=WARN $(NOTEBOOKS)

notebooks-check: setup
	@python -m pytest --nbval $(NOTEBOOKS)

# Half an hour of training under accidents, then an hour of signals to starting clusters.
soak: setup
	@python tests/soak.py training
	@python tests/soak.py signals

assignments: setup
	@cd notebooks/assignments && python -m nbgrader generate_assignment elastic_exchange \
	  --force --log-level=ERROR
	@echo "student version: notebooks/assignments/release/elastic_exchange/"

lab: setup
	@jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) \
	  --LabApp.default_url=/lab/tree/notebooks/00-check-your-setup.ipynb

data: setup
	@easgd data

clean:
	rm -rf .venv build *.egg-info figures/quick data/runs/quick notebooks/assignments/release
	find . -name __pycache__ -prune -exec rm -rf {} +
