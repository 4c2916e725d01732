/* SPDX-License-Identifier: Apache-2.0
 *
 * All objects of a file: a list of its datasets, for `inspect`, and a look at each, for `verify`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/h5_internal.h"

typedef struct Listing {
    H5File *file;
    H5Item *items;
    int64_t count, room;
    Status status;
} Listing;

static void describe_type(hid_t dataset, H5Item *item)
{
    hid_t type = H5Dget_type(dataset);
    size_t size = H5Tget_size(type);
    const char *name = "other";
    switch (H5Tget_class(type)) {
    case H5T_FLOAT:
        name = H5Tequal(type, h5_file_type(STORED_BFLOAT16)) > 0 ? "bfloat" : "float";
        break;
    case H5T_INTEGER: name = H5Tget_sign(type) == H5T_SGN_NONE ? "uint" : "int"; break;
    case H5T_STRING: name = "text"; break;
    default: break;
    }
    if (strcmp(name, "text") == 0 || strcmp(name, "other") == 0)
        snprintf(item->type, sizeof item->type, "%s", name);
    else
        snprintf(item->type, sizeof item->type, "%s%u", name, (unsigned)(8 * size) % 1000u);
    H5Tclose(type);

    item->bytes = (int64_t)size;
    for (int d = 0; d < item->shape.num_dims; d++) item->bytes *= item->shape.dims[d];
}

static Status append_item(Listing *listing, hid_t dataset, const char *name)
{
    if (listing->count == listing->room) {
        listing->room = 2 * listing->room + 64;
        H5Item *grown = realloc(listing->items, (size_t)listing->room * sizeof *grown);
        if (grown == NULL)
            PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", listing->file->path);
        listing->items = grown;
    }
    H5Item *item = &listing->items[listing->count];
    memset(item, 0, sizeof *item);
    size_t length = strlen(name);
    item->name = malloc(length + 2);
    if (item->name == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", listing->file->path);
    listing->count++;
    item->name[0] = '/';
    memcpy(item->name + 1, name, length + 1);

    hid_t space = H5Dget_space(dataset);
    hsize_t dims[H5S_MAX_RANK];
    int num_dims = H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    item->shape.num_dims = num_dims < PAL_MAX_DIMS ? num_dims : PAL_MAX_DIMS;
    for (int d = 0; d < item->shape.num_dims; d++) item->shape.dims[d] = (int64_t)dims[d];
    describe_type(dataset, item);
    return PAL_OK;
}

static herr_t visit_link(hid_t root, const char *name, const H5L_info_t *info, void *user)
{
    (void)info;
    Listing *listing = user;
    hid_t object = H5Oopen(root, name, H5P_DEFAULT);
    if (object < 0) {
        listing->status = h5_fail(listing->file->path, PAL_ERROR_DATA, "%s cannot be read", name);
        return 1;
    }
    if (H5Iget_type(object) == H5I_DATASET) listing->status = append_item(listing, object, name);
    H5Oclose(object);
    return listing->status != PAL_OK;
}

Status h5_list(H5File *file, H5Item **items, int64_t *count)
{
    Listing listing = {.file = file};
    if (H5Lvisit(file->id, H5_INDEX_NAME, H5_ITER_INC, visit_link, &listing) < 0)
        listing.status = h5_fail(file->path, PAL_ERROR_DATA, "its contents cannot be listed");
    if (listing.status != PAL_OK) h5_items_free(&listing.items, listing.count);
    *items = listing.items;
    *count = listing.status == PAL_OK ? listing.count : 0;
    return listing.status;
}

void h5_items_free(H5Item **items, int64_t count)
{
    for (int64_t i = 0; *items != NULL && i < count; i++) free((*items)[i].name);
    free(*items);
    *items = NULL;
}

/* --- a look at all of them -------------------------------------------------------------------- */

/* Sizes of an object's structures are found by going through them. */
#if H5_VERSION_GE(1, 12, 0)
static herr_t look_at_object(hid_t root, const char *name, const H5O_info2_t *info, void *context)
{
    H5O_native_info_t sizes;
    (void)info;
    (void)context;
    return H5Oget_native_info_by_name(root, name, &sizes, H5O_NATIVE_INFO_ALL, H5P_DEFAULT);
}

static herr_t look_at_all(hid_t file)
{
    return H5Ovisit3(file, H5_INDEX_NAME, H5_ITER_NATIVE, look_at_object, NULL, H5O_INFO_BASIC);
}
#else
static herr_t look_at_object(hid_t root, const char *name, const H5O_info_t *info, void *context)
{
    (void)root;
    (void)name;
    (void)info;
    (void)context;
    return 0;
}

static herr_t look_at_all(hid_t file)
{
    return H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_NATIVE, look_at_object, NULL, H5O_INFO_ALL);
}
#endif

Status h5_check_structure(const H5File *file)
{
    if (look_at_all(file->id) >= 0) return PAL_OK;
    return h5_fail(file->path, PAL_ERROR_DATA, "is damaged");
}
