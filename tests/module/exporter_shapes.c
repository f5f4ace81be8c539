// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-bufs of every shape: what PRPs can express works to the last byte, what
 * they cannot is refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exporter.h"

#define ADJACENT EXPORTER_SEGMENT_ADJACENT
#define ALIAS	 EXPORTER_SEGMENT_ALIAS

/* Is the drive's DMA translated, so that pages need not be contiguous for it? */
static bool is_translated(const struct wire *w)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };

	check_eq(nvmedmabuf_get_ns_info(w->ctx, w->drive.fd, &info), 0);
	check_eq(info.out_reason, NVME_DMABUF_REASON_NONE);
	return info.out_flags & NVME_DMABUF_NS_IOMMU;
}

/**
 * segments_expected - can PRPs express a range of these segments?
 * @translated: by an IOMMU: it maps whole pages, each segment by itself, one
 *	behind the other
 *
 * The first address must be a multiple of 4. Where one address does not follow
 * from the one before, one must end and the other begin on a page's boundary.
 * Return: the contiguous pieces for the drive, or 0 if PRPs cannot.
 */
static unsigned int segments_expected(const struct exporter_segment *segments, uint32_t count,
				      uint64_t start, uint64_t length, bool translated)
{
	uint64_t pos = 0, end = 0, last_end = 0;
	unsigned int pieces = 0;

	for (uint32_t i = 0; i < count; pos += segments[i++].length) {
		bool adjacent = segments[i].flags & ADJACENT;
		uint64_t first = pos > start ? pos : start;
		uint64_t last = min_u64(pos + segments[i].length, start + length);
		/* Only the address in its page matters. */
		uint64_t addr = adjacent ? end : segments[i].offset;

		if (segments[i].flags & ALIAS)
			addr = segments[0].offset;
		end = addr + segments[i].length;
		if (first >= last)
			continue;
		addr += first - pos;
		if (!pieces) {
			if (addr % 4)
				return 0;
			pieces++;
		} else if (adjacent && (!translated || addr % PAGE == 0)) {
			;
		} else if (addr % PAGE || last_end % PAGE) {
			return 0;
		} else {
			pieces += !translated;
		}
		last_end = addr + (last - first);
	}
	return pieces;
}

/* Attach a range: what PRPs can express works, what not is refused. */
static void try_range(struct wire *w, struct exported *b, const struct exporter_segment *segments,
		      uint32_t count, uint64_t start, uint64_t length, unsigned int transfers)
{
	unsigned int expected = segments_expected(segments, count, start, length, is_translated(w));
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	uint64_t edge = 0, pos = 0;
	uint32_t map, reason;
	int result = wire_attach(w, b, start, length, &map, &reason);

	if (!expected) {
		check_that(result == -EOPNOTSUPP && reason == NVME_DMABUF_REASON_SEGMENTS,
			   "%#llx+%#llx should be refused for its segments: %d, %s",
			   (unsigned long long)start, (unsigned long long)length, result,
			   nvmedmabuf_reason_name(reason));
		check_unused(b);
		return;
	}
	check_that(!result, "%#llx+%#llx refused: %d, %s", (unsigned long long)start,
		   (unsigned long long)length, result, nvmedmabuf_reason_name(reason));
	check_eq(nvmedmabuf_get_map_info(w->ctx, map, &info), 0);
	check_eq(info.out_segments, expected);
	check_eq(info.out_offset, start);
	check_eq(info.out_length, length);
	check_eq(exported_query(b).out_mapped, 1);

	for (uint32_t i = 0; i < count && transfers; pos += segments[i++].length)
		if (pos > start && pos < start + length && rnd() % (i + 1) == 0)
			edge = pos - start;
	if (transfers)
		wire_transfers(w, b, map, start, length, edge, transfers);
	check_eq(nvmedmabuf_detach(w->ctx, map), 0);
	check_unused(b);
	exported_verify(b);
}

struct shape {
	const char *name;
	struct exporter_segment segments[8];
	bool works; /* untranslated */
	bool translated_works;
};

#define SHAPE(name, works, translated_works, ...)              \
	{                                                      \
		name, { __VA_ARGS__ }, works, translated_works \
	}
#define SEGMENT(offset_, length_, order_)                                   \
	{                                                                   \
		.offset = (offset_), .length = (length_), .order = (order_) \
	}
#define NEXT(length_)                                  \
	{                                              \
		.length = (length_), .flags = ADJACENT \
	}

static const struct shape shapes[] = {
	SHAPE("one page", true, true, SEGMENT(0, PAGE, 0)),
	SHAPE("one page and a guard", true, true, SEGMENT(0, PAGE, 2)),
	SHAPE("the second half of a page", true, true, SEGMENT(2048, 2048, 0)),
	SHAPE("4 bytes", true, true, SEGMENT(4092, 4, 0)),
	SHAPE("a block in the midst of a page", true, true, SEGMENT(1236, 512, 0)),
	SHAPE("a block across a boundary", true, true, SEGMENT(4000, 512, 1)),
	SHAPE("scattered pages", true, true, SEGMENT(0, PAGE, 0), SEGMENT(0, PAGE, 0),
	      SEGMENT(0, PAGE, 0), SEGMENT(0, PAGE, 0), SEGMENT(0, PAGE, 0), SEGMENT(0, PAGE, 0),
	      SEGMENT(0, PAGE, 0), SEGMENT(0, PAGE, 0)),
	SHAPE("partial pages at both ends", true, true, SEGMENT(1028, 3068, 0),
	      SEGMENT(PAGE, 7 * PAGE, 4), SEGMENT(0, PAGE, 0), SEGMENT(0, 1044, 1)),
	SHAPE("4 bytes at both ends", true, true, SEGMENT(4092, 4, 0), SEGMENT(0, PAGE, 1),
	      SEGMENT(0, 4, 0)),
	SHAPE("a last segment of an odd length", true, true, SEGMENT(0, 2 * PAGE, 0),
	      SEGMENT(0, 1001, 0)),
	SHAPE("many sizes", true, true, SEGMENT(0, PAGE, 0), SEGMENT(0, 64 * KIB, 0),
	      SEGMENT(0, 2 * PAGE, 0), SEGMENT(0, 3 * PAGE, 0), SEGMENT(PAGE, PAGE, 1),
	      SEGMENT(0, 512 * KIB, 0)),
	SHAPE("a huge page", true, true, SEGMENT(0, 2 * MIB, 9)),
	SHAPE("2 MiB, not so aligned", true, true, SEGMENT(PAGE, 2 * MIB, 10)),
	SHAPE("huge and small", true, true, SEGMENT(0, 4 * MIB, 10), SEGMENT(0, PAGE, 0),
	      SEGMENT(0, 4 * MIB, 10), SEGMENT(MIB - PAGE, PAGE, 0)),
	SHAPE("one piece in several entries", true, true, SEGMENT(0, PAGE, 0), NEXT(2 * PAGE),
	      NEXT(PAGE)),
	SHAPE("two pieces in several entries", true, true, SEGMENT(4, 4092, 0), NEXT(2 * PAGE),
	      SEGMENT(PAGE, PAGE, 2), NEXT(8 * PAGE)),
	/* One piece for the CPU, but an IOMMU maps each entry's pages by themselves. */
	SHAPE("entries cut within pages", true, false, SEGMENT(0, 1000, 0), NEXT(3096),
	      NEXT(20 * KIB + 4), NEXT(3), NEXT(1), NEXT(PAGE)),
	SHAPE("entries of 512 bytes, adjacent", true, false, SEGMENT(0, 512, 1), NEXT(512),
	      NEXT(512), NEXT(512), NEXT(512), NEXT(512)),

	SHAPE("an odd address", false, false, SEGMENT(1, PAGE, 0)),
	SHAPE("an address that is even, but no multiple of 4", false, false,
	      SEGMENT(2, PAGE - 2, 0)),
	SHAPE("a hole at a page's end", false, false, SEGMENT(0, PAGE, 0), SEGMENT(0, 2048, 0),
	      SEGMENT(0, PAGE, 0)),
	SHAPE("a hole at a page's start", false, false, SEGMENT(0, PAGE, 0), SEGMENT(512, 3584, 0),
	      SEGMENT(0, PAGE, 0)),
	SHAPE("a hole of 4 bytes", false, false, SEGMENT(0, 2 * PAGE - 4, 0), SEGMENT(0, PAGE, 0)),
	SHAPE("two halves of different pages", false, false, SEGMENT(0, 2048, 0),
	      SEGMENT(2048, 2048, 0)),
	SHAPE("two parts of different pages, late", false, false, SEGMENT(0, 3 * PAGE, 0),
	      SEGMENT(0, 2 * PAGE + 512, 0), SEGMENT(512, PAGE - 512, 0), SEGMENT(0, PAGE, 0)),
	SHAPE("entries of 512 bytes, scattered", false, false, SEGMENT(0, 512, 0),
	      SEGMENT(0, 512, 0), SEGMENT(0, 512, 0), SEGMENT(0, 512, 0)),
	SHAPE("one byte, then a page", false, false, SEGMENT(0, 1, 0), SEGMENT(0, PAGE, 0)),
};

static uint32_t shape_count(const struct shape *shape)
{
	uint32_t count = 0;

	while (count < ARRAY_SIZE(shape->segments) && shape->segments[count].length)
		count++;
	return count;
}

static void shape_as_said(const void *arg)
{
	const struct shape *shape = arg;
	uint32_t count = shape_count(shape);
	struct exported b;
	struct wire w;

	wire_open(&w, main_drive(), WINDOW);
	/* The table was written by hand, the model was not made from it. */
	check_eq(!!segments_expected(shape->segments, count, 0, ~0ULL >> 1, false), shape->works);
	check_eq(!!segments_expected(shape->segments, count, 0, ~0ULL >> 1, true),
		 shape->translated_works);
	for (int dynamic = 0; dynamic < 2; dynamic++) {
		exported_create(&b, shape->segments, count, dynamic ? EXPORTER_DYNAMIC : 0);
		try_range(&w, &b, shape->segments, count, 0, b.bytes, scaled(12));
		/* A flaw counts only where the range has it. */
		for (int i = 0; i < 8 && b.bytes >= 8; i++) {
			uint64_t start = rnd_below(b.bytes / 4) * 4;

			try_range(&w, &b, shape->segments, count, start,
				  1 + rnd_below(b.bytes - start), 3);
		}
		exported_close(&b);
	}
	wire_close(&w);
}

/* Mostly whole pages, so that long tables have a chance to be good. */
static uint32_t random_shape(struct exporter_segment *segments, uint32_t most)
{
	uint32_t count = 1 + rnd_below(most);
	bool flaws = rnd() % 3 == 0;

	for (uint32_t i = 0; i < count; i++) {
		struct exporter_segment *s = &segments[i];

		*s = (struct exporter_segment){ .length = (1 + rnd_below(rnd() % 4 ? 4 : 64)) *
							  PAGE };
		if (rnd() % 4 == 0)
			s->order = rnd_below(6);
		if (rnd() % 4 == 0)
			s->offset = rnd_below(4) * PAGE;
		if (i && rnd() % 4 == 0)
			*s = (struct exporter_segment){ .length = s->length, .flags = ADJACENT };
		if (flaws && rnd() % 4 == 0) {
			uint64_t cut = rnd() % 4 ? rnd_below(PAGE / 512) * 512 :
						   rnd_below(PAGE / 4) * 4;

			if (rnd() % 2 && !s->flags) {
				s->offset += cut;
				s->length -= cut;
			} else if (cut) {
				s->length -= cut;
			}
		}
	}
	if (rnd() % 2 && !segments[0].flags) {
		uint64_t cut = rnd_below(PAGE / 4) * 4;

		segments[0].offset = segments[0].offset / PAGE * PAGE + cut;
		segments[0].length = (segments[0].length + PAGE - 1) / PAGE * PAGE - cut;
	}
	if (rnd() % 2 && segments[count - 1].length > PAGE)
		segments[count - 1].length -= rnd_below(PAGE);
	return count;
}

static void random_shapes(const void *path)
{
	struct exporter_segment segments[40];
	unsigned int works = 0, refused = 0;
	struct exported b;
	struct wire w;
	bool translated;

	wire_open(&w, path, WINDOW);
	translated = is_translated(&w);
	for (unsigned int i = 0; i < scaled(40); i++) {
		uint32_t count = random_shape(segments, ARRAY_SIZE(segments));
		uint64_t start, length;

		exported_create(&b, segments, count, rnd() % 2 ? EXPORTER_DYNAMIC : 0);
		for (int j = 0; j < 3; j++) {
			start = j ? rnd_below(b.bytes / 4) * 4 : 0;
			length = j ? 1 + rnd_below(b.bytes - start) : b.bytes;
			if (segments_expected(segments, count, start, length, translated))
				works++;
			else
				refused++;
			try_range(&w, &b, segments, count, start, length, 4);
		}
		exported_close(&b);
	}
	note("%u ranges work, %u are refused", works, refused);
	check(works && refused);
	wire_close(&w);
}

/* 8 GiB, in which the same 4 MiB stand again and again. */
static void beyond_4g(const void *arg)
{
	const uint32_t count = 2048;
	const uint64_t piece = 4 * MIB, total = count * piece;
	struct exporter_segment *segments = calloc(count, sizeof(*segments));
	static const uint64_t places[] = { 0,
					   1ULL << 31,
					   (1ULL << 32) - 4096,
					   1ULL << 32,
					   (1ULL << 32) + 4,
					   3ULL << 31,
					   (2ULL << 32) - 64 * KIB };
	struct nvme_dmabuf_completion c;
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	uint8_t *actual = pages_alloc(piece), *expected = pages_alloc(piece);
	uint32_t map, reason;
	struct exported b;
	struct wire w;

	(void)arg;
	check(segments);
	for (uint32_t i = 0; i < count; i++)
		segments[i] = (struct exporter_segment){ .length = piece, .flags = i ? ALIAS : 0 };
	wire_open(&w, main_drive(), 64 * KIB);
	exported_create(&b, segments, count, EXPORTER_DYNAMIC);
	check_eq(wire_attach(&w, &b, 0, total, &map, &reason), 0);
	check_eq(nvmedmabuf_get_map_info(w.ctx, map, &info), 0);
	check_eq(info.out_length, total);
	check_eq(info.out_segments, is_translated(&w) ? 1 : count);

	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
		uint64_t at = places[i] % piece, part = min_u64(64 * KIB, piece - at);

		rnd_fill(expected, piece);
		exported_write(&b, 0, expected, piece);
		check_eq(nvmedmabuf_read(w.ctx, map, places[i], 64 * KIB, w.first, &c), 0);
		check_eq(c.status, 0);
		memcpy(expected + at, w.disk, part);
		memcpy(expected, w.disk + part, 64 * KIB - part);
		exported_read(&b, 0, actual, piece);
		compare("the 4 MiB", actual, expected, piece, places[i]);
		if (!may_erase())
			continue;
		rnd_fill(expected, piece);
		exported_write(&b, 0, expected, piece);
		check_eq(nvmedmabuf_write(w.ctx, map, places[i], 64 * KIB, w.first, &c), 0);
		check_eq(c.status, 0);
		memcpy(w.disk, expected + at, part);
		memcpy(w.disk + part, expected, 64 * KIB - part);
		drive_read(&w.drive, w.first, actual, 64 * KIB);
		compare("namespace", actual, w.disk, 64 * KIB, places[i]);
	}
	check_eq(nvmedmabuf_read(w.ctx, map, total - 512, 64 * KIB, w.first, &c), -ERANGE);
	check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	check_unused(&b);
	exported_close(&b);
	wire_close(&w);
}

void add_shapes(void)
{
	static const char *paths[3];
	unsigned int count = plain_drives(paths);

	for (unsigned int i = 0; i < ARRAY_SIZE(shapes); i++)
		tap_add(shape_as_said, &shapes[i], "%s: %s",
			shapes[i].works ?
				shapes[i].translated_works ? "works" : "works untranslated" :
				"refused",
			shapes[i].name);
	for (unsigned int i = 0; i < count; i++)
		tap_add(random_shapes, paths[i], "%s: random shapes", paths[i]);
	tap_add(beyond_4g, NULL, "more than 4 GiB");
}
