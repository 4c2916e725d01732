/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a text file from some place on, in order; the file is plain, or packed by gzip
 * (x.txt.gz) or zstd (x.txt.zst) and then unpacked on the way, in a few hundred KiB of memory.
 */
#ifndef PAL_IO_TEXT_FILE_H
#define PAL_IO_TEXT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/status.h"

/* Local. Of a file's name: its length without the ending .gz or .zst, all of it where there is
 * none. */
size_t text_plain_length(const char *name);
/* Local. Whether the name has such an ending. */
bool text_is_packed(const char *name);

typedef struct TextFile TextFile;

/* Local. Reading begins at byte `first` of the text; what is before it in a packed file is unpacked
 * and dropped. Errors: cannot be opened (66), is no such archive as its name says, or is one that
 * has no text in it (65), cannot be read (74). */
Status text_file_open(TextFile **file, const char *path, int64_t first);
/* Local. The next bytes: `size`, fewer only at the end. Errors: damaged or cut short (65), cannot be
 * read (74). */
Status text_file_read(TextFile *file, uint8_t *bytes, size_t size, size_t *count);
/* Local. Accepts NULL, sets NULL. */
void text_file_close(TextFile **file);

/* Local. Bytes of the text in a packed file, which is unpacked for it from end to end. */
Status text_file_measure(const char *path, int64_t *bytes);

#endif
