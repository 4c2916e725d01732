/* SPDX-License-Identifier: Apache-2.0
 *
 * Status: how functions that meet the outside world (files, configuration, data, allocation) fail.
 *
 * A Status is also the exit status of the program (sysexits.h numbers), so main() just returns it.
 * The message of the failure is kept beside it, one per thread, until the next failure:
 *
 *     if (found != wanted)
 *         PAL_FAIL(PAL_ERROR_DATA, "%s: found %d rows, expected %d; try ...", path, found, wanted);
 *     PAL_TRY(file_open(&file, path));
 *
 * A message says where, what was found, what was expected and what to try.
 * Compute code cannot fail: its preconditions are PAL_ASSERT, which names the place and ends all
 * ranks (fatal.h).
 */
#ifndef PAL_BASE_STATUS_H
#define PAL_BASE_STATUS_H

#define PAL_NORETURN __attribute__((noreturn)) /* C and C++ */

#define PAL_STATUS_LIST(X)                                                      \
    X(PAL_OK, 0, "finished")                                                    \
    X(PAL_ERROR_USAGE, 64, "wrong use of the command line")                     \
    X(PAL_ERROR_DATA, 65, "wrong input data")                                   \
    X(PAL_ERROR_NO_INPUT, 66, "input not found")                                \
    X(PAL_ERROR_UNAVAILABLE, 69, "a needed resource is not available")          \
    X(PAL_ERROR_INTERNAL, 70, "internal error, or training has diverged")       \
    X(PAL_ERROR_HUNG, 71, "no progress, ended by the watchdog, start it again") \
    X(PAL_ERROR_BUSY, 72, "another process is writing there")                   \
    X(PAL_ERROR_CANT_CREATE, 73, "output cannot be created")                    \
    X(PAL_ERROR_IO, 74, "input/output error")                                   \
    X(PAL_STOPPED_EARLY, 75, "stopped early as asked, start it again")          \
    X(PAL_ERROR_VERSION, 76, "a file of another version of palimpsest")         \
    X(PAL_ERROR_CONFIG, 78, "wrong configuration")

typedef enum Status {
#define PAL_STATUS_ENTRY(name, value, text) name = value,
    PAL_STATUS_LIST(PAL_STATUS_ENTRY)
#undef PAL_STATUS_ENTRY
} Status;

/* The message of this thread's latest failure; empty when there was none. */
const char *status_message(void);

/* Sets the message; used through the two macros below. */
void status_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Replaces this thread's message by one that came from elsewhere (another rank). */
void status_set_message(const char *text);

/* The value `status`, with a message; and the return from a function with it. */
#define PAL_FAILURE(status, ...) (status_fail(__FILE__, __LINE__, __VA_ARGS__), (status))
#define PAL_FAIL(status, ...)    return PAL_FAILURE((status), __VA_ARGS__)

#define PAL_TRY(call)                                        \
    do {                                                     \
        Status pal_try_status = (call);                      \
        if (pal_try_status != PAL_OK) return pal_try_status; \
    } while (0)

PAL_NORETURN void status_assert_failed(const char *file, int line, const char *what);

#if defined(PAL_CHECKED) || defined(__clang_analyzer__) /* clang-tidy counts on them */
#define PAL_ASSERT(condition) \
    ((condition) ? (void)0 : status_assert_failed(__FILE__, __LINE__, #condition))
#else
#define PAL_ASSERT(condition) ((void)sizeof((condition) ? 1 : 0))
#endif

#endif
