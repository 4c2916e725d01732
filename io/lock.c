/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* F_OFD_SETLK */
#include "io/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

bool lock_is_taken(int descriptor)
{
    struct flock far_byte = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LONG_MAX - 1, .l_len = 1};
    return fcntl(descriptor, F_OFD_SETLK, &far_byte) != 0 && (errno == EACCES || errno == EAGAIN);
}
