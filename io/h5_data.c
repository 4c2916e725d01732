/* SPDX-License-Identifier: Apache-2.0
 *
 * Datasets: defining, writing and reading boxes of numbers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/h5_internal.h"
#include "mpi/collectives.h"
#include "src/base/checked.h"

/* A float32 without its lower half: HDF5 and what is built on it convert it by themselves. Made
 * once and kept. */
static hid_t bfloat16_type(void)
{
    static hid_t type = -1;
    if (type >= 0) return type;
    hid_t made = H5Tcopy(H5T_IEEE_F32LE);
    bool good = made >= 0 && H5Tset_fields(made, 15, 7, 8, 0, 7) >= 0 &&
                H5Tset_precision(made, 16) >= 0 && H5Tset_size(made, 2) >= 0 &&
                H5Tset_ebias(made, 127) >= 0;
    if (!good && made >= 0) H5Tclose(made);
    type = good ? made : -1;
    return type;
}

hid_t h5_memory_type(StoredType type)
{
    switch (type) {
    case STORED_BFLOAT16: return bfloat16_type();
    case STORED_REAL: return sizeof(Real) == sizeof(float) ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
    case STORED_FLOAT32: return H5T_NATIVE_FLOAT;
    case STORED_FLOAT64: return H5T_NATIVE_DOUBLE;
    case STORED_INT32: return H5T_NATIVE_INT32;
    case STORED_INT64: return H5T_NATIVE_INT64;
    case STORED_UINT16: return H5T_NATIVE_UINT16;
    case STORED_UINT8: return H5T_NATIVE_UINT8;
    }
    return -1;
}

hid_t h5_file_type(StoredType type)
{
    switch (type) {
    case STORED_BFLOAT16: return bfloat16_type();
    case STORED_REAL:
    case STORED_FLOAT32: return H5T_IEEE_F32LE;
    case STORED_FLOAT64: return H5T_IEEE_F64LE;
    case STORED_INT32: return H5T_STD_I32LE;
    case STORED_INT64: return H5T_STD_I64LE;
    case STORED_UINT16: return H5T_STD_U16LE;
    case STORED_UINT8: return H5T_STD_U8LE;
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
    int64_t bytes = shape_elements(shape) * (int64_t)H5Tget_size(h5_file_type(type));
    return bytes + DESCRIPTION + (file->reserved == 0 ? OTHER : 0);
}

/* Every number is written, so filling first would write everything twice. */
static hid_t creation_properties(bool placed)
{
    hid_t creation = h5_untimed(H5P_DATASET_CREATE);
    if (creation < 0) return -1;
    if (H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0 &&
        (!placed || H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY) >= 0))
        return creation;
    H5Pclose(creation);
    return -1;
}

static Status place_of(const H5File *file, const char *name, hid_t dataset, int64_t *place)
{
    haddr_t at = H5Dget_offset(dataset);
    hid_t space = H5Dget_space(dataset);
    bool empty = space >= 0 && H5Sget_simple_extent_npoints(space) == 0;
    if (space >= 0) H5Sclose(space);
    *place = empty ? 0 : (int64_t)at;
    if (at == HADDR_UNDEF && !empty)
        PAL_FAIL(PAL_ERROR_INTERNAL, "%s: HDF5 gives %s no place", file->path, name);
    return PAL_OK;
}

/* place NULL: not asked for. */
static Status define(H5File *file, const char *name, StoredType type, Shape shape, int64_t *place)
{
    hsize_t dims[PAL_MAX_DIMS];
    shape_extent(shape, dims);
    PAL_TRY(h5_reserve(file, reserved_bytes(file, type, shape)));
    hid_t space = H5Screate_simple(shape.num_dims, dims, NULL);
    hid_t creation = creation_properties(place != NULL);
    hid_t dataset = -1;

    Status status = PAL_OK;
    if (space >= 0 && creation >= 0 && h5_make_groups(file, name))
        dataset = H5Dcreate2(file->id, name, h5_file_type(type), space, H5P_DEFAULT, creation,
                             H5P_DEFAULT);
    if (dataset < 0) status = h5_fail(file->path, PAL_ERROR_IO, "dataset %s cannot be made", name);
    if (dataset >= 0 && place != NULL) status = place_of(file, name, dataset, place);
    if (dataset >= 0 && H5Dclose(dataset) < 0)
        status = h5_fail(file->path, PAL_ERROR_IO, "dataset %s cannot be made", name);
    if (creation >= 0) H5Pclose(creation);
    if (space >= 0) H5Sclose(space);
    return h5_agree(file, status);
}

Status h5_define(H5File *file, const char *name, StoredType type, Shape shape)
{
    return define(file, name, type, shape, NULL);
}

Status h5_place(H5File *file, const char *name, StoredType type, Shape shape, int64_t *place)
{
    PAL_ASSERT(file->group == NULL);
    return define(file, name, type, shape, place);
}

/* A dataset that boxes are written to or read from. */
typedef struct BoxTransfer {
    hid_t dataset, in_file, properties;
    int num_dims;
    bool nothing; /* the dataset has no elements, so no rank transfers any */
} BoxTransfer;

static void transfer_end(BoxTransfer *t)
{
    if (t->properties >= 0) H5Pclose(t->properties);
    if (t->in_file >= 0) H5Sclose(t->in_file);
    if (t->dataset >= 0) H5Dclose(t->dataset);
}

static Status transfer_begin(BoxTransfer *t, const H5File *file, const char *name)
{
    *t = (BoxTransfer){-1, -1, -1, 0, false};
    t->dataset = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (t->dataset < 0)
        return h5_fail(file->path, PAL_ERROR_DATA, "has no readable dataset %s", name);
    t->in_file = H5Dget_space(t->dataset);
    t->properties = H5Pcreate(H5P_DATASET_XFER);
    t->num_dims = H5Sget_simple_extent_ndims(t->in_file);
    if (t->num_dims < 0 || t->num_dims > PAL_MAX_DIMS)
        PAL_FAIL(PAL_ERROR_DATA, "%s: %s has more than %d dimensions", file->path, name,
                 PAL_MAX_DIMS);
    t->nothing = H5Sget_simple_extent_npoints(t->in_file) == 0;
    if (h5_by_mpi(file) && H5Pset_dxpl_mpio(t->properties, H5FD_MPIO_INDEPENDENT) < 0)
        return h5_fail(file->path, PAL_ERROR_INTERNAL, "no independent transfer");
    return PAL_OK;
}

/* Local. Selects the box in the file; *elements: its size. */
static Status select_box(const BoxTransfer *t, const H5File *file, const char *name,
                         const Slab *slab, hsize_t *elements)
{
    hsize_t first[PAL_MAX_DIMS], count[PAL_MAX_DIMS], dims[PAL_MAX_DIMS];
    *elements = 1;
    H5Sget_simple_extent_dims(t->in_file, dims, NULL);
    for (int d = 0; d < t->num_dims; d++) {
        if (slab->first[d] < 0 || slab->count[d] < 0 ||
            (uint64_t)slab->first[d] + (uint64_t)slab->count[d] > dims[d])
            PAL_FAIL(PAL_ERROR_DATA,
                     "%s: %s: elements %lld to %lld of dimension %d, which has %llu", file->path,
                     name, (long long)slab->first[d], (long long)(slab->first[d] + slab->count[d]),
                     d, (unsigned long long)dims[d]);
        first[d] = (hsize_t)slab->first[d];
        count[d] = (hsize_t)slab->count[d];
        *elements *= count[d];
    }
    bool selected = t->num_dims == 0 || *elements == 0 ||
                    H5Sselect_hyperslab(t->in_file, H5S_SELECT_SET, first, NULL, count, NULL) >= 0;
    if (!selected)
        return h5_fail(file->path, PAL_ERROR_INTERNAL, "a part of %s cannot be chosen", name);
    return PAL_OK;
}

/* Local. One box between `numbers` and the file; `into` the file, or out of it. */
static Status transfer_box(const BoxTransfer *t, const H5File *file, const char *name, hid_t type,
                           const Slab *slab, void *numbers, bool into)
{
    hsize_t elements;
    PAL_TRY(select_box(t, file, name, slab, &elements));
    if (elements == 0) return PAL_OK;
    hid_t in_memory = H5Screate_simple(1, &elements, NULL);
    herr_t done = in_memory < 0 ? -1
                  : into ? H5Dwrite(t->dataset, type, in_memory, t->in_file, t->properties, numbers)
                         : H5Dread(t->dataset, type, in_memory, t->in_file, t->properties, numbers);
    Status status = PAL_OK;
    if (done < 0)
        status = h5_fail(file->path, into ? PAL_ERROR_IO : PAL_ERROR_DATA, "%s cannot be %s", name,
                         into ? "written" : "read");
    if (in_memory >= 0) H5Sclose(in_memory);
    return status;
}

Status h5_write_slab(H5File *file, const char *name, StoredType type, const Slab *slab,
                     const void *data)
{
    BoxTransfer t;
    Status status = h5_agree(file, transfer_begin(&t, file, name));
    if (status == PAL_OK && !t.nothing)
        status = h5_agree(file, transfer_box(&t, file, name, h5_memory_type(type), slab,
                                             (void *)(uintptr_t)data, true));
    transfer_end(&t);
    return status;
}

Status h5_write(H5File *file, const char *name, StoredType type, Shape shape, const void *data)
{
    PAL_TRY(h5_define(file, name, type, shape));
    Slab slab = shape_slab(shape);
    if (file->group != NULL && !group_is_root(file->group)) slab = (Slab){0};
    return h5_write_slab(file, name, type, &slab, data);
}

/* Local. The box a part at a time, each of them below what one transfer of MPI-IO can take. */
static Status read_in_parts(const BoxTransfer *t, const H5File *file, const char *name, hid_t type,
                            const Slab *slab, char *numbers)
{
    const int64_t size = (int64_t)H5Tget_size(type), most = (1 << 30) / size;
    int64_t parts = slab_num_parts(slab, t->num_dims, most);
    for (int64_t i = 0; i < parts; i++) {
        Slab part = slab_part(slab, t->num_dims, most, i);
        PAL_TRY(transfer_box(t, file, name, type, &part, numbers, false));
        numbers += slab_elements(&part, t->num_dims) * size;
    }
    return PAL_OK;
}

static Status read_all(const BoxTransfer *t, const H5File *file, const char *name, hid_t type,
                       const Slab *slabs, int count, char *numbers)
{
    for (int i = 0; i < count; i++) {
        PAL_TRY(read_in_parts(t, file, name, type, &slabs[i], numbers));
        numbers += slab_elements(&slabs[i], t->num_dims) * (int64_t)H5Tget_size(type);
    }
    return PAL_OK;
}

Status h5_read_slabs(H5File *file, const char *name, StoredType type, const Slab *slabs, int count,
                     void *data)
{
    BoxTransfer t;
    Status status = h5_agree(file, transfer_begin(&t, file, name));
    if (status == PAL_OK && !t.nothing)
        status = h5_agree(file, read_all(&t, file, name, h5_memory_type(type), slabs, count, data));
    transfer_end(&t);
    return status;
}

Status h5_read_slab(H5File *file, const char *name, StoredType type, const Slab *slab, void *data)
{
    return h5_read_slabs(file, name, type, slab, 1, data);
}

static Status visit_all(const BoxTransfer *t, const H5File *file, const char *name, StoredType type,
                        const Slab *slabs, int count, SlabVisitor look, void *context)
{
    Status status = PAL_OK;
    for (int i = 0; i < count && status == PAL_OK; i++) {
        hsize_t elements;
        PAL_TRY(select_box(t, file, name, &slabs[i], &elements));
        size_t bytes = (size_t)elements * stored_size(type);
        char *numbers = malloc(bytes + 1);
        if (numbers == NULL)
            PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: no memory for %zu bytes of %s", file->path, bytes,
                     name);
        status = read_in_parts(t, file, name, h5_memory_type(type), &slabs[i], numbers);
        if (status == PAL_OK) status = look(context, i, numbers, bytes);
        free(numbers);
    }
    return status;
}

Status h5_visit_slabs(H5File *file, const char *name, StoredType type, const Slab *slabs, int count,
                      SlabVisitor look, void *context)
{
    BoxTransfer t;
    Status status = h5_agree(file, transfer_begin(&t, file, name));
    if (status == PAL_OK)
        status = h5_agree(file, visit_all(&t, file, name, type, slabs, count, look, context));
    transfer_end(&t);
    return status;
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
    bool reads = file->group == NULL || group_is_root(file->group);
    Slab slab = reads ? shape_slab(shape) : (Slab){0};
    PAL_TRY(h5_read_slab(file, name, type, &slab, data));
    size_t bytes = checked_size(shape_elements(shape)) * H5Tget_size(h5_memory_type(type));
    if (file->group != NULL) group_broadcast(file->group, data, bytes, 0);
    return PAL_OK;
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

static StoredType stored_type(hid_t type, bool *known)
{
    static const StoredType types[] = {STORED_FLOAT32, STORED_FLOAT64, STORED_BFLOAT16,
                                       STORED_INT32,   STORED_INT64,   STORED_UINT16,
                                       STORED_UINT8};
    *known = true;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (H5Tequal(type, h5_file_type(types[i])) > 0) return types[i];
    *known = false;
    return STORED_FLOAT32;
}

Status h5_stored_type(H5File *file, const char *name, StoredType *type)
{
    Status status = PAL_OK;
    bool known = false;
    hid_t dataset = H5Dopen2(file->id, name, H5P_DEFAULT);
    hid_t found = dataset < 0 ? -1 : H5Dget_type(dataset);
    if (found >= 0) *type = stored_type(found, &known);
    if (found < 0)
        status = h5_fail(file->path, PAL_ERROR_DATA, "has no readable dataset %s", name);
    else if (!known)
        status = PAL_FAILURE(PAL_ERROR_DATA,
                             "%s: %s has numbers of a type that palimpsest does not "
                             "write",
                             file->path, name);
    if (found >= 0) H5Tclose(found);
    if (dataset >= 0) H5Dclose(dataset);
    return h5_agree(file, status);
}

/* A group or a dataset, which HDF5 keeps both as links; it wants every one on the way to be there
 * before it is asked for the next. */
Status h5_has(H5File *file, const char *name, bool *has)
{
    char part[1024];
    htri_t found = strlen(name) < sizeof part ? 1 : 0;
    for (const char *end = name; found > 0 && *end != '\0';) {
        const char *slash = strchr(end + 1, '/');
        end = slash != NULL ? slash : name + strlen(name);
        snprintf(part, sizeof part, "%.*s", (int)(end - name), name);
        found = H5Lexists(file->id, part, H5P_DEFAULT);
    }
    *has = found > 0;
    return h5_agree(file,
                    found >= 0 ? PAL_OK : h5_fail(file->path, PAL_ERROR_DATA, "cannot be read"));
}
