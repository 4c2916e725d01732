/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups on the way to a dataset. Nothing bears the time when it was made: equal content gives equal
 * files.
 */
#include <stdio.h>
#include <string.h>

#include "io/h5_internal.h"

hid_t h5_untimed(hid_t class)
{
    hid_t creation = H5Pcreate(class);
    if (creation < 0 || H5Pset_obj_track_times(creation, false) >= 0) return creation;
    H5Pclose(creation);
    return -1;
}

static bool make_group(const H5File *file, const char *name)
{
    htri_t there = H5Lexists(file->id, name, H5P_DEFAULT);
    if (there != 0) return there > 0;
    hid_t creation = h5_untimed(H5P_GROUP_CREATE);
    hid_t group = -1;
    if (creation >= 0) group = H5Gcreate2(file->id, name, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (creation >= 0) H5Pclose(creation);
    return group >= 0 && H5Gclose(group) >= 0;
}

bool h5_make_groups(const H5File *file, const char *name)
{
    char group[1024];
    for (const char *slash = strchr(name + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        int length = snprintf(group, sizeof group, "%.*s", (int)(slash - name), name);
        if (length < 0 || (size_t)length >= sizeof group || !make_group(file, group)) return false;
    }
    return true;
}
