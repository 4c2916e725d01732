/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers as text that come back with every bit.
 */
#ifndef PAL_IO_NUMBER_H
#define PAL_IO_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* Local. The shortest of %.15g, %.16g, %.17g that reads back as the same double. */
const char *number_text(double value, char text[32]);

/* Local. False unless all of the text is one number (surrounding blanks allowed) that fits. */
bool number_parse(const char *text, double *value);
bool integer_parse(const char *text, int64_t *value);

#endif
