/* SPDX-License-Identifier: Apache-2.0
 *
 * One writer a file: two processes that write the same one would mix their bytes.
 */
#ifndef PAL_IO_LOCK_H
#define PAL_IO_LOCK_H

#include <stdbool.h>

/* Local. Locks the open file for this process, or finds that another has. The lock belongs to the
 * descriptor, whatever else opens and closes the file, and ends with it. It is on a byte that no
 * file reaches, away from what libraries may lock for their own sake. Some file systems have no
 * locks; there it is the user who keeps processes apart. */
bool lock_is_taken(int descriptor);

#endif
