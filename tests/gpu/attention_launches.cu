/* SPDX-License-Identifier: Apache-2.0
 *
 * How the kernels of attention are begun, without a GPU: their sources are compiled once more with
 * a launch() that tells instead of beginning anything. For roofline.sh; a line for each launch:
 *
 *     sizes  kernel of bench_kernels  function  head size  blocks  threads  shared bytes
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "src/tensor/cuda/context.cuh"

extern "C" {
#include "tests/gpu/stage.h"
}

static const Kernel *called;

template <typename... Parameters, typename... Arguments>
static void tell(const char *text, const Device *device, void (*)(Parameters...), dim3 blocks,
                 int threads, size_t shared_bytes, Arguments...)
{
    const Sizes *s = static_cast<const Stage *>(device->context)->sizes;
    std::printf("%s\t%s\t%.*s\t%d\t%lld\t%d\t%zu\n", s->name, called->name,
                static_cast<int>(std::strcspn(text, "<,")), text, s->width / s->heads,
                static_cast<long long>(blocks.x) * blocks.y * blocks.z, threads, shared_bytes);
}

#define launch(device, ...) tell(#__VA_ARGS__, device, __VA_ARGS__)

#include "src/tensor/cuda/attention_backward.cu"
#include "src/tensor/cuda/attention_backward_keys.cu"
#include "src/tensor/cuda/attention_backward_positions.cu"
#include "src/tensor/cuda/attention_backward_queries.cu"
#include "src/tensor/cuda/attention_call.cu"
#include "src/tensor/cuda/attention_forward.cu"
#include "src/tensor/cuda/attention_usage.cu"

/* --- in place of context.cu and of memory ----------------------------------------------------- */

static void *somewhere() { return reinterpret_cast<void *>(256); } /* nobody goes there */

[[noreturn]] void cuda_failed(cudaError_t, const char *, const char *, int) { std::abort(); }
cudaStream_t cuda_stream(Device *) { return nullptr; }
Status cuda_workspace_reserve(Device *, size_t) { return PAL_OK; }
void *cuda_workspace(Device *, size_t) { return somewhere(); }
const void *cuda_argument(Device *, const void *host, size_t) { return host; }

/* Argument: the number type. */
int main(int count, char **words)
{
    bool bfloat16 = count > 1 && std::strcmp(words[1], "bfloat16") == 0;
    DeviceOps operations = {};
    operations.allocate = [](Device *, size_t) { return somewhere(); };
    operations.release = [](Device *, void *) {};
    operations.upload = [](Device *, Tensor, const Real *) {};
    operations.reserve_attention = cuda_reserve_attention;
    operations.attention_forward = cuda_attention_forward;
    operations.attention_backward = cuda_attention_backward;
    operations.attention_usage = cuda_attention_usage;
    for (const char *name : {"pg19", "enwik8"}) {
        Stage stage;
        Device device = {};
        device.op = &operations;
        device.context = &stage;
        Sizes sizes = *sizes_find(name);
        sizes.operands = bfloat16 ? NUMBER_BFLOAT16 : NUMBER_FLOAT32;
        stage_begin(&stage, &device, &sizes);
        attention_kernels.prepare(&stage);
        for (int i = 0; i < attention_kernels.count; i++) {
            called = &attention_kernels.kernels[i];
            called->run(&stage);
        }
        stage_end(&stage);
    }
    return EXIT_SUCCESS;
}
