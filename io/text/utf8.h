/* SPDX-License-Identifier: Apache-2.0
 *
 * Is it text? UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef PAL_IO_UTF8_H
#define PAL_IO_UTF8_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/status.h"

/* Local. How many bytes of valid UTF-8 these begin with. */
size_t utf8_valid_length(const uint8_t *bytes, size_t count);
/* Local. Error (65), naming the byte: these bytes, which begin at `offset` of a text, are not all
 * UTF-8. */
Status utf8_check(const uint8_t *bytes, size_t count, const char *path, int64_t offset);

#endif
