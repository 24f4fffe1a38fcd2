# Needs python3 (3.11 or newer, with venv) and make; everything else is fetched into .venv.
# Another interpreter: make PYTHON=/path/to/python3.12 …

PYTHON ?= python3
VENV ?= .venv
VENV313 := $(VENV)-3.13
VENVWHEEL := $(VENV)-wheel
VENVTOGETHER := $(VENV)-together
VENVENTERPRISE := $(VENV)-enterprise
VENVPEERS := $(VENV)-peers
BUILD := build
PY := $(VENV)/bin/python
# Other releases: make VENV=.venv-oldest CONSTRAINTS=build/oldest.txt test-main, or CONSTRAINTS=/dev/null for the newest.
CONSTRAINTS ?= constraints.txt
PIP_INSTALL := -m pip install -qq --disable-pip-version-check --constraint $(CONSTRAINTS)

PACKAGE := $(shell find extension kernelspec -type f -not -path '*/__pycache__/*')
INSTALLED := pyproject.toml $(CONSTRAINTS) $(wildcard kernelspec/*) $(wildcard extension/jupyter_app_meta/jupyter-config/*)
KERNEL_TESTS := tests/policy tests/display tests/kernel $(filter-out $(addprefix tests/test_,conftest.py dashboard_notebooks.py demo.py demo_browser.py docs.py docs_examples.py elsewhere.py errors.py packaging.py),$(wildcard tests/test_*.py))

QUICK_TESTS := tests/test_model.py tests/policy/test_policy.py tests/policy/test_urls.py tests/test_testing.py tests/test_wire.py \
	tests/kernel/test_context.py tests/display/test_sheets.py tests/kernel/test_magic.py tests/server/test_capture.py \
	tests/server/test_stamps.py tests/server/test_identity.py

# The pure core: each line and branch of it is run by an example, none by luck of a property or for its time.
PURE_TESTS := tests/policy tests/test_wire.py

FORKED_TESTS := tests/dashboards tests/asgi tests/hub tests/providers tests/testing \
	tests/test_dashboard_notebooks.py tests/test_demo_browser.py tests/kernel/test_forks.py tests/kernel/test_forks_frames.py \
	tests/kernel/test_template.py tests/kernel/test_template_attached.py \
	--ignore-glob='tests/dashboards/test_fork_*.py' # they break forks, and run with their own in each run

# A file's tests share servers. The files are begun in the order of tests/conftest.py: those that take long first.
# Tests also wait, so two processors are enough for three workers.
WORKERS ?= 3
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# What tests and servers start by name must come from the environment under test.
in = exec env PATH="$(abspath $(1))/bin:$$PATH" $(1)/bin/python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo lab docs quick coverage constraints oldest test test-main test-forked test-313 test-wheel lint format bench wheel environments programs clean

help: ## Say what there is to make
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

demo: $(VENV)/.demo ## Serve four dashboards to three people and print the link to open
	@$(call in,$(VENV)) -m tools.demo

lab: $(VENV)/.demo ## Start JupyterLab on the notebooks and print the link to open
	@$(call in,$(VENV)) -m tools.lab

docs: $(VENV)/.docs ## Build the documentation into build/docs; warnings are errors
	$(call in,$(VENV)) -m sphinx -b html -nW --keep-going -q docs $(BUILD)/docs
	@echo "The documentation is in $(BUILD)/docs/index.html"

quick: $(VENV)/.test ## Run the fast tests: the pure core, the kernel half, units of the server half
	$(call in,$(VENV)) -m pytest -n 2 -q $(QUICK_TESTS) $(ARGS)

coverage: $(VENV)/.test ## Check that examples reach each branch of the pure core: policy, wire
	@$(call in,$(VENV)) -m coverage run -m pytest -q -m "not hypothesis" -k "not linear_time" $(PURE_TESTS)
	@$(PY) -m coverage report

test: test-main test-313 test-wheel ## Run every test: here, under Python 3.13, and against the wheel

test-main: $(VENV)/.test $(VENV313)/.test $(VENVTOGETHER)/.test $(VENVENTERPRISE)/.test programs ## Run the tests in .venv
	$(call in,$(VENV)) -m pytest $(PARALLEL) $(ARGS)

test-forked: $(VENV)/.test programs ## Run the tests of dashboards with each kernel forked (no part of test)
	@export APP_META_TESTS_FORK=1; $(call in,$(VENV)) -m pytest $(PARALLEL) $(FORKED_TESTS) $(ARGS)

test-313: $(VENV313)/.test ## Run the kernel half's tests under Python 3.13, where there is one
	@if test -x $(VENV313)/bin/python; \
	then $(call in,$(VENV313)) -m pytest $(PARALLEL) $(KERNEL_TESTS) $(ARGS); \
	else echo "No Python 3.13 was found (PY313=… names one): the kernel half was tested on $$($(PY) -V) only."; fi

test-wheel: $(VENVWHEEL)/.test ## Build the wheel, install it into a clean environment, and test it there
	$(call in,$(VENVWHEEL)) -m pytest tests/wheel -m wheel $(ARGS)

lint: $(VENV)/.test ## Check style, import boundaries and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/lint-imports --no-cache
	$(PY) -m mypy
	$(VENV)/bin/pyrefly check --python-interpreter-path $(PY)

format: $(VENV)/.test ## Format the code
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: $(VENV)/.test $(VENVPEERS)/.bench ## Measure the figures of docs/reference/figures.md
	$(call in,$(VENV)) -m benchmarks $(ARGS)

wheel: $(BUILD)/dist/.built ## Build the wheel

constraints: ## Write constraints.txt anew, with the newest releases
	@PYTHON=$(PYTHON) tools/renew-constraints.sh

oldest: $(BUILD)/oldest.txt ## Write the oldest releases that pyproject.toml allows into build/oldest.txt

$(BUILD)/oldest.txt: pyproject.toml tools/oldest.py
	@mkdir -p $(BUILD)
	@$(PYTHON) tools/oldest.py > $@

environments: $(VENV)/.docs $(VENV313)/.test $(VENVTOGETHER)/.test $(VENVENTERPRISE)/.test $(VENVWHEEL)/.test programs ## Install all that the tests need

# One after the other: only one apt may run at a time.
programs: | $(PY)
	@tools/ensure-chromium.sh
	@tools/ensure-nginx.sh
	@tools/ensure-databases.sh
	@tools/ensure-hub-proxy.sh $(VENV)/node
	@tools/ensure-axe.sh $(VENV)/node
	@tools/ensure-oidc-provider.sh $(VENV)/node

clean: ## Remove what was made
	rm -rf $(VENV) $(VENV313) $(VENVWHEEL) $(VENVTOGETHER) $(VENVENTERPRISE) $(VENVPEERS) $(BUILD) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Creating $(VENV) …"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(INSTALLED) | $(PY)
	@echo "Installing jupyter-app-meta and what its demonstrations need into $(VENV) …"
	@$(PY) $(PIP_INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.test: $(INSTALLED) | $(PY)
	@echo "Installing jupyter-app-meta and what its tests need into $(VENV) …"
	@$(PY) $(PIP_INSTALL) --editable '.[test]'
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: $(VENV)/.test
	@echo "Installing what the documentation needs into $(VENV) …"
	@$(PY) $(PIP_INSTALL) --editable '.[docs]'
	@touch $@

$(VENV313)/.test: $(INSTALLED) tools/find-python.sh
	@mkdir -p $(VENV313)
	@python=$$(tools/find-python.sh 3.13) || { touch $@; exit 0; }; \
	echo "Installing the kernel half into $(VENV313) …"; \
	$$python -m venv $(VENV313) && $(VENV313)/bin/python $(PIP_INSTALL) --editable '.[test-kernel]' && touch $@

# Server extensions that most tests must be without, on top of what .venv has.
$(VENVTOGETHER)/.test: $(VENV)/.test
	@echo "Installing what we must get along with into $(VENVTOGETHER) …"
	@rm -rf $(VENVTOGETHER)
	@$(PY) -m venv $(VENVTOGETHER)
	@$(PY) -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	  > $$($(VENVTOGETHER)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth
	@$(VENVTOGETHER)/bin/python $(PIP_INSTALL) 'jupyter-collaboration>=5' 'jupyter_server_nbmodel>=0.2.9'
	@touch $@

# Enterprise Gateway needs jupyter_client 6, so it has an environment of its own. Nothing of ours is in it, and it is kept
# while this rule stays the same.
$(VENVENTERPRISE)/.test: Makefile | $(PY)
	@echo "Installing Enterprise Gateway into $(VENVENTERPRISE) …"
	@rm -rf $(VENVENTERPRISE)
	@$(PY) -m venv $(VENVENTERPRISE)
	@$(VENVENTERPRISE)/bin/python -m pip install -qq --disable-pip-version-check --no-compile 'jupyter_enterprise_gateway>=3.3'
	@touch $@

# Frameworks that the benchmarks compare with. Nothing of ours is in it.
$(VENVPEERS)/.bench: benchmarks/forks/peers.txt $(CONSTRAINTS) | $(PY)
	@echo "Installing the frameworks that the benchmarks compare with into $(VENVPEERS) …"
	@rm -rf $(VENVPEERS)
	@$(PY) -m venv $(VENVPEERS)
	@$(VENVPEERS)/bin/python $(PIP_INSTALL) --requirement benchmarks/forks/peers.txt
	@touch $@

$(BUILD)/dist/.built: $(PACKAGE) pyproject.toml README.md LICENSE $(VENV)/.test
	@rm -rf $(BUILD)/dist
	$(PY) -m build --wheel --no-isolation --outdir $(BUILD)/dist . > $(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log
	@touch $@

# As a deployer has it: a jupyter_server is there, then the wheel is installed beside it.
$(VENVWHEEL)/.test: $(BUILD)/dist/.built
	@echo "Installing the wheel into a clean environment …"
	@rm -rf $(VENVWHEEL)
	@$(PYTHON) -m venv $(VENVWHEEL)
	@$(VENVWHEEL)/bin/python $(PIP_INSTALL) jupyter_server
	@$(VENVWHEEL)/bin/python $(PIP_INSTALL) $(BUILD)/dist/*.whl
	@$(VENVWHEEL)/bin/python $(PIP_INSTALL) 'pytest>=8.4' 'pytest-asyncio>=1.1' 'pytest-timeout>=2.3'
	@touch $@
