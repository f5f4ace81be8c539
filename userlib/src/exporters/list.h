/* SPDX-License-Identifier: MIT */
/*
 * EXPORTER(NAME, FORM): exporter_NAME takes buffers' names that begin with NAME. FORM shows
 * people how these look.
 */
EXPORTER(udmabuf, "udmabuf")
EXPORTER(huge, "huge")
EXPORTER(heap, "heap[:NAME]")
EXPORTER(drm, "drm[:/dev/dri/cardN]")
EXPORTER(memory, "memory[:huge]")
EXPORTER(v4l2, "v4l2:/dev/videoN")
EXPORTER(vfio, "vfio:DDDD:BB:DD.F[:BAR]")
EXPORTER(cuda, "cuda[:N]")
EXPORTER(hip, "hip[:N]")
EXPORTER(ze, "ze[:N]")
