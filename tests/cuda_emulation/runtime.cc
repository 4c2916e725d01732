/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams and events. What is begun is kept and runs as late as the program allows: when something
 * waits for it, and then only what that depends on. So a wait that is missing shows.
 */
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "emulation.h"

struct Step {
    std::function<void()> work; /* or wait for this point of another stream */
    cudaStream_t other;
    uint64_t until;
};

struct CUstream_st {
    std::deque<Step> steps;
    uint64_t begun, done;
    bool destroyed; /* and kept: events that were recorded on it may still be asked */
};

struct CUevent_st {
    cudaStream_t stream; /* NULL: never recorded */
    uint64_t at;
    std::shared_ptr<std::chrono::steady_clock::time_point> moment;
};

namespace emulation {

constexpr size_t MOST_STEPS = 4096;

std::recursive_mutex lock;
/* Outlives the program's end, where leaks are looked for. */
static std::vector<cudaStream_t> &streams = *new std::vector<cudaStream_t>;
static thread_local cudaError_t last_error = cudaSuccess;

cudaError_t failing(cudaError_t error)
{
    if (error != cudaSuccess) last_error = error;
    return error;
}

static void advance(cudaStream_t stream, uint64_t until)
{
    while (stream->done < until) {
        Step step = std::move(stream->steps.front());
        stream->steps.pop_front();
        if (step.work)
            step.work();
        else
            advance(step.other, step.until);
        stream->done++;
    }
}

static void run_until(cudaStream_t stream, uint64_t until)
{
    if (stream->done >= until) return;
    open_device_memory();
    advance(stream, until);
    close_device_memory();
}

void run_everything()
{
    std::lock_guard guard(lock);
    for (cudaStream_t stream : streams) run_until(stream, stream->begun);
}

static cudaError_t add_step(cudaStream_t stream, Step step)
{
    if (stream == nullptr) fault({}, "the default stream is used; every call names its stream");
    if (stream->destroyed) fault({}, "a destroyed stream is used");
    stream->steps.push_back(std::move(step));
    stream->begun++;
    if (stream->steps.size() > MOST_STEPS) run_until(stream, stream->begun);
    return cudaSuccess;
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work)
{
    std::lock_guard guard(lock);
    return add_step(stream, {std::move(work), nullptr, 0});
}

/* --- which device ----------------------------------------------------------------------------- */

static std::string devices()
{
    const char *text = getenv("CUDA_EMULATION_DEVICES");
    if (text != nullptr && strcmp(text, "nodriver") == 0) return text;
    return std::to_string(setting("CUDA_EMULATION_DEVICES", 1));
}

int compute_capability()
{
    const char *text = getenv("CUDA_EMULATION_CAPABILITY");
    int major = 9, minor = 0;
    if (text != nullptr && sscanf(text, "%d.%d", &major, &minor) != 2)
        fault({}, "CUDA_EMULATION_CAPABILITY is \"%s\", expected for example 9.0", text);
    return 10 * major + minor;
}

/* CUDA C++ Programming Guide, "Technical specifications per compute capability". */
size_t most_shared_bytes()
{
    switch (compute_capability()) {
    case 80:
    case 87: return 163u * 1024u;
    case 86:
    case 89:
    case 120: return 99u * 1024u;
    default: return compute_capability() >= 90 ? 227u * 1024u : 64u * 1024u;
    }
}

/* Of the architectures that kernels are compiled for; all newer ones where it is not set. */
bool has_code()
{
    const char *text = getenv("CUDA_EMULATION_CODE");
    return text == nullptr || strstr(text, std::to_string(compute_capability()).c_str()) != nullptr;
}

} // namespace emulation

using namespace emulation;

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
#define CUDA_EMULATION_ERROR(name, value, text) \
    case name: return text;
        CUDA_EMULATION_ERRORS(CUDA_EMULATION_ERROR)
#undef CUDA_EMULATION_ERROR
    }
    return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
#define CUDA_EMULATION_ERROR(name, value, text) \
    case name: return #name;
        CUDA_EMULATION_ERRORS(CUDA_EMULATION_ERROR)
#undef CUDA_EMULATION_ERROR
    }
    return "unrecognized error code";
}

cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaGetLastError()
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 0;
    if (devices() == "nodriver") return failing(cudaErrorInsufficientDriver);
    *count = atoi(devices().c_str());
    return failing(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = devices() == "nodriver" ? 0 : CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

static int chosen_device;

cudaError_t cudaSetDevice(int device)
{
    int count;
    if (cudaGetDeviceCount(&count) != cudaSuccess || device < 0 || device >= count)
        return failing(cudaErrorInvalidDevice);
    if (setting("CUDA_EMULATION_BUSY", 0) != 0) return failing(cudaErrorDevicesUnavailable);
    chosen_device = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = chosen_device;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device)
{
    int count;
    if (cudaGetDeviceCount(&count) != cudaSuccess || device < 0 || device >= count)
        return failing(cudaErrorInvalidDevice);
    *properties = {};
    snprintf(properties->name, sizeof properties->name, "emulated GPU");
    properties->uuid.bytes[0] = static_cast<char>(1 + device);
    size_t free_bytes;
    cudaMemGetInfo(&free_bytes, &properties->totalGlobalMem);
    properties->sharedMemPerBlock = 48 * 1024;
    properties->sharedMemPerBlockOptin = most_shared_bytes();
    properties->major = compute_capability() / 10;
    properties->minor = compute_capability() % 10;
    properties->multiProcessorCount = 1;
    properties->maxThreadsPerBlock = 1024;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize()
{
    run_everything();
    return cudaSuccess;
}

/* --- streams and events ----------------------------------------------------------------------- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    std::lock_guard guard(lock);
    streams.push_back(*stream = new CUstream_st{});
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    std::lock_guard guard(lock);
    run_until(stream, stream->begun);
    stream->destroyed = true;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    std::lock_guard guard(lock);
    run_until(stream, stream->begun);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaStreamSynchronize(stream); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new CUevent_st{};
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    std::lock_guard guard(lock);
    auto moment = std::make_shared<std::chrono::steady_clock::time_point>();
    add_step(stream, {[moment] { *moment = std::chrono::steady_clock::now(); }, nullptr, 0});
    event->stream = stream;
    event->at = stream->begun;
    event->moment = moment;
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    std::lock_guard guard(lock);
    if (event->stream == nullptr) return cudaSuccess;
    return add_step(stream, {nullptr, event->stream, event->at});
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    std::lock_guard guard(lock);
    if (event->stream != nullptr) run_until(event->stream, event->at);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to)
{
    cudaEventSynchronize(from);
    cudaEventSynchronize(to);
    *milliseconds = std::chrono::duration<float, std::milli>(*to->moment - *from->moment).count();
    return cudaSuccess;
}

/* --- copies ----------------------------------------------------------------------------------- */

static void copy(void *to, const void *from, size_t bytes)
{
    if (is_device_address(from)) check_operand(from, bytes, true, false, "a copy");
    if (is_device_address(to)) check_operand(to, bytes, false, true, "a copy");
    auto *first = static_cast<const unsigned char *>(to);
    auto *second = static_cast<const unsigned char *>(from);
    if (first < second + bytes && second < first + bytes)
        fault({}, "a copy's ranges overlap: %zu bytes, %td apart", bytes, first - second);
    memcpy(to, from, bytes);
}

/* Pageable host memory is read at once; what is written into it is there when the call returns. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    std::lock_guard guard(lock);
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    if (bytes == 0) return cudaSuccess;
    if (is_device_address(from) != from_device || is_device_address(to) != to_device)
        fault({}, "a copy's direction is not that of its addresses");
    if (!from_device && !is_pinned(from, bytes)) {
        auto *start = static_cast<const unsigned char *>(from);
        std::vector<unsigned char> now(start, start + bytes);
        return enqueue(stream, [to, bytes, now] { copy(to, now.data(), bytes); });
    }
    enqueue(stream, [=] { copy(to, from, bytes); });
    if (!to_device && !is_pinned(to, bytes)) return cudaStreamSynchronize(stream);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *start, int value, size_t bytes, cudaStream_t stream)
{
    return enqueue(stream, [=] {
        check_operand(start, bytes, false, true, "cudaMemset");
        memset(start, value, bytes);
    });
}
