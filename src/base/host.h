/* SPDX-License-Identifier: Apache-2.0
 *
 * The machine that this process runs on.
 */
#ifndef PAL_BASE_HOST_H
#define PAL_BASE_HOST_H

enum { PAL_HOST_SIZE = 64 }; /* bytes of a host's name with its final 0; longer ones are cut */

/* Any thread; the text is that thread's and stays valid. "unknown" where the system does not
 * tell. */
const char *host_name(void);

#endif
