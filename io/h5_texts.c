/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of strings.
 */
#include <stdlib.h>
#include <string.h>

#include "io/h5_internal.h"

/* Texts one after the other, each padded with zeros to `size` bytes. */
static char *pack_texts(const char *const *texts, int64_t count, size_t *size)
{
    *size = 1;
    for (int64_t i = 0; i < count; i++) {
        size_t length = strlen(texts[i]) + 1;
        if (length > *size) *size = length;
    }
    char *packed = calloc((size_t)count + 1, *size);
    for (int64_t i = 0; packed != NULL && i < count; i++)
        memcpy(packed + (size_t)i * *size, texts[i], strlen(texts[i]));
    return packed;
}

static Status write_packed(H5File *file, const char *name, const char *packed, hid_t type,
                           int64_t count)
{
    hsize_t length = (hsize_t)count;
    hid_t space = H5Screate_simple(1, &length, NULL);
    hid_t creation = h5_untimed(H5P_DATASET_CREATE);
    hid_t dataset = -1;
    bool good = space >= 0 && type >= 0 && creation >= 0 && h5_make_groups(file, name);
    if (good) dataset = H5Dcreate2(file->id, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    good = good && dataset >= 0 &&
           (count == 0 || H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, packed) >= 0);
    Status status = PAL_OK;
    if (!good) status = h5_fail(file->path, PAL_ERROR_IO, "%s cannot be written", name);
    if (dataset >= 0) H5Dclose(dataset);
    if (creation >= 0) H5Pclose(creation);
    if (space >= 0) H5Sclose(space);
    return status;
}

Status h5_write_texts(H5File *file, const char *name, const char *const *texts, int64_t count)
{
    size_t size;
    char *packed = pack_texts(texts, count, &size);
    if (packed == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", file->path);
    hid_t type = h5_text_type(size);
    Status status = write_packed(file, name, packed, type, count);
    if (type >= 0) H5Tclose(type);
    free(packed);
    return h5_agree(file, status);
}

/* Strings of variable length are not read: one wrong bit in them crashes HDF5 1.10. */
static Status read_packed(const H5File *file, const char *name, hid_t dataset, int64_t count,
                          char **texts)
{
    hid_t type = H5Dget_type(dataset);
    size_t size = H5Tget_size(type);
    bool packed_text = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0;
    char *packed = packed_text ? calloc((size_t)count + 1, size) : NULL;
    Status status = PAL_OK;
    if (!packed_text)
        status = PAL_FAILURE(PAL_ERROR_DATA,
                             "%s: %s is no list of strings of fixed length, as palimpsest "
                             "writes it; take another file, or write it again",
                             file->path, name);
    else if (packed == NULL)
        status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "%s: out of memory", file->path);
    else if (count > 0 && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, packed) < 0)
        status = h5_fail(file->path, PAL_ERROR_DATA, "%s cannot be read", name);
    for (int64_t i = 0; status == PAL_OK && i < count; i++)
        if ((texts[i] = strndup(packed + (size_t)i * size, size)) == NULL)
            status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "%s: out of memory", file->path);
    free(packed);
    H5Tclose(type);
    return status;
}

Status h5_read_texts(H5File *file, const char *name, char ***texts, int64_t *count)
{
    *texts = NULL;
    *count = 0;
    Shape shape;
    PAL_TRY(h5_shape(file, name, &shape));
    if (shape.num_dims != 1) PAL_FAIL(PAL_ERROR_DATA, "%s: %s is not a list", file->path, name);
    *count = shape.dims[0];
    *texts = calloc((size_t)*count + 1, sizeof **texts);
    Status status = PAL_OK;
    if (*texts == NULL)
        status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "%s: out of memory", file->path);
    PAL_TRY(h5_agree(file, status));
    PAL_ASSERT(*texts != NULL);

    hid_t dataset = H5Dopen2(file->id, name, H5P_DEFAULT);
    status = dataset < 0 ? h5_fail(file->path, PAL_ERROR_DATA, "has no readable dataset %s", name)
                         : read_packed(file, name, dataset, *count, *texts);
    if (dataset >= 0) H5Dclose(dataset);
    status = h5_agree(file, status);
    if (status != PAL_OK) h5_texts_free(texts, *count);
    return status;
}

void h5_texts_free(char ***texts, int64_t count)
{
    for (int64_t i = 0; *texts != NULL && i < count; i++) free((*texts)[i]);
    free(*texts);
    *texts = NULL;
}
