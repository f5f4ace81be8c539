// SPDX-License-Identifier: MIT
/*
 * Who uses a namespace: mounted file systems, swap, device-mapper and RAID
 * holders, partitions, and whoever has claimed it. It protects people from
 * their own typing; it is no security boundary.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "device.h"

struct uses {
	struct use *list;
	int count;
	int max;
};

static void add_use(struct uses *uses, const char *reason, const char *device, const char *detail)
{
	struct use *use;

	if (uses->count < uses->max) {
		use = &uses->list[uses->count];
		use->reason = reason;
		snprintf(use->device, sizeof(use->device), "%s", device);
		snprintf(use->detail, sizeof(use->detail), "%s", detail);
	}
	uses->count++;
}

static bool is_node_of(const char *path, dev_t dev)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == dev;
}

static void find_mounts(struct uses *uses, const char *name, dev_t dev)
{
	FILE *mounts = mounts_open();
	struct mount m;

	if (!mounts)
		return;
	while (mounts_next(mounts, &m)) {
		/* btrfs has a device number of its own there. */
		if (m.dev == dev || is_node_of(m.source, dev))
			add_use(uses, "mounted", name, m.where);
	}
	fclose(mounts);
}

static void find_swap(struct uses *uses, const char *name, dev_t dev)
{
	FILE *f = fopen("/proc/swaps", "re");
	char *line = NULL;
	size_t size = 0;

	if (!f)
		return;
	while (getline(&line, &size, f) > 0) {
		line[strcspn(line, " \t\n")] = '\0';
		mounts_unescape(line);
		if (is_node_of(line, dev))
			add_use(uses, "swap", name, line);
	}
	free(line);
	fclose(f);
}

static void find_holders(struct uses *uses, const char *name)
{
	char dir[PATH_SIZE];
	char **holders;
	int count;

	snprintf(dir, sizeof(dir), "/sys/class/block/%s/holders", name);
	count = names_list(dir, NULL, &holders);
	if (count < 0)
		return;
	for (int i = 0; i < count; i++)
		add_use(uses, "held", name, holders[i]);
	names_free(holders, count);
}

static void find_users(struct uses *uses, const char *name, dev_t dev)
{
	find_mounts(uses, name, dev);
	find_swap(uses, name, dev);
	find_holders(uses, name);
}

static void find_in_partition(struct uses *uses, const char *disk, const char *part)
{
	unsigned int ma, mi;
	char value[32];

	if (sysfs_read(value, sizeof(value), "/sys/class/block/%s/dev", part) ||
	    sscanf(value, "%u:%u", &ma, &mi) != 2)
		return;
	find_users(uses, part, makedev(ma, mi));
	add_use(uses, "has-partitions", disk, part);
}

int ns_uses(const struct ns *ns, struct use *list, int max)
{
	struct uses uses = { .list = list, .max = max };
	char dir[PATH_SIZE];
	char **names;
	int count;

	find_users(&uses, ns->name, ns->dev);
	if (ns->partition)
		return uses.count;

	snprintf(dir, sizeof(dir), "/sys/class/block/%s", ns->disk);
	count = names_list(dir, NULL, &names);
	for (int i = 0; i < count; i++) {
		if (sysfs_exists("%s/%s/partition", dir, names[i]))
			find_in_partition(&uses, ns->disk, names[i]);
	}
	if (count >= 0)
		names_free(names, count);
	return uses.count;
}

bool ns_is_busy(const struct ns *ns)
{
	struct use use;
	struct ns claim;

	if (ns_open(&claim, ns->path, O_RDONLY | O_EXCL))
		return true;
	ns_close(&claim);
	return ns_uses(ns, &use, 1) > 0;
}

const char *use_text(const struct use *use, char *text, size_t size)
{
	static const struct {
		const char *reason, *fmt;
	} texts[] = {
		{ "mounted", "%s is mounted on %s" },
		{ "swap", "%s is swap space (%s)" },
		{ "held", "%s is part of %s" },
		{ "has-partitions", "%s has a partition, %s" },
		{ "in-use", "%s is claimed exclusively by %s" },
	};

	text[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (strcmp(use->reason, texts[i].reason) == 0)
			snprintf(text, size, texts[i].fmt, use->device, use->detail);
	}
	return text;
}

void uses_to_json(struct json_object *array, const struct use *list, int count)
{
	for (int i = 0; i < count && i < MAX_USES; i++) {
		struct json_object *obj = append_new_object(array);

		put_str(obj, "reason", list[i].reason);
		put_str(obj, "device", list[i].device);
		put_str(obj, "detail", list[i].detail);
	}
}

static void warn_of_uses(const struct use *list, int count)
{
	char text[2 * PATH_SIZE];

	uses_to_json(put_new_array(report_root(), "forced"), list, count);
	for (int i = 0; i < count && i < MAX_USES && !report_json(); i++)
		fprintf(stderr, "nvme-dmabuf: warning: --force given, although %s\n",
			use_text(&list[i], text, sizeof(text)));
}

static int report_uses(const struct ns *ns, const struct use *list, int count)
{
	char text[2 * PATH_SIZE], more[32] = "";

	uses_to_json(put_new_array(report_root(), "in_use"), list, count);
	if (count > 1)
		snprintf(more, sizeof(more), " (and %d more)", count - 1);
	return report_error(
		TOOL_REFUSED, list[0].reason,
		"refusing to write to %s: %s%s; free it first, or name another namespace", ns->path,
		use_text(&list[0], text, sizeof(text)), more);
}

/*
 * The claim comes before the look around, so that nothing can be mounted in
 * between.
 */
int ns_open_for_write(struct ns *ns, const char *word, bool force)
{
	struct use list[MAX_USES];
	bool claimed = true;
	int count, ret;

	ret = ns_open(ns, word, O_RDWR | O_EXCL);
	/* Leases keep others out of a file. */
	if (!ret && ns->is_file)
		return TOOL_OK;
	if (ret == -EBUSY) {
		claimed = false;
		ret = ns_open(ns, word, O_RDWR);
	}
	if (ret)
		return ns_report_open(ns, O_RDWR, ret);

	count = ns_uses(ns, list, MAX_USES);
	if (!claimed && !count) {
		struct uses uses = { .list = list, .max = MAX_USES };

		add_use(&uses, "in-use", ns->name, "another process or driver");
		count = uses.count;
	}
	if (!count)
		return TOOL_OK;
	if (force) {
		warn_of_uses(list, count);
		return TOOL_OK;
	}
	ret = report_uses(ns, list, count);
	ns_close(ns);
	return ret;
}

int ns_open_for_test(struct ns *ns, const char *word, bool writes)
{
	return writes ? ns_open_for_write(ns, word, false) : ns_open_or_report(ns, word, O_RDONLY);
}
