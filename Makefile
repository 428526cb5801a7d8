# Davit: `make help` lists the targets. Programs go to bin/; what tests need of
# the machine is installed by `make test-deps`, idempotently.

SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := bin
GO ?= go
TOOLS ?= $(or $(DAVIT_TOOLS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/davit/tools)
GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(TOOLS)/golangci-lint@$(GOLANGCI_VERSION)/golangci-lint
PACKAGES ?= ./...
# Programs have no symbols and no DWARF: stack traces need neither.
LINK := -trimpath -ldflags='-s -w'

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: build
build: ## build the programs into bin/
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build $(LINK) -o $(BIN)/davit-gateway ./cmd/davit-gateway
	CGO_ENABLED=0 $(GO) build $(LINK) -o $(BIN)/davit-runner ./cmd/davit-runner
	CGO_ENABLED=0 $(GO) build $(LINK) -o $(BIN)/davit-setup ./cmd/davit-setup
	CGO_ENABLED=0 $(GO) build $(LINK) -o $(BIN)/davit-demo ./hack/demo

.PHONY: run
run: build ## start Davit on this machine, run the example, and stay up
	@exec $(BIN)/davit-demo -stay

.PHONY: demo
demo: build ## the same, and exit: 0 only if the result was right
	@exec $(BIN)/davit-demo

.PHONY: test
test: test-deps ## unit and whole-system tests with a real Redis, S3 server and browser; as any user
	@GO='$(GO)' ./hack/test $(PACKAGES)

.PHONY: test-all
test-all: test-deps-all build ## all tests, with the race detector, Docker and a Kubernetes of this machine too; as root
	@GO='$(GO)' ./hack/test-all

.PHONY: docker-test
docker-test: test-deps-all build ## what builds images, on a Docker daemon and a registry of the tests' own; as root
	$(GO) test -race -p 1 -tags all,cluster -timeout 20m ./gateway/docker ./e2e/images

.PHONY: race-e2e
race-e2e: test-deps-all ## the whole-system tests with programs under the race detector
	$(GO) test -race -tags all -timeout 40m ./e2e

.PHONY: soak
soak: test-deps-all ## two gateways under a mixed load for SOAK (default 30m): nothing that they hold may grow
	$(GO) test -tags all -count=1 -timeout 0 -v -run '^TestSoak$$' ./e2e -soak $(or $(SOAK),30m)

.PHONY: soak-cluster
soak-cluster: test-deps-all build ## the same on a Kubernetes, like cluster-e2e: pods, Jobs and objects may not grow either
	$(GO) build -o $(BIN)/davit-cluster-e2e ./hack/cluster-e2e
	@exec $(BIN)/davit-cluster-e2e -soak $(or $(SOAK),30m)

.PHONY: test-deps
test-deps: ## install what make test needs of the machine
	@./hack/test-deps

.PHONY: test-deps-all
test-deps-all: ## install what make test-all needs of the machine; as root
	@./hack/test-deps all

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (default 20s)
	@./hack/fuzz $(or $(FUZZTIME),20s)

.PHONY: lint
lint: $(GOLANGCI) ## check style, imports and the rules of the house
	$(GOLANGCI) run --allow-parallel-runners $(PACKAGES)
	cd e2e/cluster && $(GOLANGCI) run --allow-parallel-runners ./...
	cd e2e/manifests && $(GOLANGCI) run --allow-parallel-runners ./...
	$(GO) test -count=1 ./internal/rooms # the cache does not see new files
	@for module in . e2e/cluster e2e/cluster/programs e2e/manifests; do echo "$(GO) -C $$module mod tidy -diff"; $(GO) -C $$module mod tidy -diff || exit; done

$(GOLANGCI):
	@echo "building golangci-lint $(GOLANGCI_VERSION) (once, about 2 minutes)"
	@mkdir -p $(@D)
	GOBIN=$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

.PHONY: fmt
fmt: $(GOLANGCI) ## format the code
	$(GOLANGCI) fmt

.PHONY: check
check: lint test-all ## what CI runs

.PHONY: cluster-up
cluster-up: ## bring up a one-node Kubernetes on this machine, as root; DAVIT_E2E_KUBECONFIG names one of yours instead
	@cd e2e/cluster && $(GO) run ./cmd/davit-cluster up

.PHONY: cluster-down
cluster-down: ## take it down: processes, network, mounts, rules, files
	@cd e2e/cluster && $(GO) run ./cmd/davit-cluster down

.PHONY: cluster-test
cluster-test: ## the test of that Kubernetes: what it can do, and that it leaves nothing
	cd e2e/cluster && $(GO) test -timeout 60m -v ./...

.PHONY: cluster-e2e
cluster-e2e: test-deps-all build ## all tests that need a Kubernetes: up, deploy, test, down; DAVIT_E2E_KUBECONFIG (OVERLAY, REGISTRY) names one of yours
	$(GO) build -o $(BIN)/davit-cluster-e2e ./hack/cluster-e2e
	@exec $(BIN)/davit-cluster-e2e

.PHONY: images
images: ## build the images davit-gateway and davit-runner with the Docker of DOCKER_HOST; VERSION tags them
	@GO='$(GO)' VERSION='$(VERSION)' ./hack/images

.PHONY: deploy
deploy: ## bring Davit to the cluster of the current kubeconfig; OVERLAY (default dev) and REGISTRY as docs/kubernetes.md says
	@GO='$(GO)' ./hack/images files >&2
	@$(GO) run ./hack/deploy -overlay '$(or $(OVERLAY),dev)' -registry '$(REGISTRY)'

.PHONY: bench
bench: build ## measure calls against their floors; BENCH_JSON=file writes the figures as JSON lines
	$(GO) run ./e2e/bench -json '$(BENCH_JSON)'

.PHONY: build-bench
build-bench: # the programs of bench-cluster, and what they run in pods
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build $(LINK) -o $(BIN)/davit-bench ./e2e/bench
	CGO_ENABLED=0 $(GO) build $(LINK) -o $(BIN)/davit-bench-work ./e2e/bench/work
	CGO_ENABLED=0 $(GO) build $(LINK) -o $(BIN)/davit-bench-cluster ./e2e/bench/cluster

.PHONY: bench-cluster
bench-cluster: build-bench ## measure calls on a Kubernetes against bare Jobs and pods; BENCH_JSON=file, BENCH_FLAGS='-only jobs -peer NAME=URL'
	@GO='$(GO)' OVERLAY='$(or $(OVERLAY),test)' ./hack/bench-cluster -json '$(BENCH_JSON)' $(BENCH_FLAGS)

.PHONY: picture
picture: ## make docs/page.png anew, of the examples at work
	DAVIT_SCREENSHOTS=$(CURDIR)/docs $(GO) test -count=1 -run '^TestReadmePicture$$' ./web

.PHONY: settings
settings: build ## print the table of settings
	@$(BIN)/davit-gateway --settings

.PHONY: clean
clean: ## remove what was built here
	rm -rf $(BIN) dist
