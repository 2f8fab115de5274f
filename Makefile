# Barograph. Two commands are enough for a newcomer: `make serve` and `make test`.
#
# There is one profile and one feature set for everything: RocksDB takes 43 CPU-minutes to compile and is compiled again
# for every other profile, feature set or compiler flag. So each target says --release --workspace, and flags in the
# environment that would change the build are dropped here. ccache (in a folder of links called cc and c++, first in
# PATH) keeps the objects across clones. No compiler setting names it, so cargo sees the same build with and without it.

LISTEN   ?= 127.0.0.1:10130
DATA_DIR ?= barograph-data
TARGET   ?= line
SIZE     ?= quick
SECONDS  ?= 60
CASES    ?= 100000
SEED     ?= 1

CARGO_TARGET_DIR ?= $(CURDIR)/target
CCACHE_MAXSIZE   ?= 2G
COMPILERS        := $(HOME)/.cache/barograph/compilers
export CARGO_TARGET_DIR CCACHE_MAXSIZE COMPILERS
export PATH := $(COMPILERS):$(PATH):$(HOME)/.cargo/bin
unexport RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET

ALL := --release --workspace
BAROGRAPH := $(CARGO_TARGET_DIR)/release/barograph

.PHONY: help serve try test lint documentation bench bench-tiers nab forecasts plots compare footprint instructions rollup-sizes conformance \
        recordings contract differential fuzz clean prepare build checks test-slow campaign house
.DEFAULT_GOAL := help

help:
	@echo 'make serve        build and serve on http://$(LISTEN), data in $(DATA_DIR)'
	@echo '                  (others: make serve LISTEN=127.0.0.1:8080 DATA_DIR=/var/lib/barograph)'
	@echo 'make try          the same in memory, without RocksDB: builds in two minutes, stores nothing'
	@echo 'make test         the whole test suite'
	@echo 'make test-slow    the same with the CPU limited to half a core (CORES=0.5), which no test may notice'
	@echo 'make campaign     quick forms of the checks for lost data and overload (CHECK=name: the long form of one)'
	@echo 'make lint         formatting, clippy, documentation, packages: warnings are errors'
	@echo 'make documentation  the pages of the crates, warnings are errors'
	@echo 'make house        figures about the sources: circles, sizes, docs (LIST=1: the places behind them)'
	@echo 'make bench        criterion benches: samples per second'
	@echo 'make bench-tiers  a year behind tiers: dashboards, ingest while they are built, bytes (HOSTS=6: scale)'
	@echo 'make rollup-sizes bytes of buckets and the speed of building them (DIR=folder: recordings too)'
	@echo 'make compare SIZE=$(SIZE)   Barograph beside VictoriaMetrics, Prometheus and InfluxDB (DIR=folder: recordings too)'
	@echo 'make footprint    what an empty or idle database costs, beside redb and SQLite (IDLE=30: seconds left alone)'
	@echo 'make instructions instructions under callgrind, and the change against benches/baseline.json'
	@echo 'make conformance DIR=scripts   PromQL test scripts of a folder'
	@echo 'make recordings DIR=folder     import recorded CSV files and compare every series with them'
	@echo 'make differential DIR=folder   the same queries to Prometheus 2.42 and to Barograph'
	@echo 'make contract CASES=$(CASES) SEED=$(SEED)   answers from buckets against answers from samples (DATA=folder: recorded series)'
	@echo 'make nab DIR=folder            scores of anomaly_score on a folder of the shape of the Numenta Anomaly Benchmark'
	@echo 'make forecasts DIR=folder      errors of forecast on the series that scripts/golden/m3.py writes'
	@echo 'make plots DIR=folder          draw the figures of docs/analytics.md from such a folder'
	@echo 'make fuzz TARGET=$(TARGET) SECONDS=$(SECONDS)   fuzz one parser'
	@echo 'make clean        remove what was built here (the ccache stays)'

# Installs what the build needs, or says what to install, and prints how long the first build takes.
prepare:
	@scripts/prepare.sh

build: prepare
	@cargo build $(ALL) --bins

serve: build
	@echo "Serving http://$(LISTEN), data in $(DATA_DIR). Ctrl-C stops."
	@exec $(BAROGRAPH) serve --data-dir $(DATA_DIR) --listen $(LISTEN)

# Builds without RocksDB, and so without a C++ compiler: two minutes from scratch.
try:
	@command -v cc >/dev/null || { echo 'The build needs a linker: apt-get install gcc'; exit 2; }
	@cargo build --release --package barograph-server --no-default-features --target-dir $(CARGO_TARGET_DIR)/try
	@exec $(CARGO_TARGET_DIR)/try/release/barograph serve --in-memory --listen $(LISTEN)

test: build
	@cargo test $(ALL)
	@$(MAKE) --no-print-directory checks

# Tests with a real server, a real client or a real file system: scripts that end with `N passed, N failed`.
checks: build
	@BAROGRAPH=$(BAROGRAPH) scripts/run_checks.sh

# The build is not slowed down, except for that of the examples in the documentation.
test-slow: build
	@cargo test $(ALL) --no-run
	@scripts/slow.sh cargo test $(ALL)
	@BAROGRAPH=$(BAROGRAPH) scripts/slow.sh scripts/run_checks.sh

# The long forms take minutes to hours; `scripts/campaign.sh` lists them.
campaign: build
	@BAROGRAPH=$(BAROGRAPH) scripts/campaign.sh $(CHECK)

lint: prepare documentation
	@cargo fmt --all --check
	@cargo clippy $(ALL) --all-targets -- -D warnings
	@! cargo package --workspace --exclude promqltest --no-verify --allow-dirty --offline 2>&1 | grep -A 2 '^[we]'

# Like docs.rs: without RocksDB, so without libclang and a C++ compiler. Neither is in a place where bindgen finds it.
# Every method of the facade must be documented in this build too.
documentation:
	@LIBCLANG_PATH=/nonexistent CLANG_PATH=/nonexistent LLVM_CONFIG_PATH=/nonexistent \
	    RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' \
	    cargo doc $(ALL) --no-default-features --no-deps --target-dir $(CARGO_TARGET_DIR)/documentation
	@! ls $(CARGO_TARGET_DIR)/documentation/release/deps | grep rocksdb
	@grep -q 'id="method.open"' $(CARGO_TARGET_DIR)/documentation/doc/barograph/struct.Database.html

# Reads the sources without building anything.
house:
	@python3 scripts/house $(if $(LIST),--list)

bench: prepare
	@cargo bench --workspace

# Takes some minutes. PART=queries or PART=ingest runs one part.
bench-tiers: prepare
	@cargo bench --workspace --bench tiers

# DIR: a folder of recordings. COLUMNS=1 shows the bytes of each column.
rollup-sizes: prepare
	@DIR=$(DIR) cargo bench --workspace --bench rollup_sizes

# Peers come from Debian; one that cannot be installed is left out with a message. SIZE: tiny, quick, middle, full.
# Further flags (`python3 benches/compare --help`) go into COMPARE.
compare: build
	@python3 benches/compare --install --barograph $(BAROGRAPH) --size $(SIZE) $(if $(DIR),--recordings $(DIR)) $(COMPARE)

# Compares with redb and SQLite. IDLE: the number of seconds for which the databases are left idle.
footprint: prepare
	@cargo build $(ALL) --example footprint
	@benches/footprint.py $(CARGO_TARGET_DIR)/release/examples/footprint $(IDLE)

# Counts that a busy machine does not disturb. Needs valgrind. ACCEPT=1 makes the counts the new baseline.
instructions: prepare
	@benches/instructions.py $(if $(ACCEPT),--accept)

conformance: prepare
	@test -n "$(DIR)" || { echo 'Which folder of .test scripts? make conformance DIR=path'; exit 2; }
	@cargo build $(ALL) --bins
	@$(CARGO_TARGET_DIR)/release/conformance $(DIR)

recordings: build
	@test -n "$(DIR)" || { echo 'Which folder of .csv recordings? make recordings DIR=path'; exit 2; }
	@BAROGRAPH=$(BAROGRAPH) scripts/recordings/run.sh $(DIR)

# Needs prometheus and promtool (Debian: prometheus). Without DIR, the data is generated.
differential: build
	@scripts/differential/run.py --barograph $(BAROGRAPH) $(DIR)

# Ends with the line `contract: N cases, E exact violations, B bound violations, median bound/error R`. DATA has CSV files,
# plain or .gz. PLANT names a fault that must be found.
contract:
	@cargo test --release --quiet --package barograph-query --target-dir $(CARGO_TARGET_DIR)/contract --test contract -- \
	    --cases $(CASES) --seed $(SEED) $(if $(DATA),--data $(DATA)) $(if $(PLANT),--plant $(PLANT))

# CSV files in folders, plain or .gz, and combined_windows.json (github.com/numenta/NAB has them in data and labels).
nab:
	@test -n "$(DIR)" || { echo 'Which folder? make nab DIR=path'; exit 2; }
	@cargo run --release --quiet --package barograph-analytics --target-dir $(CARGO_TARGET_DIR)/nab --example nab -- $(DIR)

# The figures of docs/analytics.md, of a folder as for `nab`.
plots:
	@test -n "$(DIR)" || { echo 'Which folder? make plots DIR=path'; exit 2; }
	@cargo run --release --quiet --package barograph-analytics --target-dir $(CARGO_TARGET_DIR)/nab --example plots -- \
	    $(DIR) docs/plots

# scripts/golden/m3.py writes the folder.
forecasts:
	@test -n "$(DIR)" || { echo 'Which folder? make forecasts DIR=path'; exit 2; }
	@cargo run --release --quiet --package barograph-analytics --target-dir $(CARGO_TARGET_DIR)/nab --example forecasts -- $(DIR)

fuzz: prepare
	@CARGO_TARGET_DIR=$(CURDIR)/fuzz/target fuzz/run.sh $(TARGET) $(SECONDS)

clean:
	cargo clean
