/* SPDX-License-Identifier: Apache-2.0
 *
 * The layouts of text_source.h, one file each.
 */
#ifndef PAL_IO_TEXT_LAYOUT_H
#define PAL_IO_TEXT_LAYOUT_H

#include "io/text/text_source.h"

/* All are local and append the documents of `options->input`; errors as text_source_open. */
Status text_list_books(TextSource *source, const TextSourceOptions *options);
Status text_list_wikitext(TextSource *source, const TextSourceOptions *options);
Status text_list_file(TextSource *source, const TextSourceOptions *options);

/* Local. Whether the folder has one of WikiText's files. */
bool text_is_wikitext(const char *folder);

/* Local. PG-19's metadata.csv: every line (id, title, year, address, no header) has its book in one
 * split, and every book its line; with options->subset only ids that stand there twice are an
 * error. Does nothing where there is no such file. Errors (65): the line and what is wrong. */
Status text_check_metadata(TextSource *source, const TextSourceOptions *options);

#endif
