/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix products by cuBLASLt. Its matrices are column-major, where a row-major (m,n) is a (n,m):
 * c = a b is computed as c^T = b^T a^T, with no transposition of anything. Which of its algorithms
 * is fastest the library guesses once per shape; only those are asked for that add up in a fixed
 * order.
 */
#include <unordered_map>

#include "src/tensor/cuda/context.cuh"
#include "src/tensor/cuda/cuda_ops.cuh"
#include "src/tensor/cuda/numbers.cuh"
#include "src/tensor/cuda/product_library.cuh"

/* What an algorithm is chosen for. */
struct ProductShape {
    int64_t m, n, k;
    bool transpose_a, transpose_b, accumulate, bias, relu;
    NumberType operands, result; /* of a and b; of c and the bias */
    int alignment;               /* of all pointers, in bytes: 2, 4, 8, ... */

    bool operator==(const ProductShape &other) const
    {
        return m == other.m && n == other.n && k == other.k && transpose_a == other.transpose_a &&
               transpose_b == other.transpose_b && accumulate == other.accumulate &&
               bias == other.bias && relu == other.relu && operands == other.operands &&
               result == other.result && alignment == other.alignment;
    }
};

struct ProductHash {
    size_t operator()(const ProductShape &shape) const
    {
        size_t flags = static_cast<size_t>(shape.transpose_a) + 2u * shape.transpose_b +
                       4u * shape.accumulate + 8u * shape.bias + 16u * shape.relu +
                       32u * static_cast<size_t>(shape.operands) +
                       64u * static_cast<size_t>(shape.result) +
                       128u * static_cast<size_t>(shape.alignment);
        size_t hash = flags;
        for (int64_t size : {shape.m, shape.n, shape.k})
            hash = hash * 1000003u + static_cast<size_t>(size);
        return hash;
    }
};

struct PlannedProduct {
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
};

struct ProductCache {
    cublasLtHandle_t handle;
    void *workspace;
    std::unordered_map<ProductShape, PlannedProduct, ProductHash> planned;
};

static void check(cublasStatus_t status, const ProductShape &shape, const char *what)
{
    if (status == CUBLAS_STATUS_SUCCESS) return;
    fatal(PAL_ERROR_UNAVAILABLE,
          "cuBLASLt failed to %s for a product (%lld,%lld) x (%lld,%lld): %s", what,
          static_cast<long long>(shape.m), static_cast<long long>(shape.k),
          static_cast<long long>(shape.k), static_cast<long long>(shape.n),
          product_library.cublasLtGetStatusName(status));
}

Status product_cache_create(ProductCache **products)
{
    PAL_TRY(product_library_load());
    cublasLtHandle_t handle;
    void *workspace;
    cublasStatus_t status = product_library.cublasLtCreate(&handle);
    if (status != CUBLAS_STATUS_SUCCESS)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE,
                 "cuBLASLt cannot begin on this GPU: %s; another process may have filled it "
                 "(nvidia-smi shows them), or set device.name = cpu",
                 product_library.cublasLtGetStatusName(status));
    cudaError_t error = cudaMalloc(&workspace, PRODUCT_SCRATCH_BYTES);
    if (error != cudaSuccess) {
        (void)cudaGetLastError(); /* it is answered here */
        check(product_library.cublasLtDestroy(handle), {}, "end");
        PAL_FAIL(PAL_ERROR_UNAVAILABLE,
                 "the GPU is full: it has no %zu MiB for matrix products (%s); another process may "
                 "have filled it (nvidia-smi shows them), or set device.name = cpu",
                 PRODUCT_SCRATCH_BYTES >> 20, cudaGetErrorString(error));
    }
    *products = new ProductCache{handle, workspace, {}};
    return PAL_OK;
}

void product_cache_destroy(ProductCache *products)
{
    for (auto &[shape, product] : products->planned) {
        check(product_library.cublasLtMatmulDescDestroy(product.operation), shape, "end");
        for (cublasLtMatrixLayout_t layout : {product.a, product.b, product.c})
            check(product_library.cublasLtMatrixLayoutDestroy(layout), shape, "end");
    }
    check(product_library.cublasLtDestroy(products->handle), {}, "end");
    PAL_CUDA(cudaFree(products->workspace));
    delete products;
}

template <typename T>
static void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, T value,
                const ProductShape &shape)
{
    check(
        product_library.cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value),
        shape, "describe what to do");
}

static cudaDataType_t data_type(NumberType type)
{
    return type == NUMBER_BFLOAT16 ? CUDA_R_16BF : CUDA_R_32F;
}

/* The library's view of a row-major (rows, columns). */
static cublasLtMatrixLayout_t layout_of(int64_t rows, int64_t columns, NumberType type,
                                        const ProductShape &shape)
{
    cublasLtMatrixLayout_t layout;
    check(product_library.cublasLtMatrixLayoutCreate(&layout, data_type(type),
                                                     static_cast<uint64_t>(columns),
                                                     static_cast<uint64_t>(rows), columns),
          shape, "describe a matrix");
    return layout;
}

static cublasLtEpilogue_t epilogue_of(const ProductShape &shape)
{
    if (shape.bias) return shape.relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
    return shape.relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
}

static cublasLtMatmulAlgo_t choose(const ProductCache *products, const ProductShape &shape,
                                   const PlannedProduct &product)
{
    cublasLtMatmulPreference_t preference;
    check(product_library.cublasLtMatmulPreferenceCreate(&preference), shape, "begin to choose");
    auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
        check(product_library.cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value,
                                                                   sizeof value),
              shape, "say what is preferred");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(PRODUCT_SCRATCH_BYTES));
    /* In a fixed order, and partial sums in float32, be they in the workspace or in the result. */
    uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    if (shape.result == NUMBER_FLOAT32) reductions |= CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions);
    for (auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
        prefer(attribute, static_cast<uint32_t>(shape.alignment));

    cublasLtMatmulHeuristicResult_t best = {};
    int found = 0;
    check(product_library.cublasLtMatmulAlgoGetHeuristic(products->handle, product.operation,
                                                         product.b, product.a, product.c, product.c,
                                                         preference, 1, &best, &found),
          shape, "choose an algorithm");
    check(found > 0 ? best.state : CUBLAS_STATUS_NOT_SUPPORTED, shape, "find an algorithm");
    check(product_library.cublasLtMatmulPreferenceDestroy(preference), shape, "end choosing");
    return best.algo;
}

static PlannedProduct plan(const ProductCache *products, const ProductShape &shape,
                           const void *bias)
{
    PlannedProduct product = {};
    check(product_library.cublasLtMatmulDescCreate(&product.operation, CUBLAS_COMPUTE_32F,
                                                   CUDA_R_32F),
          shape, "describe what to do");
    /* The library's first operand is our b. */
    set(product.operation, CUBLASLT_MATMUL_DESC_TRANSA,
        shape.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, shape);
    set(product.operation, CUBLASLT_MATMUL_DESC_TRANSB,
        shape.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, shape);
    set(product.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(shape), shape);
    /* Later calls set their own; the choice may look at it. */
    if (shape.bias) {
        set(product.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias, shape);
        set(product.operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE,
            static_cast<int32_t>(data_type(shape.result)), shape);
    }
    bool turned_a = shape.transpose_a, turned_b = shape.transpose_b;
    product.a = layout_of(turned_a ? shape.k : shape.m, turned_a ? shape.m : shape.k,
                          shape.operands, shape);
    product.b = layout_of(turned_b ? shape.n : shape.k, turned_b ? shape.k : shape.n,
                          shape.operands, shape);
    product.c = layout_of(shape.m, shape.n, shape.result, shape);
    product.algorithm = choose(products, shape, product);
    return product;
}

/* The largest power of two, up to 256, that divides all addresses. */
static int common_alignment(const void *a, const void *b, const void *c, const void *bias)
{
    uintptr_t bits = 256;
    for (const void *address : {a, b, c, bias}) bits |= reinterpret_cast<uintptr_t>(address);
    return static_cast<int>(bits & (~bits + 1));
}

static void multiply(Device *device, const ProductShape &shape, void *c, const void *a,
                     const void *b, const void *bias)
{
    ProductCache *products = cuda_context(device)->products;
    auto entry = products->planned.find(shape);
    if (entry == products->planned.end())
        entry = products->planned.emplace(shape, plan(products, shape, bias)).first;
    const PlannedProduct &product = entry->second;
    if (shape.bias) set(product.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias, shape);
    float one = 1.0f, before = shape.accumulate ? 1.0f : 0.0f;
    check(product_library.cublasLtMatmul(products->handle, product.operation, &one, b, product.b, a,
                                         product.a, &before, c, product.c, c, product.c,
                                         &product.algorithm, products->workspace,
                                         PRODUCT_SCRATCH_BYTES, cuda_stream(device)),
          shape, "multiply");
}

/* --- without numbers to multiply -------------------------------------------------------------- */

template <typename T>
static __global__ void finish_empty(T *c, const T *bias, int64_t count, int64_t n, bool accumulate,
                                    bool relu)
{
    for (int64_t i = first_element(); i < count; i += element_stride()) {
        float value =
            (accumulate ? to_float(c[i]) : 0.0f) + (bias != nullptr ? to_float(bias[i % n]) : 0.0f);
        c[i] = to_number<T>(relu && value <= 0 ? 0.0f : value);
    }
}

void cuda_matmul(Device *device, Tensor c, Tensor a, Tensor b, MatmulOptions options)
{
    c = tensor_as_matrix(c);
    a = tensor_as_matrix(a);
    b = tensor_as_matrix(b);
    ProductShape shape = {c.dims[0],
                          c.dims[1],
                          options.transpose_a ? a.dims[0] : a.dims[1],
                          options.transpose_a,
                          options.transpose_b,
                          options.accumulate,
                          tensor_exists(options.bias),
                          options.relu,
                          a.type,
                          c.type,
                          common_alignment(a.data, b.data, c.data, options.bias.data)};
    int64_t m = shape.m, n = shape.n, k = shape.k;
    PAL_ASSERT(!(options.relu && options.accumulate));
    PAL_ASSERT(a.type == b.type && !(a.type == NUMBER_FLOAT32 && c.type == NUMBER_BFLOAT16));
    PAL_ASSERT(!tensor_exists(options.bias) ||
               (tensor_count(options.bias) == n && options.bias.type == c.type));
    if (m == 0 || n == 0) return;
    if (k == 0) {
        for_type(c.type, [&]<typename T>() {
            launch(device, finish_empty<T>, blocks_for_elements(m * n), BLOCK, 0, numbers_of<T>(c),
                   numbers_of<T>(options.bias), m * n, n, options.accumulate, options.relu);
        });
        return;
    }
    PAL_ASSERT((options.transpose_a ? a.dims[1] : a.dims[0]) == m);
    PAL_ASSERT((options.transpose_b ? b.dims[1] : b.dims[0]) == k);
    PAL_ASSERT((options.transpose_b ? b.dims[0] : b.dims[1]) == n);
    device_count(device,
                 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k));
    multiply(device, shape, c.data, a.data, b.data, options.bias.data);
}
