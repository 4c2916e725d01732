/* SPDX-License-Identifier: Apache-2.0
 *
 * Attributes.
 */
#include <stdlib.h>
#include <string.h>

#include "io/h5_internal.h"

static Status set_attribute(H5File *file, const char *object, const char *name, hid_t file_type,
                            hid_t memory_type, const void *value)
{
    hid_t at = H5Oopen(file->id, object, H5P_DEFAULT);
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = -1;
    bool good = at >= 0 && space >= 0;
    if (good) attribute = H5Acreate2(at, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
    good = good && attribute >= 0 && H5Awrite(attribute, memory_type, value) >= 0;
    Status status = PAL_OK;
    if (!good)
        status =
            h5_fail(file->path, PAL_ERROR_IO, "attribute %s of %s cannot be written", name, object);
    if (attribute >= 0) H5Aclose(attribute);
    if (space >= 0) H5Sclose(space);
    if (at >= 0) H5Oclose(at);
    return h5_agree(file, status);
}

hid_t h5_text_type(size_t size)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0) return -1;
    if (H5Tset_size(type, size) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0) return type;
    H5Tclose(type);
    return -1;
}

/* Of fixed length: strings of variable length are not for files that many ranks write. */
Status h5_set_text(H5File *file, const char *object, const char *name, const char *value)
{
    PAL_ASSERT(strlen(value) < 4000);
    hid_t type = h5_text_type(strlen(value) + 1);
    Status status = set_attribute(file, object, name, type, type, value);
    if (type >= 0) H5Tclose(type);
    return status;
}

Status h5_set_integer(H5File *file, const char *object, const char *name, int64_t value)
{
    return set_attribute(file, object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

static Status open_attribute(const H5File *file, const char *object, const char *name,
                             H5T_class_t wanted, const char *wanted_name, hid_t *attribute)
{
    *attribute = H5Aopen_by_name(file->id, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (*attribute < 0)
        return h5_fail(file->path, PAL_ERROR_DATA, "has no attribute %s at %s", name, object);

    hid_t type = H5Aget_type(*attribute);
    hid_t space = H5Aget_space(*attribute);
    bool good = H5Tget_class(type) == wanted && H5Sget_simple_extent_npoints(space) == 1;
    H5Sclose(space);
    H5Tclose(type);
    if (good) return PAL_OK;
    H5Aclose(*attribute);
    PAL_FAIL(PAL_ERROR_DATA, "%s: attribute %s of %s is not one %s", file->path, name, object,
             wanted_name);
}

Status h5_get_integer(H5File *file, const char *object, const char *name, int64_t *value)
{
    hid_t attribute;
    Status status = open_attribute(file, object, name, H5T_INTEGER, "integer", &attribute);
    if (status == PAL_OK) {
        if (H5Aread(attribute, H5T_NATIVE_INT64, value) < 0)
            status = h5_fail(file->path, PAL_ERROR_DATA, "attribute %s cannot be read", name);
        H5Aclose(attribute);
    }
    return h5_agree(file, status);
}

/* Both kinds of strings: other programs (h5py) like to write those of variable length. */
static Status read_text(const H5File *file, const char *name, hid_t attribute, char **value)
{
    hid_t stored = H5Aget_type(attribute);
    bool varying = H5Tis_variable_str(stored) > 0;
    size_t size = varying ? H5T_VARIABLE : H5Tget_size(stored) + 1;
    hid_t type = h5_text_type(size);
    char *text = NULL;
    herr_t result = -1;
    if (type >= 0) H5Tset_cset(type, H5Tget_cset(stored));
    if (type >= 0 && varying) {
        result = H5Aread(attribute, type, &text);
        char *copy = result >= 0 ? strdup(text != NULL ? text : "") : NULL;
        if (result >= 0) H5free_memory(text);
        text = copy;
    } else if (type >= 0 && (text = calloc(1, size)) != NULL) {
        result = H5Aread(attribute, type, text);
    }
    Status status = PAL_OK;
    if (result < 0 || text == NULL) {
        status = h5_fail(file->path, PAL_ERROR_DATA, "attribute %s cannot be read", name);
        free(text);
    } else {
        *value = text;
    }
    if (type >= 0) H5Tclose(type);
    H5Tclose(stored);
    return status;
}

Status h5_get_text(H5File *file, const char *object, const char *name, char **value)
{
    hid_t attribute;
    *value = NULL;
    Status status = open_attribute(file, object, name, H5T_STRING, "text", &attribute);
    if (status == PAL_OK) {
        status = read_text(file, name, attribute, value);
        H5Aclose(attribute);
    }
    status = h5_agree(file, status);
    if (status != PAL_OK) {
        free(*value);
        *value = NULL;
    }
    return status;
}

Status h5_has_attribute(H5File *file, const char *object, const char *name, bool *has)
{
    htri_t found = H5Aexists_by_name(file->id, object, name, H5P_DEFAULT);
    *has = found > 0;
    return h5_agree(file,
                    found >= 0 ? PAL_OK : h5_fail(file->path, PAL_ERROR_DATA, "cannot be read"));
}

Status h5_get_format(H5File *file, char **format)
{
    bool has;
    *format = NULL;
    PAL_TRY(h5_has_attribute(file, "/", "format", &has));
    return has ? h5_get_text(file, "/", "format", format) : PAL_OK;
}

static const char *format_name(const char *format)
{
    if (strcmp(format, "palimpsest-data") == 0) return "a data file";
    if (strcmp(format, "palimpsest-checkpoint") == 0) return "a checkpoint";
    return "something else";
}

Status h5_expect_format(H5File *file, const char *format, int64_t version)
{
    bool has;
    PAL_TRY(h5_has_attribute(file, "/", "format", &has));
    if (!has)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: is an HDF5 file, but not %s of palimpsest (no attribute 'format')",
                 file->path, format_name(format));

    char *found;
    PAL_TRY(h5_get_text(file, "/", "format", &found));
    PAL_ASSERT(found != NULL);
    if (strcmp(found, format) != 0) {
        Status status =
            PAL_FAILURE(PAL_ERROR_DATA, "%s: is %s (format '%.60s'), expected %s (format '%s')",
                        file->path, format_name(found), found, format_name(format), format);
        free(found);
        return status;
    }
    free(found);

    int64_t found_version = 0;
    PAL_TRY(h5_get_integer(file, "/", "version", &found_version));
    if (found_version == version) return PAL_OK;
    PAL_FAIL(PAL_ERROR_VERSION,
             "%s: has version %lld of format '%s', this program reads %lld; go on with it in the "
             "version of palimpsest that wrote it",
             file->path, (long long)found_version, format, (long long)version);
}
