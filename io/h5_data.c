/* SPDX-License-Identifier: Apache-2.0
 *
 * Datasets: defining, writing and reading boxes of numbers.
 */
#include "io/h5_internal.h"
#include "mpi/collectives.h"
#include "src/base/checked.h"

hid_t h5_memory_type(StoredType type)
{
    switch (type) {
    case STORED_REAL: return sizeof(Real) == sizeof(float) ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
    case STORED_FLOAT32: return H5T_NATIVE_FLOAT;
    case STORED_INT32: return H5T_NATIVE_INT32;
    case STORED_INT64: return H5T_NATIVE_INT64;
    case STORED_UINT16: return H5T_NATIVE_UINT16;
    }
    return -1;
}

hid_t h5_file_type(StoredType type)
{
    switch (type) {
    case STORED_REAL:
    case STORED_FLOAT32: return H5T_IEEE_F32LE;
    case STORED_INT32: return H5T_STD_I32LE;
    case STORED_INT64: return H5T_STD_I64LE;
    case STORED_UINT16: return H5T_STD_U16LE;
    }
    return -1;
}

static void shape_extent(Shape shape, hsize_t dims[PAL_MAX_DIMS])
{
    for (int d = 0; d < shape.num_dims; d++) dims[d] = checked_size(shape.dims[d]);
}

/* What a dataset adds to a file, with HDF5's description of it; the first one also pays for what
 * there is one of. Too much is no harm: what is not used goes back when the file is closed. */
static int64_t reserved_bytes(const H5File *file, StoredType type, Shape shape)
{
    enum { DESCRIPTION = 1024, OTHER = 32 * 1024 };
    int64_t bytes = (int64_t)H5Tget_size(h5_file_type(type));
    for (int d = 0; d < shape.num_dims; d++) bytes *= shape.dims[d];
    return bytes + DESCRIPTION + (file->reserved == 0 ? OTHER : 0);
}

Status h5_define(H5File *file, const char *name, StoredType type, Shape shape)
{
    hsize_t dims[PAL_MAX_DIMS];
    shape_extent(shape, dims);
    PAL_TRY(h5_reserve(file, reserved_bytes(file, type, shape)));
    hid_t space = H5Screate_simple(shape.num_dims, dims, NULL);
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    hid_t dataset = -1;

    Status status = PAL_OK;
    /* Every number is written, so filling first would write everything twice. */
    if (space >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0 &&
        H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0)
        dataset =
            H5Dcreate2(file->id, name, h5_file_type(type), space, links, creation, H5P_DEFAULT);
    if (dataset < 0) status = h5_fail(file->path, PAL_ERROR_IO, "dataset %s cannot be made", name);
    if (dataset >= 0 && H5Dclose(dataset) < 0)
        status = h5_fail(file->path, PAL_ERROR_IO, "dataset %s cannot be made", name);
    if (creation >= 0) H5Pclose(creation);
    if (links >= 0) H5Pclose(links);
    if (space >= 0) H5Sclose(space);
    return h5_agree(file, status);
}

/* A dataset with the box of one transfer selected in it, and the box in memory. */
typedef struct BoxTransfer {
    hid_t dataset, in_file, in_memory, properties;
    bool nothing; /* the dataset has no elements, so no rank transfers any */
} BoxTransfer;

static void transfer_end(BoxTransfer *t)
{
    if (t->properties >= 0) H5Pclose(t->properties);
    if (t->in_memory >= 0) H5Sclose(t->in_memory);
    if (t->in_file >= 0) H5Sclose(t->in_file);
    if (t->dataset >= 0) H5Dclose(t->dataset);
}

/* Adds one box to the selection; *elements grows by its size. */
static Status select_box(const BoxTransfer *t, const H5File *file, const char *name,
                         const Slab *slab, hsize_t *elements)
{
    hsize_t first[PAL_MAX_DIMS], count[PAL_MAX_DIMS], dims[PAL_MAX_DIMS], size = 1;
    int num_dims = H5Sget_simple_extent_dims(t->in_file, dims, NULL);
    for (int d = 0; d < num_dims; d++) {
        if (slab->first[d] < 0 || slab->count[d] < 0 ||
            (uint64_t)slab->first[d] + (uint64_t)slab->count[d] > dims[d])
            PAL_FAIL(PAL_ERROR_DATA,
                     "%s: %s: elements %lld to %lld of dimension %d, which has %llu", file->path,
                     name, (long long)slab->first[d], (long long)(slab->first[d] + slab->count[d]),
                     d, (unsigned long long)dims[d]);
        first[d] = (hsize_t)slab->first[d];
        count[d] = (hsize_t)slab->count[d];
        size *= count[d];
    }
    *elements += size;
    if (size == 0 || num_dims == 0) return PAL_OK;
    if (H5Sselect_hyperslab(t->in_file, H5S_SELECT_OR, first, NULL, count, NULL) < 0)
        return h5_fail(file->path, PAL_ERROR_INTERNAL, "a part of %s cannot be chosen", name);
    return PAL_OK;
}

/* In memory the elements of all boxes follow each other. */
static Status select_boxes(BoxTransfer *t, const H5File *file, const char *name, const Slab *slabs,
                           int count)
{
    hsize_t elements = 0;
    bool scalar = H5Sget_simple_extent_ndims(t->in_file) == 0;
    if (!scalar && H5Sselect_none(t->in_file) < 0)
        return h5_fail(file->path, PAL_ERROR_INTERNAL, "a part of %s cannot be chosen", name);
    for (int i = 0; i < count; i++) PAL_TRY(select_box(t, file, name, &slabs[i], &elements));
    t->in_memory = H5Screate_simple(1, &elements, NULL);
    if (t->in_memory < 0)
        return h5_fail(file->path, PAL_ERROR_INTERNAL, "a part of %s cannot be chosen", name);
    return PAL_OK;
}

static Status transfer_begin(BoxTransfer *t, const H5File *file, const char *name,
                             const Slab *slabs, int count)
{
    *t = (BoxTransfer){-1, -1, -1, -1, false};
    t->dataset = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (t->dataset < 0)
        return h5_fail(file->path, PAL_ERROR_DATA, "has no readable dataset %s", name);
    t->in_file = H5Dget_space(t->dataset);
    t->properties = H5Pcreate(H5P_DATASET_XFER);
    if (t->in_file < 0 || H5Sget_simple_extent_ndims(t->in_file) > PAL_MAX_DIMS)
        PAL_FAIL(PAL_ERROR_DATA, "%s: %s has more than %d dimensions", file->path, name,
                 PAL_MAX_DIMS);
    t->nothing = H5Sget_simple_extent_npoints(t->in_file) == 0;
    if (file->group != NULL && H5Pset_dxpl_mpio(t->properties, H5FD_MPIO_INDEPENDENT) < 0)
        return h5_fail(file->path, PAL_ERROR_INTERNAL, "no independent transfer");
    return select_boxes(t, file, name, slabs, count);
}

Status h5_write_slabs(H5File *file, const char *name, StoredType type, const Slab *slabs, int count,
                      const void *data)
{
    BoxTransfer t;
    Status status = h5_agree(file, transfer_begin(&t, file, name, slabs, count));
    if (status == PAL_OK && !t.nothing) {
        if (H5Dwrite(t.dataset, h5_memory_type(type), t.in_memory, t.in_file, t.properties, data) <
            0)
            status = h5_fail(file->path, PAL_ERROR_IO, "%s cannot be written", name);
        status = h5_agree(file, status);
    }
    transfer_end(&t);
    return status;
}

Status h5_write_slab(H5File *file, const char *name, StoredType type, const Slab *slab,
                     const void *data)
{
    return h5_write_slabs(file, name, type, slab, 1, data);
}

static Slab whole_slab(Shape shape)
{
    Slab slab = {0};
    for (int d = 0; d < shape.num_dims; d++) slab.count[d] = shape.dims[d];
    return slab;
}

Status h5_write(H5File *file, const char *name, StoredType type, Shape shape, const void *data)
{
    PAL_TRY(h5_define(file, name, type, shape));
    Slab slab = whole_slab(shape);
    if (file->group != NULL && !group_is_root(file->group)) slab = (Slab){0};
    return h5_write_slab(file, name, type, &slab, data);
}

Status h5_read_slabs(H5File *file, const char *name, StoredType type, const Slab *slabs, int count,
                     void *data)
{
    BoxTransfer t;
    Status status = h5_agree(file, transfer_begin(&t, file, name, slabs, count));
    if (status == PAL_OK && !t.nothing) {
        if (H5Dread(t.dataset, h5_memory_type(type), t.in_memory, t.in_file, t.properties, data) <
            0)
            status = h5_fail(file->path, PAL_ERROR_DATA, "%s cannot be read", name);
        status = h5_agree(file, status);
    }
    transfer_end(&t);
    return status;
}

Status h5_read_slab(H5File *file, const char *name, StoredType type, const Slab *slab, void *data)
{
    return h5_read_slabs(file, name, type, slab, 1, data);
}

Status h5_read(H5File *file, const char *name, StoredType type, Shape shape, void *data)
{
    Shape found = {0};
    PAL_TRY(h5_shape(file, name, &found));
    if (!shape_equal(found, shape)) {
        char is[96], wanted[96];
        PAL_FAIL(PAL_ERROR_DATA, "%s: %s has shape %s in the file, expected %s", file->path, name,
                 shape_text(found, is), shape_text(shape, wanted));
    }
    Slab slab = whole_slab(shape);
    return h5_read_slab(file, name, type, &slab, data);
}

static Status space_shape(const H5File *file, const char *name, hid_t dataset, Shape *shape)
{
    hsize_t dims[H5S_MAX_RANK];
    hid_t space = H5Dget_space(dataset);
    int num_dims = space < 0 ? -1 : H5Sget_simple_extent_dims(space, dims, NULL);
    if (space >= 0) H5Sclose(space);
    if (num_dims < 0 || num_dims > PAL_MAX_DIMS)
        PAL_FAIL(PAL_ERROR_DATA, "%s: %s has %d dimensions, expected at most %d", file->path, name,
                 num_dims, PAL_MAX_DIMS);
    *shape = (Shape){.num_dims = num_dims};
    for (int d = 0; d < num_dims; d++) shape->dims[d] = (int64_t)dims[d];
    return PAL_OK;
}

Status h5_shape(H5File *file, const char *name, Shape *shape)
{
    Status status = PAL_OK;
    hid_t dataset = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (dataset < 0) {
        status = h5_fail(file->path, PAL_ERROR_DATA, "has no readable dataset %s", name);
    } else {
        status = space_shape(file, name, dataset, shape);
        H5Dclose(dataset);
    }
    return h5_agree(file, status);
}
