# GNU make. Put your own settings in config.mak, not here.
#
#   make deps                         install what building and testing need
#   make                              build/cheops
#   make demo                         three sites, the main job, cleaned up
#   make demo-shell                   the same three sites, to play with
#   make check                        the tests that end within 15 minutes
#   make check-long                   those, and all again under sanitizers
#   make sim SEEDS=2000 FIRST=1       random lives of random worlds
#   make planted                      bugs planted in the engine: all caught?
#   make golden                       the traces in tests/golden, told anew
#   make bench                        speed and memory, beside their floors
#   make SANITIZE=address,undefined   into a build folder of its own
#   make install DESTDIR=/tmp/pkg PREFIX=/usr
#   make V=1                          show the commands

-include config.mak

PREFIX     ?= /usr/local
SBINDIR    ?= $(PREFIX)/sbin
MOUNTDIR   ?= /sbin
MANDIR     ?= $(PREFIX)/share/man
INSTALL    ?= install
PKG_CONFIG ?= pkg-config
CFLAGS     ?= -O2 -g
VERSION    := 0.1.0
JOBS       := $(shell nproc)

# The one list of packages: what a bare Debian 12 lacks to build, run and test.
DEPS_BUILD := build-essential pkg-config libfuse3-dev libcurl4-openssl-dev \
	libjansson-dev libyaml-dev librocksdb-dev uuid-dev libmicrohttpd-dev \
	libgnutls28-dev nettle-dev
DEPS_RUN   := fuse3 procps
DEPS_CHECK := clang libcmocka-dev bats jq python3-yaml mandoc curl strace \
	vim ed nano rsync git inotify-tools iproute2 nftables openssl gnutls-bin \
	libclang-rt-14-dev etcd-server psmisc sudo shellcheck e2fsprogs mount util-linux spin

PKGS := fuse3 libcurl jansson yaml-0.1 rocksdb uuid libmicrohttpd gnutls nettle

comma := ,
BUILD ?= build$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
Q     := $(if $(V),,@)
SAN   := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wwrite-strings -Wvla -Wundef \
	$(if $(WERROR),-Werror)

# Strict C11 and no library paths: a core file that reaches for fuse, curl or
# POSIX doesn't compile. The others ask pkg-config, and only when they are built.
CORE_FLAGS  = -std=c11 -I. -MMD -MP -fno-common $(WARN) $(SAN) $(CFLAGS)
WORLD_FLAGS = $(CORE_FLAGS) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
	      -DFUSE_USE_VERSION=312 -DCHEOPS_VERSION='"$(VERSION)"' $(WORLD_CFLAGS)
WORLD_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
WORLD_LIBS  = $(shell $(PKG_CONFIG) --print-errors --libs $(PKGS)) -pthread
CORE_LIBS   = -ljansson -lyaml -lnettle

core_obj   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard core/*.c))
driver_obj := $(patsubst %.c,$(BUILD)/%.o,$(wildcard drivers/*/*.c))
fs_obj     := $(patsubst %.c,$(BUILD)/%.o,$(wildcard fs/*.c))
world_obj  := $(driver_obj) $(fs_obj)
unit_bin   := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
bench_bin  := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))
sim_bin    := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/sim/sim.c tests/sim/test_*.c))
golden_bin := $(BUILD)/tests/golden/test_golden
sim_obj    := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/sim/sim.c \
	      tests/sim/test_%.c,$(wildcard tests/sim/*.c)))

all: $(BUILD)/cheops

$(BUILD)/cheops: $(world_obj) $(BUILD)/core.a
	@echo "  LD    $@"
	$(Q)$(CC) $(SAN) $(LDFLAGS) -o $@ $^ $(WORLD_LIBS)

$(BUILD)/core.a: $(core_obj)
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/world.a: $(driver_obj) $(filter-out $(BUILD)/fs/main.o,$(fs_obj))
	@echo "  AR    $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# Unit tests of core link core alone; those of the rest are named world_*.
$(BUILD)/tests/unit/test_world_%: tests/unit/test_world_%.c $(BUILD)/world.a $(BUILD)/core.a
	@echo "  TEST  $*"
	@mkdir -p $(@D)
	$(Q)$(CC) $(WORLD_FLAGS) $(LDFLAGS) -o $@ $(filter %.c %.o %.a,$^) -lcmocka $(WORLD_LIBS)

$(BUILD)/tests/unit/test_%: tests/unit/test_%.c $(BUILD)/core.a
	@echo "  TEST  $*"
	@mkdir -p $(@D)
	$(Q)$(CC) $(CORE_FLAGS) $(LDFLAGS) -o $@ $(filter %.c %.a,$^) -lcmocka $(CORE_LIBS)

$(BUILD)/core/%.o: core/%.c
	@echo "  CC    $<"
	@mkdir -p $(@D)
	$(Q)$(CC) $(CORE_FLAGS) -c -o $@ $<

$(BUILD)/%.o: %.c
	@echo "  CC    $<"
	@mkdir -p $(@D)
	$(Q)$(CC) $(WORLD_FLAGS) -c -o $@ $<

# Programs that measure, and the simulator.
$(BUILD)/tests/bench/%: tests/bench/%.c $(BUILD)/world.a $(BUILD)/core.a
	@echo "  BENCH $*"
	@mkdir -p $(@D)
	$(Q)$(CC) $(WORLD_FLAGS) $(LDFLAGS) -o $@ $(filter %.c %.a,$^) $(WORLD_LIBS)

$(BUILD)/tests/sim/%: tests/sim/%.c $(sim_obj) $(BUILD)/world.a $(BUILD)/core.a
	@echo "  SIM   $*"
	@mkdir -p $(@D)
	$(Q)$(CC) $(WORLD_FLAGS) $(LDFLAGS) -o $@ $(filter %.c %.o %.a,$^) -lcmocka $(WORLD_LIBS)

# The simulator, on as many cores as there are, and on engines that are broken
# on purpose: each must be caught.
SEEDS ?= 2000
FIRST ?= 1
sim: $(BUILD)/tests/sim/sim
	@$(BUILD)/tests/sim/sim -j $(JOBS) -a $(BUILD)/core.a $(OPTS) $(FIRST) \
		$$(($(FIRST) + $(SEEDS) - 1))

# The stories of tests/golden, told anew: git diff shows what has changed.
golden: $(BUILD)/tests/golden/test_golden
	@GOLDEN_WRITE=1 $(BUILD)/tests/golden/test_golden

planted: $(BUILD)/tests/sim/sim.o $(sim_obj) $(BUILD)/world.a $(BUILD)/core.a
	@BUILD=$(BUILD) SEEDS=$(SEEDS) PLANT_CC='$(CC) $(CORE_FLAGS)' \
		PLANT_LD='$(CC) $(SAN) $(LDFLAGS)' PLANT_OBJ='$(sim_obj)' \
		PLANT_LIBS='-lcmocka $(WORLD_LIBS)' tests/sim/planted/run $(PLANTED)

$(BUILD)/tests/golden/%: tests/golden/%.c $(sim_obj) $(BUILD)/world.a $(BUILD)/core.a
	@echo "  TEST  $*"
	@mkdir -p $(@D)
	$(Q)$(CC) $(WORLD_FLAGS) $(LDFLAGS) -o $@ $(filter %.c %.o %.a,$^) -lcmocka $(WORLD_LIBS)

$(BUILD)/tests/doc/doctool: tests/doc/doctool.c $(BUILD)/core.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CORE_FLAGS) $(LDFLAGS) -o $@ $(filter %.c %.a,$^) $(CORE_LIBS)

# The static libyaml, so that its allocations can be failed too.
$(BUILD)/tests/doc/no_memory: tests/doc/no_memory.c $(BUILD)/core.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CORE_FLAGS) $(LDFLAGS) -o $@ $(filter %.c %.a,$^) -ljansson -lnettle \
		-l:libyaml.a -Wl,--wrap=malloc,--wrap=realloc

tests-built: $(BUILD)/cheops $(unit_bin) $(sim_bin) $(golden_bin) \
	$(BUILD)/tests/sim/sim.o $(BUILD)/tests/doc/doctool \
	$(if $(SANITIZE),,$(BUILD)/tests/doc/no_memory)

deps:
	@tests/deps $(DEPS_BUILD) $(DEPS_RUN) $(DEPS_CHECK)

deps-build:
	@tests/deps $(DEPS_BUILD) $(DEPS_RUN)

# What is missing is installed first, so these two work on a bare machine. The
# second make finds the libraries that the first one installed.
demo demo-shell: deps-build
	@$(MAKE) --no-print-directory -j$(JOBS) $(BUILD)/cheops
	@CHEOPS=$(abspath $(BUILD)/cheops) mnt-examples/$@

check: deps
	@$(MAKE) --no-print-directory -j$(JOBS) WERROR=1 tests-built
	@$(MAKE) --no-print-directory -j$(JOBS) WERROR=1 CC=clang \
		BUILD=$(BUILD)-clang all
	@BUILD=$(BUILD) tests/run fast

check-long: deps
	@$(MAKE) --no-print-directory -j$(JOBS) WERROR=1 tests-built
	@BUILD=$(BUILD) tests/run long

bench: deps
	@$(MAKE) --no-print-directory $(BUILD)/cheops $(bench_bin)
	@CHEOPS=$(abspath $(BUILD)/cheops) BUILD=$(BUILD) tests/bench/bench

install: $(BUILD)/cheops
	$(INSTALL) -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(MOUNTDIR) \
		$(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man7 \
		$(DESTDIR)$(MANDIR)/man8
	$(INSTALL) -m 0755 $(BUILD)/cheops $(DESTDIR)$(SBINDIR)/cheops
	ln -sf $(SBINDIR)/cheops $(DESTDIR)$(MOUNTDIR)/mount.cheops
	ln -sf $(SBINDIR)/cheops $(DESTDIR)$(MOUNTDIR)/mount.fuse.cheops
	$(INSTALL) -m 0644 man/*.5 $(DESTDIR)$(MANDIR)/man5
	$(INSTALL) -m 0644 man/*.7 $(DESTDIR)$(MANDIR)/man7
	$(INSTALL) -m 0644 man/*.8 $(DESTDIR)$(MANDIR)/man8

clean:
	rm -rf build build-*

.PHONY: all tests-built deps deps-build demo demo-shell check check-long bench \
	sim planted golden install clean
.SECONDARY:
-include $(core_obj:.o=.d) $(world_obj:.o=.d) $(unit_bin:=.d) $(sim_obj:.o=.d) \
	$(sim_bin:=.d) $(golden_bin:=.d) $(bench_bin:=.d)
