/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the "device" and the host's own buffers, which for this device is a copy in memory.
 */
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "src/base/checked.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/parts.h"

/* From here on numbers go past the caches: who downloads so many does not compute with them next,
 * and to fetch lines that are then overwritten takes half as long again as the copy. */
enum { STREAMED = 1 << 14 };

#if defined(__SSE2__)
static const size_t LINE = 64, PAGE = 4096, PAGES = (size_t)4 * 4096; /* PAGES: side by side */

/* `to` is a multiple of LINE: half lines would leave the memory to merge them. */
static void stream_line(char *to, const char *from)
{
    for (size_t i = 0; i < LINE; i += 16)
        _mm_stream_si128((__m128i *)(void *)(to + i),
                         _mm_loadu_si128((const __m128i *)(const void *)(from + i)));
}

/* Some pages side by side keep more of the memory's banks busy than one after another. */
static void stream(char *to, const char *from, size_t bytes)
{
    size_t at = (LINE - (uintptr_t)to % LINE) % LINE;
    if (at > bytes) at = bytes;
    memcpy(to, from, at);
    for (; at + PAGES <= bytes; at += PAGES)
        for (size_t line = at; line < at + PAGE; line += LINE)
            for (size_t page = 0; page < PAGES; page += PAGE)
                stream_line(to + line + page, from + line + page);
    for (; at + LINE <= bytes; at += LINE) stream_line(to + at, from + at);
    _mm_sfence();
    memcpy(to + at, from + at, bytes - at);
}
#else
static void stream(char *to, const char *from, size_t bytes) { memcpy(to, from, bytes); }
#endif

void cpu_upload(Device *device, Tensor to, const Real *from)
{
    int64_t count = tensor_count(to);
    cpu_copy_blocks(device, to, count, tensor_1d((Real *)(uintptr_t)from, count), count, 1, count);
}

void cpu_download(Device *device, Real *to, Tensor from)
{
    int64_t count = tensor_count(from);
    if (from.type != NUMBER_FLOAT32) {
        cpu_copy_blocks(device, tensor_1d(to, count), count, from, count, 1, count);
        return;
    }
    const Real *numbers = tensor_reals(from);
    int parts = cpu_parts(device, count);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = line_range_of_part(count, part, parts);
        size_t bytes = checked_size(range.end - range.begin) * sizeof(Real);
        char *into = (char *)(to + range.begin);
        const char *of = (const char *)(numbers + range.begin);
        if (count < STREAMED)
            memcpy(into, of, bytes);
        else
            stream(into, of, bytes);
    }
}
