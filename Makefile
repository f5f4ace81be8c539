# SPDX-License-Identifier: GPL-2.0-only
# For people: see `make help`. The kernel's build system reads Kbuild.

VERSION_FILE := $(shell cat VERSION)
BUILD   := build
KVER    ?= $(shell uname -r)
KDIR    ?= /lib/modules/$(KVER)/build
PREFIX  ?= /usr/local
DKMS    ?= dkms
Q       := $(if $(V),,@)

.PHONY: all
all: modules lib

.PHONY: help
help:
	@echo 'Building'
	@echo '  all              the module for the running kernel, the library and the tool'
	@echo '  modules          the module; KDIR=… names another kernel, W=1 C=2 check more'
	@echo '  lib              the library and the tool, in $(BUILD)/userlib'
	@echo '  fio              an ioengine for fio: FIO_SRC=DIR has the sources of yours, configured'
	@echo '  clean            remove what was built here'
	@echo 'Trying (sets up virtual machines; needs root on Debian 12)'
	@echo '  demo             move real data between an emulated drive and dma-bufs'
	@echo '  check            all tests on all kernels; KERNELS="6.12 7.x" T=pattern restrict it,'
	@echo '                   QUICK=1 leaves out what takes long'
	@echo '  check-long       more random rounds, and the IOMMU modes that check leaves out'
	@echo '  check-debug      the module'"'"'s tests on a kernel that reports mistakes: T, IOMMUS;'
	@echo '                   LONG=1 for a release'
	@echo '  check-kcsan      the same for data races'
	@echo '  coverage         what of the module its tests reach'
	@echo '  check-hw         tests on this machine: NVME=/dev/nvmeXnY; ERASE=yes lets them write'
	@echo '  bench            count what reads take, with this module and without'
	@echo 'Installing'
	@echo '  install          library, tool, headers, man pages, udev rule: PREFIX, DESTDIR;'
	@echo '                   UDEVDIR=DIR SYSUSERSDIR=DIR move the rule and its group, an empty'
	@echo '                   DIR leaves them out'
	@echo '  install-fio      the ioengine, once it is built'
	@echo '  dkms-install     the module, for this kernel and those to come'
	@echo '  modules_install  the module, for this kernel only'
	@echo '  uninstall        undo install; dkms-uninstall undoes dkms-install'
	@echo 'V=1 shows the commands.'

.PHONY: modules
modules:
	@test -e $(KDIR)/Makefile || { echo "No kernel headers at $(KDIR): apt-get install linux-headers-$(KVER)" >&2; exit 1; }
	$(Q)$(MAKE) -C $(KDIR) M=$(CURDIR) modules

.PHONY: modules_install
modules_install:
	$(Q)$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install
	$(if $(DESTDIR)$(INSTALL_MOD_PATH),,depmod $(KVER))

.PHONY: lib
lib:
	$(Q)$(MAKE) -C userlib all BUILD=$(CURDIR)/$(BUILD)/userlib PREFIX=$(PREFIX)

.PHONY: fio
fio:
	$(Q)$(MAKE) -C userlib fio BUILD=$(CURDIR)/$(BUILD)/userlib FIO_SRC='$(abspath $(FIO_SRC))'

.PHONY: install install-fio uninstall
install install-fio uninstall:
	$(Q)$(MAKE) -C userlib $@ BUILD=$(CURDIR)/$(BUILD)/userlib PREFIX=$(PREFIX)

DKMS_NAME := nvme-dmabuf
DKMS_SRC  := $(DESTDIR)/usr/src/$(DKMS_NAME)-$(VERSION_FILE)

# What DKMS builds from: also what tests/dkms installs.
.PHONY: dkms-source
dkms-source:
	$(Q)install -d $(DKMS_SRC)
	$(Q)cp -r Kbuild VERSION dkms.conf module uapi $(DKMS_SRC)/
	$(Q)find $(DKMS_SRC) \( -name '*.o' -o -name '.*.cmd' \) -delete

.PHONY: dkms-install
dkms-install: dkms-source
	$(DKMS) status $(DKMS_NAME)/$(VERSION_FILE) | grep -q . || $(DKMS) add $(DKMS_NAME)/$(VERSION_FILE)
	$(DKMS) install $(DKMS_NAME)/$(VERSION_FILE) -k $(KVER)

.PHONY: dkms-uninstall
dkms-uninstall:
	-$(DKMS) remove $(DKMS_NAME)/$(VERSION_FILE) --all
	rm -rf $(DKMS_SRC)

.PHONY: demo check check-long check-debug check-kcsan coverage check-hw bench
demo:
	$(Q)tests/demo/run
check:
	$(Q)tests/check
check-long:
	$(Q)LONG=1 tests/check
check-debug:
	$(Q)tests/check-debug
check-kcsan:
	$(Q)tests/check-debug kcsan
coverage:
	$(Q)tests/coverage
check-hw:
	$(Q)tests/module/hw
bench:
	$(Q)tests/bench/run

.PHONY: clean
clean:
	$(Q)rm -rf $(BUILD)
	$(Q)find . -name .git -prune -o \( -name '*.o' -o -name '*.ko' -o -name '*.mod' -o \
		-name '*.mod.c' -o -name '.*.cmd' -o -name Module.symvers -o \
		-name modules.order \) -type f -exec rm -f {} +
