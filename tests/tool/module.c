// SPDX-License-Identifier: MIT
/* What the tool says if the module's device cannot be opened, on a pretended machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static FILE *open_modules(const char *path, const char *mode);

#define fopen open_modules
#include "../../userlib/tool/device/module.c"
#undef fopen

static struct {
	int err;		/* of opening the device */
	bool loaded;
	const char *modules;	/* contents of modules.dep; NULL if there is none */
	const char *sig_enforce;
	const char *lockdown;
} machine;

static char message[1024];

static FILE *open_modules(const char *path, const char *mode)
{
	struct utsname uts;

	uname(&uts);
	assert_non_null(strstr(path, uts.release));
	assert_non_null(strstr(path, "/modules.dep"));
	return machine.modules ? fmemopen((void *)machine.modules, strlen(machine.modules), mode) :
				 NULL;
}

bool sysfs_exists(const char *fmt, ...)
{
	assert_string_equal(fmt, "/sys/module/nvme_dmabuf");
	return machine.loaded;
}

int sysfs_read(char *value, size_t size, const char *fmt, ...)
{
	const char *text = strstr(fmt, "sig_enforce") ? machine.sig_enforce : machine.lockdown;

	snprintf(value, size, "%s", text ? text : "");
	return text ? 0 : -ENOENT;
}

int report_error(int exit_code, const char *reason, const char *fmt, ...)
{
	va_list args;

	(void)reason;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	return exit_code;
}

int nvmedmabuf_open(struct nvmedmabuf **ctx)
{
	(void)ctx;
	return machine.err;
}

int nvmedmabuf_get_info(struct nvmedmabuf *ctx, struct nvme_dmabuf_info *info)
{
	(void)ctx;
	(void)info;
	return -ENOTTY;
}

void nvmedmabuf_close(struct nvmedmabuf *ctx)
{
	(void)ctx;
}

#define INSTALLED "kernel/fs/a.ko.xz: kernel/b.ko.xz\nupdates/dkms/nvme_dmabuf.ko.xz: kernel/nvme.ko\n"
#define OTHERS	  "kernel/drivers/nvme/host/nvme.ko: kernel/drivers/nvme/host/nvme-core.ko\n"

static const char *said(const char *state)
{
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	struct nvmedmabuf *ctx;
	const char *got;

	message[0] = '\0';
	assert_int_equal(module_open(&ctx, &info, &got), TOOL_NO_MODULE);
	assert_string_equal(got, state);
	return message;
}

#define SAYS(text)     assert_non_null(strstr(said("module-not-loaded"), text))
#define SAYS_NOT(text) assert_null(strstr(said("module-not-loaded"), text))

static int reset(void **state)
{
	(void)state;
	memset(&machine, 0, sizeof(machine));
	machine.err = -ENOENT;
	machine.modules = INSTALLED;
	return 0;
}

static void it_is_installed_but_not_loaded(void **state)
{
	(void)state;
	SAYS("run 'modprobe nvme-dmabuf'");
	SAYS_NOT("not installed");
	SAYS_NOT("Key was rejected");
	machine.modules = NULL;
	SAYS("run 'modprobe nvme-dmabuf'");
	SAYS_NOT("not installed");
}

static void it_is_not_installed_for_this_kernel(void **state)
{
	struct utsname uts;

	(void)state;
	uname(&uts);
	machine.modules = OTHERS;
	machine.sig_enforce = "Y";
	SAYS("not installed for this kernel");
	SAYS(uts.release);
	SAYS("modprobe nvme-dmabuf");
}

static void the_kernel_wants_signatures(void **state)
{
	(void)state;
	machine.sig_enforce = "Y";
	SAYS("Key was rejected by service");
	SAYS("/var/lib/dkms/mok.pub");
	SAYS("/var/lib/shim-signed/mok/MOK.der");
	machine.sig_enforce = "N";
	SAYS_NOT("Key was rejected by service");
	machine.lockdown = "none [integrity] confidentiality";
	SAYS("Key was rejected by service");
	machine.lockdown = "none integrity [confidentiality]";
	SAYS("Key was rejected by service");
	machine.lockdown = "[none] integrity confidentiality";
	SAYS_NOT("Key was rejected by service");
}

static void it_is_loaded_but_there_is_no_node(void **state)
{
	(void)state;
	machine.loaded = true;
	machine.sig_enforce = "Y";
	assert_non_null(strstr(said("no-device-node"), "missing or stale"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(it_is_installed_but_not_loaded, reset),
		cmocka_unit_test_setup(it_is_not_installed_for_this_kernel, reset),
		cmocka_unit_test_setup(the_kernel_wants_signatures, reset),
		cmocka_unit_test_setup(it_is_loaded_but_there_is_no_node, reset),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
