// SPDX-License-Identifier: MIT
/*
 * nvme-dmabuf peers: which PCI devices a namespace's controller can reach
 * without going through this host's memory, and why not the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../device/device.h"
#include "../subcommands.h"

static const char help[] =
	"Usage: nvme-dmabuf peers [--json] NAMESPACE [PEER]...\n"
	"Show whether the drive of a namespace can move data to and from the memory of\n"
	"other PCI devices, past this host's memory, and if not, why. Without PEER: all\n"
	"devices with a memory BAR of 1 MiB or more, bridges excepted.\n"
	"\n"
	"  NAMESPACE    a namespace or a partition: /dev/nvme0n1, nvme0n1p1\n"
	"  PEER         a device's PCI address, [DOMAIN:]BB:DD.F, as of lspci\n"
	"  --json       print JSON\n"
	"  -h, --help   this text\n"
	"\n"
	"The exit code is 4 if a PEER that was named cannot be reached. See\n"
	"nvme-dmabuf(8).\n";

#define DEVICES	 "/sys/bus/pci/devices"
#define MAX_BARS 6
#define MIN_BAR	 MIB

/* Flags in sysfs' file "resource": the kernel's linux/ioport.h. */
#define RESOURCE_MEM	  0x200
#define RESOURCE_PREFETCH 0x2000

#define CLASS_BRIDGE 0x06

struct bar {
	unsigned int number;
	uint64_t bytes;
	bool prefetchable;
};

struct peer {
	uint32_t domain;
	uint32_t bdf;
	char pci[PCI_TEXT];
	char driver[NAME_SIZE];
	uint32_t vendor;
	uint32_t device;
	uint32_t class; /* base class, subclass, interface */
	struct bar bars[MAX_BARS];
	int bar_count;
};

static const char *class_name(uint32_t class)
{
	switch (class >> 16) {
	case 0x01:
		return "storage";
	case 0x02:
		return "network";
	case 0x03:
		return "display";
	case 0x04:
		return "multimedia";
	case 0x05:
		return "memory";
	case 0x06:
		return "bridge";
	case 0x0b:
		return "processor";
	case 0x0c:
		return "serial bus";
	case 0x12:
		return "accelerator";
	default:
		return "other";
	}
}

static uint32_t read_hex(const char *pci, const char *attribute)
{
	char value[32];

	if (sysfs_read(value, sizeof(value), DEVICES "/%s/%s", pci, attribute))
		return 0;
	return strtoul(value, NULL, 16);
}

/* One line for each BAR: first address, last address, flags. */
static void read_bars(struct peer *peer)
{
	char text[4096];
	char *line = text, *next;

	if (sysfs_read(text, sizeof(text), DEVICES "/%s/resource", peer->pci))
		return;
	for (unsigned int i = 0; i < MAX_BARS && line; i++, line = next) {
		uint64_t first, last, flags;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (sscanf(line, "%" SCNx64 " %" SCNx64 " %" SCNx64, &first, &last, &flags) != 3 ||
		    !(flags & RESOURCE_MEM) || last <= first)
			continue;
		peer->bars[peer->bar_count++] = (struct bar){
			.number = i,
			.bytes = last - first + 1,
			.prefetchable = flags & RESOURCE_PREFETCH,
		};
	}
}

static void peer_read(struct peer *peer, uint32_t domain, uint32_t bdf)
{
	memset(peer, 0, sizeof(*peer));
	peer->domain = domain;
	peer->bdf = bdf;
	pci_text(domain, bdf, peer->pci);
	peer->vendor = read_hex(peer->pci, "vendor");
	peer->device = read_hex(peer->pci, "device");
	peer->class = read_hex(peer->pci, "class");
	if (sysfs_link_name(peer->driver, sizeof(peer->driver), DEVICES "/%s/driver", peer->pci))
		peer->driver[0] = '\0';
	read_bars(peer);
}

static bool has_memory(const struct peer *peer)
{
	if (peer->class >> 16 == CLASS_BRIDGE)
		return false;
	for (int i = 0; i < peer->bar_count; i++) {
		if (peer->bars[i].bytes >= MIN_BAR)
			return true;
	}
	return false;
}

static void to_json(struct json_object *obj, const struct peer *peer,
		    const struct nvme_dmabuf_peer_info *info)
{
	bool reachable = info->out_reason == NVME_DMABUF_REASON_NONE;
	struct json_object *array;
	char id[16];

	put_str(obj, "pci_address", peer->pci);
	put_bool(obj, "reachable", reachable);
	if (info->out_distance >= 0)
		put_u64(obj, "distance", info->out_distance);
	else
		put_null(obj, "distance");
	put_str(obj, "reason", reachable ? NULL : nvmedmabuf_reason_name(info->out_reason));
	put_u64(obj, "reason_number", info->out_reason);
	put_str(obj, "message", reachable ? NULL : nvmedmabuf_reason_text(info->out_reason));
	snprintf(id, sizeof(id), "%04" PRIx32 ":%04" PRIx32, peer->vendor, peer->device);
	put_str(obj, "id", peer->vendor ? id : NULL);
	put_str(obj, "class", peer->vendor ? class_name(peer->class) : NULL);
	put_str(obj, "driver", peer->driver[0] ? peer->driver : NULL);
	array = put_new_array(obj, "bars");
	for (int i = 0; i < peer->bar_count; i++) {
		struct json_object *bar = append_new_object(array);

		put_u64(bar, "bar", peer->bars[i].number);
		put_u64(bar, "bytes", peer->bars[i].bytes);
		put_bool(bar, "prefetchable", peer->bars[i].prefetchable);
	}
}

static void to_text(const struct peer *peer, const struct nvme_dmabuf_peer_info *info)
{
	char size[SIZE_TEXT];

	printf("\n%s: ", peer->pci);
	if (info->out_reason != NVME_DMABUF_REASON_NONE)
		printf("cannot be reached: %s\n  %s\n", nvmedmabuf_reason_name(info->out_reason),
		       nvmedmabuf_reason_text(info->out_reason));
	else if (info->out_distance >= 0)
		printf("can be reached, distance %" PRId32 "\n", info->out_distance);
	else
		printf("can be reached\n");
	if (!peer->vendor)
		return;
	printf("  device       %s %04" PRIx32 ":%04" PRIx32 "%s%s\n", class_name(peer->class),
	       peer->vendor, peer->device, peer->driver[0] ? ", driver " : ", no driver",
	       peer->driver);
	for (int i = 0; i < peer->bar_count; i++)
		printf("  BAR %u        %s%s\n", peer->bars[i].number,
		       size_text(peer->bars[i].bytes, size),
		       peer->bars[i].prefetchable ? ", prefetchable" : "");
}

static int show(struct nvmedmabuf *ctx, const struct ns *ns, const struct peer *peer,
		struct json_object *array, uint32_t *reason)
{
	struct nvme_dmabuf_peer_info info = { .size = sizeof(info) };
	int ret;

	ret = nvmedmabuf_get_peer_info(ctx, ns->fd, peer->domain, peer->bdf, &info);
	if (ret)
		return report_error(TOOL_FAILED, "query-failed",
				    "cannot ask the module about %s and %s: %s", ns->path,
				    peer->pci, strerror(-ret));
	to_json(append_new_object(array), peer, &info);
	if (!report_json())
		to_text(peer, &info);
	*reason = info.out_reason;
	return TOOL_OK;
}

/* All are shown, also behind one that cannot be reached. */
static int show_named(struct nvmedmabuf *ctx, const struct ns *ns, int count, char **words,
		      struct json_object *array)
{
	uint32_t domain, bdf, reason;
	int ret, refused = TOOL_OK;
	struct peer peer;

	for (int i = 0; i < count; i++) {
		parse_pci(words[i], &domain, &bdf);
		peer_read(&peer, domain, bdf);
		ret = show(ctx, ns, &peer, array, &reason);
		if (ret)
			return ret;
		if (reason == NVME_DMABUF_REASON_NONE)
			continue;
		if (!refused)
			put_u64(report_root(), "reason_number", reason);
		refused = report_error(TOOL_REFUSED, nvmedmabuf_reason_name(reason),
				       "%s cannot reach %s (reason %" PRIu32 "): %s", ns->path,
				       peer.pci, reason, nvmedmabuf_reason_text(reason));
	}
	return refused;
}

static int show_all(struct nvmedmabuf *ctx, const struct ns *ns, struct json_object *array)
{
	int count, shown = 0, ret = TOOL_OK;
	uint32_t domain, bdf, reason;
	struct peer peer;
	char **names;

	count = names_list(DEVICES, NULL, &names);
	if (count < 0)
		return report_error(TOOL_FAILED, "no-device-list",
				    "cannot look for PCI devices: %s", strerror(-count));
	for (int i = 0; i < count && !ret; i++) {
		if (parse_pci(names[i], &domain, &bdf))
			continue;
		peer_read(&peer, domain, bdf);
		if (!has_memory(&peer))
			continue;
		ret = show(ctx, ns, &peer, array, &reason);
		shown++;
	}
	names_free(names, count);
	if (!shown && !report_json())
		printf("\nno PCI device has 1 MiB of memory or more\n");
	return ret;
}

static int parse(int argc, char **argv, bool *wants_help)
{
	uint32_t domain, bdf;
	int ret;

	ret = report_parse_options(argc, argv, wants_help);
	if (ret || *wants_help)
		return ret;
	if (optind == argc)
		return report_usage("no namespace named");
	for (int i = optind + 1; i < argc; i++) {
		if (parse_pci(argv[i], &domain, &bdf))
			return report_usage("'%s' is no PCI address, such as 0000:03:00.0",
					    argv[i]);
	}
	return TOOL_OK;
}

static int run(struct nvmedmabuf *ctx, struct ns *ns, int argc, char **argv)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct json_object *array;
	char pci[PCI_TEXT];
	int ret;

	ret = ns_open_or_report(ns, argv[0], O_RDONLY);
	if (ret)
		return ret;
	if (ns->is_file)
		return report_error(TOOL_REFUSED,
				    nvmedmabuf_reason_name(NVME_DMABUF_REASON_NOT_BLOCK_DEVICE),
				    "%s is a file; name the namespace that it is on%s%s", ns->path,
				    ns->name[0] ? ", /dev/" : "", ns->name);
	ret = ns_query(ctx, ns, &info);
	if (ret)
		return ret;
	pci_text(info.out_pci_domain, info.out_pci_bdf, pci);
	put_str(report_root(), "namespace", ns->path);
	put_str(report_root(), "pci_address", pci);
	if (!report_json())
		printf("%s: controller %s\n", ns->path, pci);
	array = put_new_array(report_root(), "peers");
	return argc > 1 ? show_named(ctx, ns, argc - 1, argv + 1, array) : show_all(ctx, ns, array);
}

int cmd_peers(int argc, char **argv)
{
	struct nvme_dmabuf_info module = { .size = sizeof(module) };
	struct ns ns = { .fd = -1 };
	struct nvmedmabuf *ctx;
	bool wants_help;
	int ret;

	ret = parse(argc, argv, &wants_help);
	if (ret)
		return ret;
	if (wants_help)
		return report_help(help);
	ret = module_open(&ctx, &module, NULL);
	if (ret)
		return ret;
	ret = run(ctx, &ns, argc - optind, argv + optind);
	ns_close(&ns);
	nvmedmabuf_close(ctx);
	return ret;
}
