# Telemed. Every target sets up what it needs by itself, from a bare clone, and only once.
# Needs python3 >= 3.11 with python3-venv, and make; Node is used where it is there and fetched where it is not.

PORT ?= 8080
TELEMED_HOME ?= $(CURDIR)/.telemed
export TELEMED_HOME

PREPARE = @sh make/prepare.sh
# What drives a real browser has the machine to itself: two of them starve each other on two cores.
BROWSER = tests/browser $(wildcard tests/media/test_media_*chromium.py) $(addprefix tests/media/test_media_, \
  firefox.py layers.py loss.py rate.py)
SLOWEST = --durations 12 --durations-min 10
BIN = .venv/bin

.PHONY: help demo test lint bench bench-signal faults fuzz peers web locks chroot clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo [PORT=8080]  everything from nothing: server, database, a demo station, a demo clinician'
	@echo 'make test              everything from nothing: linters, type checks, web and Python tests'
	@echo 'make lint              the linters and type checks alone'
	@echo 'make bench             the side-by-side benchmarks; make bench-NAME runs one'
	@echo 'make faults            the long fault tests; make fuzz: the long fuzz tests'
	@echo 'make peers             installs what benchmarks and fault tests need beside Telemed (as root)'
	@echo 'make web               the built web app; make locks: the locks anew'
	@echo 'make chroot            make demo in a fresh Debian 12 with python3, python3-venv and make (as root)'
	@echo 'make clean             removes everything that was built; the data in .telemed stays'

demo:
	$(PREPARE) run web
	@exec $(BIN)/python -m telemed demo --port $(PORT)

test: lint
	$(PREPARE) chromium firefox
	$(PREPARE) npm test
	@echo 'pytest'
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(SLOWEST) \
	  $(addprefix --ignore=,$(BROWSER))
	@$(BIN)/python -m pytest $(SLOWEST) $(BROWSER)

lint:
	$(PREPARE) dev web
	@echo 'ruff check'
	@$(BIN)/ruff check --quiet --output-format concise .
	@echo 'mypy --strict'
	@$(BIN)/mypy
	@echo 'import contracts'
	@$(BIN)/lint-imports --no-cache --no-logo
	$(PREPARE) npm lint typecheck

bench:
	$(PREPARE) chromium web libraries
	@for file in benchmarks/[a-z]*.py; do $(BIN)/python "$$file" || exit 1; done

# A file named signal.py here would hide the standard library's from every benchmark beside it.
bench-signal:
	$(PREPARE) dev libraries
	@$(BIN)/python benchmarks/signals.py $(PARTS)

bench-%:
	$(PREPARE) chromium web
	@$(BIN)/python "benchmarks/$(subst -,_,$*).py"

faults:
	$(PREPARE) chromium web
	@TELEMED_RESUMES=$${TELEMED_RESUMES:-100} TELEMED_LOSS_JOINS=$${TELEMED_LOSS_JOINS:-20} \
	  TELEMED_SOAK=$${TELEMED_SOAK:-1000} TELEMED_SOAK_MINUTES=$${TELEMED_SOAK_MINUTES:-30} \
	  TELEMED_POOR_SECONDS=$${TELEMED_POOR_SECONDS:-600} TELEMED_LINES=1 \
	  TELEMED_FAULT_KILLS=$${TELEMED_FAULT_KILLS:-100} TELEMED_FAULT_POSTMASTERS=$${TELEMED_FAULT_POSTMASTERS:-50} \
	  TELEMED_FAULT_CUTS=$${TELEMED_FAULT_CUTS:-200} TELEMED_FAULT_DISKS=$${TELEMED_FAULT_DISKS:-20} \
	  TELEMED_SCHEDULES=$${TELEMED_SCHEDULES:-100000} TELEMED_BACKLOG_HOURS=$${TELEMED_BACKLOG_HOURS:-24} \
	  TELEMED_RESTORES=$${TELEMED_RESTORES:-10} $(BIN)/python -m pytest -s \
	  -k 'kill or away or resume or soak or stranger or media_loss or poor_line or fault_rounds or simulated or backlog or drill'

fuzz:
	$(PREPARE) dev
	@$(BIN)/python -m pytest --hypothesis-profile=fuzz tests/devices tests/dsp tests/vitals \
	  $$(grep -l '^@given' tests/media/*.py)

peers:
	@sh make/peers.sh

web:
	$(PREPARE) web

locks:
	$(PREPARE) locks

chroot:
	@sh make/chroot.sh

clean:
	@rm -rf .venv build web/node_modules web/telemed_web/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
