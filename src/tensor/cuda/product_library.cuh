/* SPDX-License-Identifier: Apache-2.0
 *
 * cuBLASLt, loaded when a GPU is taken: it is half a gigabyte, and a node without GPUs, on which
 * the same program runs, need not have it.
 */
#ifndef PAL_TENSOR_CUDA_PRODUCT_LIBRARY_CUH
#define PAL_TENSOR_CUDA_PRODUCT_LIBRARY_CUH

#include <cublasLt.h>

extern "C" {
#include "src/base/status.h"
}

#define PAL_PRODUCT_FUNCTIONS(X)            \
    X(cublasLtCreate)                       \
    X(cublasLtDestroy)                      \
    X(cublasLtGetStatusName)                \
    X(cublasLtMatmul)                       \
    X(cublasLtMatmulAlgoGetHeuristic)       \
    X(cublasLtMatmulDescCreate)             \
    X(cublasLtMatmulDescDestroy)            \
    X(cublasLtMatmulDescSetAttribute)       \
    X(cublasLtMatmulPreferenceCreate)       \
    X(cublasLtMatmulPreferenceDestroy)      \
    X(cublasLtMatmulPreferenceSetAttribute) \
    X(cublasLtMatrixLayoutCreate)           \
    X(cublasLtMatrixLayoutDestroy)

/* The library's functions under their own names. */
struct ProductLibrary {
#define PAL_PRODUCT_FUNCTION(name) decltype(&::name) name;
    PAL_PRODUCT_FUNCTIONS(PAL_PRODUCT_FUNCTION)
#undef PAL_PRODUCT_FUNCTION
};

extern ProductLibrary product_library;

/* Before the first use. Error (69): it is not there, and where it was looked for. */
Status product_library_load();

#endif
