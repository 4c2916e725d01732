/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/host.h"

#include <stdio.h>
#include <unistd.h>

const char *host_name(void)
{
    static _Thread_local char name[PAL_HOST_SIZE];
    if (gethostname(name, sizeof name - 1) != 0 && name[0] == '\0')
        snprintf(name, sizeof name, "unknown");
    return name;
}
