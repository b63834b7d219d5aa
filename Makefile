# make demo and make test need Go alone: they install the rest (PostgreSQL, Redis, for the tests a C compiler and Chromium).

# A checkout that belongs to another user makes git refuse, and Go's version stamping with it.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: help demo build test replay soak soak-unread cluster rude day fuzz lint gosec reproduce sbom fmt bench clean screenshots page-load

help: ## say what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: ## install what is missing and run the service beside a simulated Discord
	@./scripts/install.sh demo
	@echo "building; the first time takes a minute" >&2
	@$(MAKE) --no-print-directory build
	@exec ./tidings demo

build: ## build ./tidings
	@CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)' -o tidings ./cmd/tidings

test: ## install what the tests need, check the code, run all tests
	@./scripts/install.sh test
	@./scripts/check.sh --offline-ok
	@go test -race -timeout 20m -p 2 ./...

SOAK ?= 30m
SEED ?= 7

soak: ## the fault run for longer: make soak SOAK=2h SEED=11
	@TIDINGS_SOAK=$(SOAK) TIDINGS_SOAK_SEED=$(SEED) go test -race -timeout 0 -run TestWhateverFailsNothingIsLost -v ./cmd/tidings

soak-unread: ## compare unread counts with a model over 100,000 random operations
	@./scripts/install.sh test
	@SOAK_OPERATIONS=$${SOAK_OPERATIONS:-100000} go test -race -count=1 -timeout 2h -run '^TestUnreadSoak$$' -v ./store

cluster: ## kill every part of a cluster in turn under 3,000 sockets; takes some minutes
	@./scripts/install.sh test
	@TIDINGS_CLUSTER=full go test -count=1 -timeout 1h -run TestEveryPartDiesInTurn -v ./cmd/tidings | grep -v "^redis:"

rude: ## what slow, half-open and oversize clients cost the real binary, which the race detector's memory would hide
	@./scripts/install.sh test
	@go test -count=1 -timeout 10m -run TestRudeClientsAreBounded -v ./cmd/tidings | grep -E " MB|^(---|ok|FAIL)"

DAY ?= 15m

day: ## a day of a community squeezed into 15 minutes: what is held must not grow
	@./scripts/install.sh test
	@TIDINGS_DAY=$(DAY) go test -count=1 -timeout 2h -run TestADay -v ./cmd/tidings

FUZZ ?= 1m

fuzz: ## run every fuzz target in turn: make fuzz FUZZ=10m
	@./scripts/fuzz.sh $(FUZZ)

lint: ## gofmt, go vet, staticcheck
	@./scripts/check.sh

gosec: ## look for what is unsafe
	@./scripts/gosec.sh

reproduce: ## build twice, in two folders without a cache, and compare the bytes
	@./scripts/reproduce.sh

sbom: build ## write what the binary is made of to sbom.json (CycloneDX)
	@go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 bin -json -version $(VERSION) -output sbom.json tidings

fmt: ## format the code
	@gofmt -w .

bench: ## compare with peers, side by side; takes some minutes
	@cd bench && go run .

clean: ## remove what was built, not the data
	@rm -f tidings

replay: ## send the real chat through the whole line and print events a second and the latencies
	@go test -race -count=1 -v -run TestRealChatThroughTheWholeLine ./cmd/tidings | grep -E "a second|^(---|ok|FAIL)"

screenshots: ## write docs/screenshots anew
	@./scripts/install.sh test
	@go test -count=1 -timeout 20m -tags screenshots -run '^TestScreenshots$$' ./cmd/tidings

PAGE_LOAD ?= 1m

page-load: ## the page with 500 channels and 50 messages a second: make page-load PAGE_LOAD=10m
	@./scripts/install.sh test
	@PAGE_LOAD=$(PAGE_LOAD) go test -count=1 -timeout 0 -run '^TestPageUnderLoad$$' -v ./web
