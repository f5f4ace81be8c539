// SPDX-License-Identifier: MIT
/*
 * Opening the module's device, and explaining to the user what is missing when
 * that does not work.
 */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <sys/utsname.h>

#include "device.h"

#define NODE "/dev/nvme-dmabuf"

static int no_permission(const char **state)
{
	char group[NAME_SIZE] = "";
	struct stat st;

	*state = "no-permission";
	if (stat(NODE, &st) == 0 && (st.st_mode & 060) == 060 && st.st_gid) {
		struct group *gr = getgrgid(st.st_gid);

		if (gr)
			snprintf(group, sizeof(group), "%s", gr->gr_name);
		else
			snprintf(group, sizeof(group), "%u", (unsigned int)st.st_gid);
	}
	if (group[0])
		return report_error(
			TOOL_NO_MODULE, *state,
			NODE
			" does not allow it: run this as root, or as a member of the group '%s' (usermod -aG %s USER, then log in again)",
			group, group);
	return report_error(
		TOOL_NO_MODULE, *state,
		NODE
		" does not allow it: run this as root, or install the udev rule 60-nvme-dmabuf.rules, which gives the node to a group");
}

/* Whether depmod knows the module; true also if there is nothing to be known. */
static bool is_installed(const char *release)
{
	char path[PATH_SIZE], *line = NULL;
	bool found = false;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", release);
	file = fopen(path, "re");
	if (!file)
		return true;
	while (!found && getline(&line, &size, file) > 0)
		found = strstr(line, "/nvme_dmabuf.ko") != NULL;
	free(line);
	fclose(file);
	return found;
}

/* Whether the kernel refuses modules whose signature it does not know. */
static bool wants_signature(void)
{
	char value[64];

	if (!sysfs_read(value, sizeof(value), "/sys/module/module/parameters/sig_enforce") &&
	    value[0] == 'Y')
		return true;
	return !sysfs_read(value, sizeof(value), "/sys/kernel/security/lockdown") &&
	       strchr(value, '[') && !strstr(value, "[none]");
}

static int not_loaded(const char **state)
{
	struct utsname uts;

	*state = "module-not-loaded";
	uname(&uts);
	if (!is_installed(uts.release))
		return report_error(
			TOOL_NO_MODULE, *state,
			"the kernel module is not loaded, and not installed for this kernel, %s: install its headers, then the module ('make dkms-install', or 'dkms autoinstall' if DKMS has it), and run 'modprobe nvme-dmabuf' as root",
			uts.release);
	if (wants_signature())
		return report_error(
			TOOL_NO_MODULE, *state,
			"the kernel module is not loaded: run 'modprobe nvme-dmabuf' as root; this kernel loads signed modules only (Secure Boot), so if modprobe says 'Key was rejected by service' or 'Operation not permitted', enrol the certificate of DKMS, as with 'mokutil --import /var/lib/dkms/mok.pub' (on Ubuntu /var/lib/shim-signed/mok/MOK.der), and confirm it at the next boot");
	return report_error(
		TOOL_NO_MODULE, *state,
		"the kernel module is not loaded: run 'modprobe nvme-dmabuf' as root; if there is no such module, install it for this kernel");
}

static int cannot_open(int err, const char **state)
{
	bool loaded = sysfs_exists("/sys/module/nvme_dmabuf");

	switch (err) {
	case -ENOENT:
	case -ENXIO:
	case -ENODEV:
		if (!loaded)
			return not_loaded(state);
		*state = "no-device-node";
		return report_error(
			TOOL_NO_MODULE, *state,
			"the module is loaded, but " NODE
			" is missing or stale: check that udev or devtmpfs runs and that /dev is the host's; /sys/class/misc/nvme-dmabuf/dev has its numbers");
	case -EACCES:
	case -EPERM:
		return no_permission(state);
	case -ENOTTY:
		*state = "not-our-device";
		return report_error(
			TOOL_NO_MODULE, *state,
			NODE " is not this module's device: remove it and load the module again");
	default:
		*state = "cannot-open";
		return report_error(TOOL_NO_MODULE, *state, "cannot open " NODE ": %s",
				    strerror(-err));
	}
}

int module_open(struct nvmedmabuf **ctx, struct nvme_dmabuf_info *info, const char **state)
{
	const char *unused;
	int ret;

	if (!state)
		state = &unused;
	*state = "ready";
	*ctx = NULL;
	ret = nvmedmabuf_open(ctx);
	if (ret)
		return cannot_open(ret, state);

	info->size = sizeof(*info);
	ret = nvmedmabuf_get_info(*ctx, info);
	if (!ret)
		return TOOL_OK;
	nvmedmabuf_close(*ctx);
	*ctx = NULL;
	*state = "incompatible-module";
	return report_error(
		TOOL_NO_MODULE, *state,
		"the loaded module does not answer as this tool expects (%s): install the tool and the module from the same release, and load the module again",
		strerror(-ret));
}
