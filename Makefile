# Needs only Python 3.11 or later and a POSIX shell: each target makes the virtual environment it uses.
#   make lfs-demo     Kafka, S3 and the proxy on this machine, with a round of uploads and reads
#   make test         lint, types, docs, unit tests and the integration tests on a real Kafka and S3 server
#   make test-sdks    the tests of the four client libraries, for which Go, Maven, a JDK and Node.js are needed
#   make bench        the proxy beside other ways to do the same (docs/benchmarks.md); about ten minutes. ROUNDS=2,
#                     ONLY='http-1g kafka-*', TARGETS='ours straight', SET=LFS_WORKERS=2, OTHER=folder of another version
#   make soak         faults of S3, Kafka, clients and the proxy under load, in random order, for an hour (docs/faults.md);
#                     MINUTES=60, SEED=, ONLY='S3*', SCALE=2 (each fault twice as long)
#   make lint | docs | clean
#   make docs-reference   the page docs/reference/settings.md, anew from the table of settings
#   make helm-schema      the schema of the Helm chart's values, anew from the same table
#   make lock             deploy/requirements.lock, the packages of the container with their hashes, anew
#   make kafka-apis KAFKA=4.5.0   what a release of Kafka has that the proxy has not decided about
#   make foreign CLIENT=franz-go   that client's own integration tests, straight and through the proxy; or
#                     CLIENT=kafka-python. KAFKA=4.1, VERSION= of the client, ONLY= some of the tests
#   make release-check    what a release needs, built and tried; nothing is published
#   make audit            known weaknesses in the packages that all languages use; asks services on the network
#   make sbom             what the container is made of, as CycloneDX: build/sbom.cdx.json
# PYTHON names the Python to use (an environment of another version is made anew), VENV where the environment goes.
# Behind a mirror: PIP_INDEX_URL for Python packages, LFS_DEMO_MAVEN_URL (or a mirror in ~/.m2/settings.xml) for the
# jars of Kafka and the S3 server.

VENV ?= .venv
PYTHON ?=
export PYTHON

# Of what an environment is made; other-python is among it where PYTHON is not the environment's own.
sources = setup.cfg pyproject.toml constraints.txt .ci/install
ifneq ($(PYTHON),)
sources += $(shell .ci/other-python "$(VENV)" "$(PYTHON)" && echo other-python)
endif

.DEFAULT_GOAL := help
.PHONY: help other-python lfs-demo test test-sdks bench soak lint docs docs-reference helm-schema lock audit sbom release-check kafka-apis foreign clean

# What is written at the top of this file.
help:
	@sed -n -e '/^$$/q' -e 's/^# \{0,1\}//p' Makefile

lfs-demo: $(VENV)/installed-demo
	@$(VENV)/bin/lfsproxy demo

test: $(VENV)/installed-test
	@$(VENV)/bin/python -m tests.run

test-sdks: $(VENV)/installed-test
	@LFS_TEST_ALL_SDKS=1 $(VENV)/bin/python -m tests.run sdks
	@LFS_TEST_ALL_SDKS=1 $(VENV)/bin/python -m twisted.trial tests.client tests.integration.test_sdks \
		tests.integration.test_examples_go tests.integration.test_examples_js tests.integration.test_examples_python

# Names of workloads are patterns, not of files here.
bench: $(VENV)/installed-test
	@set -f; $(VENV)/bin/python -m benchmarks.run --rounds $(or $(ROUNDS),5) --only $(ONLY) --targets $(TARGETS) \
		--set $(SET) $(if $(OTHER),--other $(OTHER))

soak: $(VENV)/installed-test
	@$(VENV)/bin/python -m tests.integration.faults.report --minutes $(or $(MINUTES),60) --scale $(or $(SCALE),2) \
		$(if $(SEED),--seed $(SEED)) --only '$(or $(ONLY),*)'

kafka-apis: $(VENV)/installed-test
	@$(VENV)/bin/python -m tests.kafka_apis --kafka '$(KAFKA)'

# The client's code is downloaded by go or pip.
foreign: $(VENV)/installed-test
	@$(VENV)/bin/python -m tests.foreign $(or $(CLIENT),franz-go) $(if $(KAFKA),--kafka $(KAFKA)) \
		$(if $(VERSION),--version $(VERSION)) $(if $(ONLY),--only '$(ONLY)')

lint: $(VENV)/installed-test
	@$(VENV)/bin/python -m tests.run lint types imports

docs: $(VENV)/installed-test
	@$(VENV)/bin/python -m tests.run docs

docs-reference: $(VENV)/installed-test
	@$(VENV)/bin/python -m lfsproxy.settings > docs/reference/settings.md

lock: $(VENV)/installed-release
	@.ci/lock $(VENV)

# govulncheck and osv-scanner are used where they are on PATH.
audit: $(VENV)/installed-release
	@$(VENV)/bin/python -m tests.audit

sbom: $(VENV)/installed-release
	@mkdir -p build
	@$(VENV)/bin/cyclonedx-py requirements deploy/requirements.lock --output-reproducible -o build/sbom.cdx.json

release-check: $(VENV)/installed-release
	@$(VENV)/bin/python -m tests.release

helm-schema: $(VENV)/installed-test
	@$(VENV)/bin/python deploy/helm/schema.py

# Everything that the demo needs is in what the tests need.
$(VENV)/installed-demo: $(sources)
	@test -z "$(filter other-python,$^)" \
		&& test $(VENV)/installed-test -nt setup.cfg && test $(VENV)/installed-test -nt constraints.txt \
		|| .ci/install $(VENV) demo
	@touch $@

$(VENV)/installed-test: $(sources)
	@.ci/install $(VENV) test,lint,docs
	@touch $@

$(VENV)/installed-release: $(sources)
	@.ci/install $(VENV) test,lint,docs,release
	@touch $@ $(VENV)/installed-test

clean:
	rm -rf $(VENV) build dist docs/_build _trial_temp* .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
