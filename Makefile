# Every command makes what it needs: a virtual environment in .venv, and the package in it, installed once and again
# only when setup.cfg or pyproject.toml has changed.
#
#   make run     start the demo: https://localhost:8443, and curl lines to paste; make run PORT=8444 takes another port
#   make test    ruff, mypy and all tests
#   make check   ruff and mypy alone
#   make wheel   the wheel to install elsewhere, into dist, with the manual page; make man for that page alone
#   make docs    the documentation, into docs/_build/html
#   make bench   compare with nginx: time for each request, and waits beside greedy clients; what rules cost
#   make scan    look at the default TLS settings with sslyze and testssl.sh
#   make fuzz    run the fuzz targets of tests/fuzz, each for a minute; make fuzz SECONDS=600 for ten
#   make soak    ten minutes of all that clients do, good and bad; make soak SECONDS=60 for one
#   make etc/pki certificates for the example, etc/edgenode.ini; run and test make them too; make examples/pki,
#                examples/content-filter/pki, examples/how-do-i/pki, examples/functions/pki, examples/limits/pki,
#                examples/observe/pki, examples/origins/pki, examples/protocols/pki, examples/streams/pki and
#                examples/migrating/certs those of the other examples
#   make clean   forget the virtual environment and everything that was built

PYTHON ?= python3
PORT   := 8443
SECONDS := 60
VENV   := .venv
BIN    := $(VENV)/bin
BUILD  := setup.cfg pyproject.toml
# twistd does not see plugins of setuptools' default editable install; "compat" puts this folder on the path.
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --config-settings editable_mode=compat

.PHONY: run test check wheel man docs bench scan fuzz soak clean
.DELETE_ON_ERROR:

run: $(VENV)/.installed etc/pki
	@$(BIN)/python -m edgenode demo --port $(PORT)

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check etc/pki
	PATH="$$PATH:/usr/sbin" $(BIN)/python -m pytest -n 3 --dist worksteal

# No private key belongs in the repository: the first lines of an example say how to make those that it names.
etc/pki: INI := etc/edgenode.ini
examples/pki: INI := examples/embedding.ini
examples/how-do-i/pki: INI := examples/how-do-i/edgenode.ini
examples/protocols/pki: INI := examples/protocols/edgenode.ini
examples/limits/pki: INI := examples/limits/response-rules.ini
examples/functions/pki: INI := examples/functions/functions.ini
examples/observe/pki: INI := examples/observe/edgenode.ini
examples/origins/pki: INI := examples/origins/edgenode.ini
examples/streams/pki: INI := examples/streams/streams.ini
examples/content-filter/pki: INI := examples/content-filter/edgenode.ini
examples/migrating/certs: INI := examples/migrating/from-nginx.ini
etc/pki examples/pki examples/content-filter/pki examples/how-do-i/pki examples/limits/pki examples/functions/pki examples/observe/pki examples/origins/pki examples/protocols/pki examples/streams/pki examples/migrating/certs: | $(VENV)/.installed
	@sed -n 's|^#   $$ python |$(BIN)/python |p' $(INI) | sh -e >/dev/null || { rm -rf $@; exit 1; }

# What an earlier build has left in build/lib would be in the wheel, too.
wheel: man
	@rm -rf build/lib build/bdist.*
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@echo "to install it, in an environment of its own: pip install $$(ls -t dist/edgenode-*.whl | head -1)"

man: build/man/edgenode.1

build/man/edgenode.1: $(VENV)/.installed-man $(wildcard edgenode/commands/*.py) edgenode/simulation/curl.py
	@mkdir -p build/man
	$(BIN)/argparse-manpage --module edgenode.commands.tree --function tree --project-name edgenode \
	  --version "$$($(BIN)/edgenode --version | cut -d ' ' -f 2)" --manual-title edgenode \
	  --description 'an mTLS edge node' --format single-commands-section >$@

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

# All of them are run, even if one misses a limit.
bench: $(VENV)/.installed
	@status=0; for each in proxy fairness rules counters limits observe policy hostile site idle; do $(BIN)/python -m bench.$$each || status=1; done; exit $$status

# sslyze wants an older cryptography than the node, and so an environment of its own; testssl.sh is the system's.
scan: $(VENV)/.installed-test $(VENV)/scan/bin/sslyze
	$(BIN)/python -m bench.scan --sslyze $(VENV)/scan/bin/sslyze

$(VENV)/scan/bin/sslyze: | $(BIN)/python
	$(PYTHON) -m venv $(VENV)/scan
	$(VENV)/scan/bin/python -m pip install --quiet --disable-pip-version-check 'sslyze >= 6.3'

soak: SECONDS := 600
soak: $(VENV)/.installed-test
	$(BIN)/python -m bench.soak --seconds $(SECONDS)

fuzz: $(VENV)/.installed-fuzz
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

clean:
	rm -rf $(VENV) etc/pki examples/pki examples/*/pki examples/migrating/certs build dist *.egg-info docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@echo "1/2 a virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "edgenode needs Python 3.11 or newer, and $(PYTHON) is not: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "$(PYTHON) cannot make a virtual environment; Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.installed: $(BIN)/python $(BUILD)
	@echo "2/2 edgenode, and what it needs, in $(VENV): half a minute, more on a slow line"
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(INSTALL) -e '.[test,redis,geo,docs]'
	@touch $@

$(VENV)/.installed-fuzz: $(VENV)/.installed-test
	$(INSTALL) -e '.[fuzz]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(INSTALL) -e '.[docs]'
	@touch $@

$(VENV)/.installed-man: $(VENV)/.installed
	$(INSTALL) -e '.[man]'
	@touch $@
