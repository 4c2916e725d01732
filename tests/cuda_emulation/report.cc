/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "emulation.h"

namespace emulation {

unsigned long long setting(const char *name, unsigned long long otherwise)
{
    const char *text = getenv(name);
    if (text == nullptr || *text == '\0') return otherwise;
    if (strspn(text, "0123456789") != strlen(text))
        fault({}, "%s is \"%s\", expected a whole number", name, text);
    return strtoull(text, nullptr, 10);
}

/* Prints "function at file:line" of an address in this program, by addr2line. */
static void print_symbol(const void *address, const char *options)
{
    Dl_info found;
    char command[512], line[512];
    if (address == nullptr || dladdr(address, &found) == 0) return;
    auto offset = static_cast<const char *>(address) - static_cast<const char *>(found.dli_fbase);
    snprintf(command, sizeof command, "addr2line -C -p %s -e '%s' 0x%lx 2>/dev/null", options,
             found.dli_fname, static_cast<unsigned long>(offset));
    FILE *pipe = popen(command, "r");
    if (pipe == nullptr) return;
    while (fgets(line, sizeof line, pipe) != nullptr) fprintf(stderr, "    %s", line);
    pclose(pipe);
}

static void print_thread()
{
    dim3 block = current.launch->config.blockDim;
    unsigned thread = current.thread;
    fprintf(stderr, "  in thread (%u,%u,%u) of block (%u,%u,%u) of the kernel\n", thread % block.x,
            thread / block.x % block.y, thread / (block.x * block.y), blockIdx.x, blockIdx.y,
            blockIdx.z);
    print_symbol(current.launch->kernel, "-f");
}

void fault(Place place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "cuda emulation: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    if (runs_kernel) print_thread();
    runs_kernel = false;
    if (place.file != nullptr) fprintf(stderr, "  at %s:%d\n", place.file, place.line);
    if (place.address != nullptr) {
        fprintf(stderr, "  at\n");
        /* The call returns behind the access. */
        print_symbol(static_cast<const char *>(place.address) - 1, "-f -i");
    }
    fflush(stderr);
    abort();
}

} // namespace emulation
