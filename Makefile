# Two commands on a fresh machine: `make demo` and `make test`. Everything lives in .venv; nothing else is touched,
# except that Icarus Verilog, a simulator, comes from apt-get where it is missing and you may install (root, or sudo
# that asks no password).

PYTHON ?= python3
OUT ?= out
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check bench regress clean venv simulator

demo: $(STAMP) ## the main job on the embedded digits: Verilog, its verification, a network's accuracy
	@$(MAKE) --no-print-directory simulator || echo "going on without it: the verification step is left out"
	@echo; echo "== 1 of 3: the unit as Verilog"
	$(BIN)/nmpu elaborate nmpu -o $(OUT)/nmpu.v
	@echo "Its ports:"; sed '/^endmodule/q' $(OUT)/nmpu.v | grep -E '^  (input|output)'
	@echo; echo "== 2 of 3: the same Verilog in a simulator, against the golden model"
	@if command -v iverilog > /dev/null; then \
	  echo "$(BIN)/nmpu verify --quick"; $(BIN)/nmpu verify --quick; else echo "left out: no iverilog"; fi
	@echo; echo "== 3 of 3: what the unit costs in accuracy: handwritten digits on the hermes tile"
	$(BIN)/nmpu evaluate

test: $(STAMP) simulator ## the whole regression
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow" -n $(JOBS) --dist loadfile

check: $(STAMP) ## style, types and unit tests, under a minute; needs no simulator
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n $(JOBS) --dist loadfile -m "not whole and not simulator and not slow and not data" tests

regress: $(STAMP) simulator ## what is too long for every day: exhaustive runs and studies
	$(BIN)/pytest -m slow

bench: $(STAMP) ## what a tile costs in time over plain float torch, and what compiled Verilog costs, on this machine
	$(BIN)/python -m integration.studies.bench
	$(BIN)/python -m integration.studies.bench_rtl

venv: $(STAMP) ## .venv with everything, at the versions of constraints.txt

# Made anew when what it holds changes.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
	  echo "nmpu needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1 || echo missing)." >&2; \
	  echo "Name another: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2> /dev/null || { \
	  echo "$(PYTHON) has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV): about 1 GB, most of it torch; some minutes, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# Installs where it may; else says what to type.
simulator:
	@command -v iverilog > /dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ]; then as_root=; \
	elif sudo -n true 2> /dev/null; then as_root=sudo; \
	else as_root=no; fi; \
	if [ "$$as_root" != no ] && command -v apt-get > /dev/null; then \
	  echo "Installing Icarus Verilog"; \
	  { $$as_root apt-get update -qq && $$as_root apt-get install -y -qq --no-install-recommends iverilog; } > /dev/null; \
	fi; \
	command -v iverilog > /dev/null || { \
	  echo "Icarus Verilog is missing. On Debian and Ubuntu: sudo apt-get install iverilog" >&2; exit 1; }

clean: ## the environment and every cache; results in out/ stay
	rm -rf $(VENV) build dist *.egg-info sim_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
