/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands in for the file of this name that loads cuBLASLt: here it is part of the program.
 */
#include "src/tensor/cuda/product_library.cuh"

ProductLibrary product_library;

Status product_library_load()
{
#define PAL_PRODUCT_FUNCTION(name) product_library.name = ::name;
    PAL_PRODUCT_FUNCTIONS(PAL_PRODUCT_FUNCTION)
#undef PAL_PRODUCT_FUNCTION
    return PAL_OK;
}
