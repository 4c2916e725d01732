/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cuda/product_library.cuh"

#include <dlfcn.h>

#include <cstdio>

#define PAL_TEXT(x)    #x
#define PAL_TEXT_OF(x) PAL_TEXT(x)

/* By its name, as the loader finds it (LD_LIBRARY_PATH, ld.so.conf), else where it was built with. */
static void *open_library(char *reason, size_t size)
{
    const char *name = "libcublasLt.so." PAL_TEXT_OF(CUBLAS_VER_MAJOR);
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) return library;
    snprintf(reason, size, "%s", dlerror());
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", PAL_CUDA_LIBRARY_DIR, name);
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

ProductLibrary product_library;

Status product_library_load()
{
    char reason[512];
    void *opened = open_library(reason, sizeof reason);
    if (opened == nullptr)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE,
                 "the library for matrix products cannot be loaded: %s, nor is it in %s; load the "
                 "module of the CUDA toolkit that palimpsest was built with, or set device.name = "
                 "cpu",
                 reason, PAL_CUDA_LIBRARY_DIR);
#define PAL_PRODUCT_FUNCTION(name)                                                                 \
    product_library.name = reinterpret_cast<decltype(product_library.name)>(dlsym(opened, #name)); \
    if (product_library.name == nullptr)                                                           \
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "the library for matrix products has no %s: %s", #name,    \
                 dlerror());
    PAL_PRODUCT_FUNCTIONS(PAL_PRODUCT_FUNCTION)
#undef PAL_PRODUCT_FUNCTION
    return PAL_OK;
}
