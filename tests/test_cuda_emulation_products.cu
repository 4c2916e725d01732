/* SPDX-License-Identifier: Apache-2.0
 *
 * The emulation of cuBLASLt against plain loops in its own, column-major, terms: odd sizes, all
 * transpositions, rows of padding, epilogues, float32 and bfloat16; and what it must refuse.
 */
#include <cublasLt.h>
#include <cuda_bf16.h>

#include <cmath>
#include <cstring>

#include "tests/emulated_kernels.h"

static cublasLtHandle_t handle;

static void fine(cublasStatus_t status)
{
    if (status != CUBLAS_STATUS_SUCCESS) fail_msg("%s", cublasLtGetStatusName(status));
}

struct Case {
    uint64_t m, n, k;
    bool transpose_a, transpose_b;
    cublasLtEpilogue_t epilogue;
    float alpha, beta;
    uint64_t padding; /* behind every column */
};

struct Described {
    cublasLtMatmulDesc_t what;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulHeuristicResult_t chosen;
};

static cublasLtMatrixLayout_t layout(cudaDataType type, uint64_t rows, uint64_t columns,
                                     uint64_t padding)
{
    cublasLtMatrixLayout_t made;
    fine(cublasLtMatrixLayoutCreate(&made, type, rows, columns,
                                    static_cast<int64_t>(rows + padding)));
    return made;
}

/* `alignment` 0: the library's own, 256. */
static Described describe(const Case &c, cudaDataType type, const float *bias, uint32_t alignment)
{
    Described made = {};
    cublasOperation_t a = c.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
                      b = c.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    fine(cublasLtMatmulDescCreate(&made.what, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    fine(cublasLtMatmulDescSetAttribute(made.what, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a));
    fine(cublasLtMatmulDescSetAttribute(made.what, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b));
    fine(cublasLtMatmulDescSetAttribute(made.what, CUBLASLT_MATMUL_DESC_EPILOGUE, &c.epilogue,
                                        sizeof c.epilogue));
    fine(cublasLtMatmulDescSetAttribute(made.what, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                        sizeof bias));
    made.a = layout(type, c.transpose_a ? c.k : c.m, c.transpose_a ? c.m : c.k, c.padding);
    made.b = layout(type, c.transpose_b ? c.n : c.k, c.transpose_b ? c.k : c.n, c.padding);
    made.c = layout(CUDA_R_32F, c.m, c.n, c.padding);
    cublasLtMatmulPreference_t preference;
    fine(cublasLtMatmulPreferenceCreate(&preference));
    for (int i = 0; i < 4 && alignment != 0; i++)
        fine(cublasLtMatmulPreferenceSetAttribute(
            preference,
            static_cast<cublasLtMatmulPreferenceAttributes_t>(
                CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES + i),
            &alignment, sizeof alignment));
    int found;
    fine(cublasLtMatmulAlgoGetHeuristic(handle, made.what, made.a, made.b, made.c, made.c,
                                        preference, 1, &made.chosen, &found));
    assert_int_equal(found, 1);
    fine(cublasLtMatmulPreferenceDestroy(preference));
    return made;
}

static void forget(const Described &made)
{
    fine(cublasLtMatmulDescDestroy(made.what));
    for (cublasLtMatrixLayout_t each : {made.a, made.b, made.c})
        fine(cublasLtMatrixLayoutDestroy(each));
}

static cublasStatus_t multiply(const Described &made, const Case &c, float *d, const void *a,
                               const void *b)
{
    return cublasLtMatmul(handle, made.what, &c.alpha, a, made.a, b, made.b, &c.beta, d, made.c, d,
                          made.c, &made.chosen.algo, nullptr, 0, stream);
}

/* Small numbers that bfloat16 has exactly, of both signs. */
static std::vector<float> numbers(size_t count, unsigned seed)
{
    std::vector<float> made(count);
    for (float &number : made) {
        seed = seed * 1664525u + 1013904223u;
        number = static_cast<float>(static_cast<int>(seed >> 28) - 8) / 4.0f;
    }
    return made;
}

static std::vector<float> plain(const Case &c, const std::vector<float> &a,
                                const std::vector<float> &b, const std::vector<float> &bias,
                                std::vector<float> d)
{
    uint64_t lda = (c.transpose_a ? c.k : c.m) + c.padding,
             ldb = (c.transpose_b ? c.n : c.k) + c.padding, ldd = c.m + c.padding;
    for (uint64_t i = 0; i < c.m; i++)
        for (uint64_t j = 0; j < c.n; j++) {
            double sum = 0;
            for (uint64_t l = 0; l < c.k; l++)
                sum += static_cast<double>(a[c.transpose_a ? l + i * lda : i + l * lda]) *
                       b[c.transpose_b ? j + l * ldb : l + j * ldb];
            double value = c.alpha * sum + (c.beta != 0 ? c.beta * d[i + j * ldd] : 0);
            if ((c.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0) value += bias[i];
            if ((c.epilogue & CUBLASLT_EPILOGUE_RELU) != 0) value = std::fmax(value, 0.0);
            d[i + j * ldd] = static_cast<float>(value);
        }
    return d;
}

static void check(const Case &c, bool in_bfloat16)
{
    size_t padding = c.padding;
    std::vector<float>
        a = numbers(((c.transpose_a ? c.k : c.m) + padding) * (c.transpose_a ? c.m : c.k), 1),
        b = numbers(((c.transpose_b ? c.n : c.k) + padding) * (c.transpose_b ? c.k : c.n), 2),
        before = numbers((c.m + padding) * c.n, 3), bias = numbers(c.m, 4);
    std::vector<__nv_bfloat16> short_a, short_b;
    for (float x : a) short_a.push_back(__float2bfloat16(x));
    for (float x : b) short_b.push_back(__float2bfloat16(x));
    float *d = on_device(before), *on_bias = on_device(bias);
    void *on_a = in_bfloat16 ? static_cast<void *>(on_device(short_a)) : on_device(a);
    void *on_b = in_bfloat16 ? static_cast<void *>(on_device(short_b)) : on_device(b);
    Described made = describe(c, in_bfloat16 ? CUDA_R_16BF : CUDA_R_32F, on_bias, 4);
    fine(multiply(made, c, d, on_a, on_b));
    std::vector<float> found = read_back(d, static_cast<int>(before.size()));
    std::vector<float> expected = plain(c, a, b, bias, before);
    /* Quarters, few of them: sums are exact, also where alpha and beta are. */
    for (size_t i = 0; i < found.size(); i++) assert_true(found[i] == expected[i]);
    forget(made);
    for (void *each : {static_cast<void *>(d), static_cast<void *>(on_bias), on_a, on_b})
        succeed(cudaFree(each));
}

static void products_agree_with_plain_loops(void **)
{
    for (int turned = 0; turned < 4; turned++)
        for (cublasLtEpilogue_t epilogue : {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_BIAS,
                                            CUBLASLT_EPILOGUE_RELU, CUBLASLT_EPILOGUE_RELU_BIAS})
            for (uint64_t padding : {0, 3})
                for (bool in_bfloat16 : {false, true}) {
                    bool a = turned % 2 != 0, b = turned / 2 != 0;
                    check({7, 5, 13, a, b, epilogue, 1.0f, 0.0f, padding}, in_bfloat16);
                    check({1, 33, 3, a, b, epilogue, 0.5f, 2.0f, padding}, in_bfloat16);
                }
}

/* --- what it refuses -------------------------------------------------------------------------- */

static const Case SMALL = {5, 4, 3, false, false, CUBLASLT_EPILOGUE_DEFAULT, 1.0f, 0.0f, 0};

static void an_alignment_that_was_promised_is_held_to(void **)
{
    float *x = counting(300), *d = counting(100);
    Described lax = describe(SMALL, CUDA_R_32F, nullptr, 4),
              own = describe(SMALL, CUDA_R_32F, nullptr, 0);
    fine(multiply(lax, SMALL, d, x + 1, x + 65));
    fine(multiply(own, SMALL, d, x, x + 64));
    assert_int_equal(multiply(own, SMALL, d, x + 1, x + 64), CUBLAS_STATUS_NOT_SUPPORTED);
    assert_int_equal(multiply(own, SMALL, d + 4, x, x + 64), CUBLAS_STATUS_NOT_SUPPORTED);
    succeed(cudaStreamSynchronize(stream));
    forget(lax);
    forget(own);
    succeed(cudaFree(x));
    succeed(cudaFree(d));
}

static void operands_lie_in_memory_that_was_written(void **)
{
    float *x = counting(27), *d = counting(20), *unwritten;
    succeed(cudaMalloc(&unwritten, 60));
    Described made = describe(SMALL, CUDA_R_32F, nullptr, 4);
    fine(multiply(made, SMALL, d, x, x + 15));
    succeed(cudaStreamSynchronize(stream));
    expect_fault("not within one allocation", [&] { multiply(made, SMALL, d, x, x + 16); });
    expect_fault("not within one allocation", [&] { multiply(made, SMALL, d + 1, x, x + 15); });
    expect_fault("never-written", [&] { multiply(made, SMALL, d, unwritten, x); });
    expect_fault("overlaps an operand", [&] { multiply(made, SMALL, x + 7, x, x + 15); });
    forget(made);
    for (float *each : {x, d, unwritten}) succeed(cudaFree(each));
}

static void shapes_must_fit(void **)
{
    cublasLtMatrixLayout_t wrong;
    assert_int_equal(cublasLtMatrixLayoutCreate(&wrong, CUDA_R_32F, 5, 3, 4),
                     CUBLAS_STATUS_INVALID_VALUE);
    float *x = counting(64);
    Described made = describe(SMALL, CUDA_R_32F, nullptr, 4);
    fine(cublasLtMatrixLayoutDestroy(made.b));
    made.b = layout(CUDA_R_32F, 2, 4, 0);
    assert_true(multiply(made, SMALL, x + 40, x, x + 15) != CUBLAS_STATUS_SUCCESS);
    forget(made);
    succeed(cudaFree(x));
}

int main()
{
    succeed(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    fine(cublasLtCreate(&handle));
    const CMUnitTest tests[] = {
        cmocka_unit_test(products_agree_with_plain_loops),
        cmocka_unit_test(an_alignment_that_was_promised_is_held_to),
        cmocka_unit_test(operands_lie_in_memory_that_was_written),
        cmocka_unit_test(shapes_must_fit),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
