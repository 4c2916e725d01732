/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/whereabouts.h"

#include <stdatomic.h>

#include "src/base/timer.h"

/* Each value by itself: whoever reads them while they change may see the old one of one and the new
 * one of another, which does no harm where nothing has changed for minutes. */
static struct {
    _Atomic(Section) section;
    _Atomic int64_t update, meetings;
    _Atomic double progressed;
    _Atomic(const char *) operation, group;
    atomic_bool waits;
} now;

#define SET(member, value) atomic_store_explicit(&now.member, value, memory_order_relaxed)
#define GET(member)        atomic_load_explicit(&now.member, memory_order_relaxed)

const char *section_name(Section section)
{
    static const char *const names[SECTION_COUNT] = {
#define PAL_SECTION_ENTRY(name, text) [name] = text,
        PAL_SECTION_LIST(PAL_SECTION_ENTRY)
#undef PAL_SECTION_ENTRY
    };
    return names[section];
}

void whereabouts_enter(Section section)
{
    SET(progressed, timer_seconds());
    SET(section, section);
}

void whereabouts_update(int64_t update) { SET(update, update); }

void whereabouts_progress(void) { SET(progressed, timer_seconds()); }

void whereabouts_progress_in(Section section)
{
    if (GET(section) == section) SET(progressed, timer_seconds());
}

void whereabouts_meet(const char *operation, const char *group)
{
    SET(operation, operation);
    SET(group, group);
    SET(meetings, GET(meetings) + 1);
    SET(waits, true);
}

void whereabouts_met(void) { SET(waits, false); }

Whereabouts whereabouts_now(void)
{
    return (Whereabouts){
        .section = GET(section),
        .update = GET(update),
        .progressed = GET(progressed),
        .operation = GET(operation),
        .group = GET(group),
        .waits = GET(waits),
        .meetings = GET(meetings),
    };
}
