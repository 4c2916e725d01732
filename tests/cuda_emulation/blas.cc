/* SPDX-License-Identifier: Apache-2.0
 *
 * d = alpha op(a) op(b) + beta c, then bias and relu, column-major, sums in float32.
 */
#include <cublasLt.h>
#include <cuda_bf16.h>

#include <algorithm>
#include <vector>

#include "emulation.h"

struct cublasLtContext {
    int unused;
};

namespace emulation {

static size_t bytes_of(cudaDataType_t type) { return type == CUDA_R_32F ? 4 : 2; }

static float number_at(const void *matrix, cudaDataType_t type, size_t i)
{
    if (type == CUDA_R_32F) return static_cast<const float *>(matrix)[i];
    return __bfloat162float(static_cast<const __nv_bfloat16 *>(matrix)[i]);
}

static void put_at(void *matrix, cudaDataType_t type, size_t i, float value)
{
    if (type == CUDA_R_32F)
        static_cast<float *>(matrix)[i] = value;
    else
        static_cast<__nv_bfloat16 *>(matrix)[i] = __float2bfloat16(value);
}

using Layout = cublasLtMatrixLayoutOpaque_t;

static void check_matrix(const void *start, const Layout &layout, bool reads, bool writes)
{
    size_t size = bytes_of(layout.type);
    for (uint64_t column = 0; column < layout.columns; column++)
        check_operand(static_cast<const unsigned char *>(start) +
                          column * static_cast<size_t>(layout.leading) * size,
                      layout.rows * size, reads, writes, "a matrix product");
}

/* op(x) (rows, columns), row-major. */
static std::vector<float> operand(const void *x, const Layout &layout, cublasOperation_t transpose)
{
    bool turned = transpose == CUBLAS_OP_T;
    size_t rows = turned ? layout.columns : layout.rows;
    size_t columns = turned ? layout.rows : layout.columns;
    auto leading = static_cast<size_t>(layout.leading);
    std::vector<float> numbers(rows * columns);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            numbers[i * columns + j] =
                number_at(x, layout.type, turned ? j + i * leading : i + j * leading);
    return numbers;
}

struct Product {
    cublasLtMatmulDescOpaque_t description;
    Layout a, b, c, d;
    const void *at_a, *at_b, *at_c;
    void *at_d;
    float alpha, beta;
};

static void check_apart(const Product &p, const void *x, const Layout &layout)
{
    auto end = [](const void *start, const Layout &of) {
        return static_cast<const unsigned char *>(start) +
               of.columns * static_cast<size_t>(of.leading) * bytes_of(of.type);
    };
    if (x < end(p.at_d, p.d) && p.at_d < end(x, layout))
        fault({}, "a matrix product: the result overlaps an operand");
}

static void multiply(const Product &p)
{
    size_t m = p.d.rows, n = p.d.columns;
    size_t k = p.description.transpose_a == CUBLAS_OP_T ? p.a.rows : p.a.columns;
    bool bias = (p.description.epilogue & 4) != 0, relu = (p.description.epilogue & 2) != 0;
    check_apart(p, p.at_a, p.a);
    check_apart(p, p.at_b, p.b);
    check_matrix(p.at_a, p.a, true, false);
    check_matrix(p.at_b, p.b, true, false);
    if (p.beta != 0.0f) check_matrix(p.at_c, p.c, true, false);
    check_matrix(p.at_d, p.d, false, true);
    if (bias)
        check_operand(p.description.bias, m * bytes_of(p.description.bias_type), true, false,
                      "a product's bias");
    std::vector<float> a = operand(p.at_a, p.a, p.description.transpose_a);
    std::vector<float> b = operand(p.at_b, p.b, p.description.transpose_b), row(n);
    for (size_t i = 0; i < m; i++) {
        std::fill(row.begin(), row.end(), 0.0f);
        for (size_t l = 0; l < k; l++)
            for (size_t j = 0; j < n; j++) row[j] += a[i * k + l] * b[l * n + j];
        for (size_t j = 0; j < n; j++) {
            size_t at_c = i + j * static_cast<size_t>(p.c.leading);
            float value = p.alpha * row[j];
            if (p.beta != 0.0f) value += p.beta * number_at(p.at_c, p.c.type, at_c);
            if (bias) value += number_at(p.description.bias, p.description.bias_type, i);
            if (relu && value < 0.0f) value = 0.0f;
            put_at(p.at_d, p.d.type, i + j * static_cast<size_t>(p.d.leading), value);
        }
    }
}

static bool fits(const cublasLtMatmulDescOpaque_t &description, const Layout &a, const Layout &b,
                 const Layout &c, const Layout &d)
{
    bool turned_a = description.transpose_a == CUBLAS_OP_T,
         turned_b = description.transpose_b == CUBLAS_OP_T;
    uint64_t m = turned_a ? a.columns : a.rows, k = turned_a ? a.rows : a.columns;
    uint64_t k_of_b = turned_b ? b.columns : b.rows, n = turned_b ? b.rows : b.columns;
    return k == k_of_b && d.rows == m && d.columns == n && c.rows == m && c.columns == n &&
           a.type == b.type && c.type == d.type && !(a.type == CUDA_R_32F && d.type != CUDA_R_32F);
}

/* What an algorithm was chosen for: the library may choose one that needs all that is promised. */
struct Promise {
    uint64_t workspace_bytes;
    uint32_t alignments[4];
};

static bool is_kept(const Promise &promise, const void *const (&matrices)[4], size_t workspace)
{
    for (int i = 0; i < 4; i++)
        if (reinterpret_cast<uintptr_t>(matrices[i]) % promise.alignments[i] != 0) return false;
    return workspace >= promise.workspace_bytes;
}

} // namespace emulation

using namespace emulation;

const char *cublasLtGetStatusName(cublasStatus_t status)
{
    switch (status) {
#define CUDA_EMULATION_BLAS_STATUS(name, value) \
    case name: return #name;
        CUDA_EMULATION_BLAS_STATUSES(CUDA_EMULATION_BLAS_STATUS)
#undef CUDA_EMULATION_BLAS_STATUS
    }
    return "unknown status";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = new cublasLtContext{};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *description,
                                        cublasComputeType_t compute, cudaDataType_t scale)
{
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    *description = new cublasLtMatmulDescOpaque_t{
        CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, nullptr, CUDA_R_32F, scale};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description)
{
    delete description;
    return CUBLAS_STATUS_SUCCESS;
}

template <typename T> static cublasStatus_t set(T &to, const void *value, size_t bytes)
{
    if (bytes != sizeof to) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes)
{
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return set(description->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return set(description->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return set(description->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return set(description->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return set(description->bias_type, value, bytes);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t leading)
{
    if (leading < static_cast<int64_t>(rows)) return CUBLAS_STATUS_INVALID_VALUE;
    *layout = new cublasLtMatrixLayoutOpaque_t{type, rows, columns, leading};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    *preference = new cublasLtMatmulPreferenceOpaque_t{0, {256, 256, 256, 256}};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t bytes)
{
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return set(preference->workspace_bytes, value, bytes);
    if (attribute >= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES &&
        attribute <= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES)
        return set(preference->alignments[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES],
                   value, bytes);
    return bytes == sizeof(uint32_t) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *found)
{
    *found = 0;
    if (wanted < 1 || !fits(*description, *a, *b, *c, *d)) return CUBLAS_STATUS_NOT_SUPPORTED;
    Promise promise = {preference->workspace_bytes, {}};
    for (int i = 0; i < 4; i++) promise.alignments[i] = std::max(preference->alignments[i], 1u);
    results[0] = {};
    results[0].workspaceSize = promise.workspace_bytes;
    static_assert(sizeof promise <= sizeof results[0].algo);
    memcpy(&results[0].algo, &promise, sizeof promise);
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream)
{
    if (!fits(*description, *a_layout, *b_layout, *c_layout, *d_layout))
        return CUBLAS_STATUS_INVALID_VALUE;
    /* Without an algorithm the library looks at the addresses itself. */
    Promise promise = {};
    cublasLtMatrixLayout_t layouts[4] = {a_layout, b_layout, c_layout, d_layout};
    for (int i = 0; i < 4; i++)
        promise.alignments[i] = static_cast<uint32_t>(bytes_of(layouts[i]->type));
    if (algorithm != nullptr) memcpy(&promise, algorithm, sizeof promise);
    if (!is_kept(promise, {a, b, c, d}, workspace_bytes)) return CUBLAS_STATUS_NOT_SUPPORTED;
    Product product = {*description,
                       *a_layout,
                       *b_layout,
                       *c_layout,
                       *d_layout,
                       a,
                       b,
                       c,
                       d,
                       *static_cast<const float *>(alpha),
                       *static_cast<const float *>(beta)};
    enqueue(stream, [=] {
        check_operand(workspace, workspace_bytes, false, false, "a product's workspace");
        multiply(product);
    });
    return CUBLAS_STATUS_SUCCESS;
}
