/* SPDX-License-Identifier: Apache-2.0
 *
 * Documents that are the same text under two names.
 */
#ifndef PAL_IO_SAME_TEXT_H
#define PAL_IO_SAME_TEXT_H

#include "io/text/text_parts.h"
#include "io/text/work_folder.h"

/* Local. counts (parts). Error (65): a document of validation or test, of 256 bytes or more, is, byte
 * for byte, also one of another split; both are named. Two of one split are warned about. */
Status check_not_trained_on(const TextParts *parts, const PartCounts *counts);

#endif
