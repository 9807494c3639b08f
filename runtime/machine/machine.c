/*
 * machine.c - what anyone may ask a compiled machine.
 */
#include <string.h>

#include "machine/compiled.h"
#include "machine/source.h"

void pawl_machine_destroy(struct pawl_machine *machine)
{
    /* The source owns the memory; it is constant to all but this call. */
    if (machine)
        pawl__source_destroy((struct machine_source *)(uintptr_t)machine->source);
}

uint64_t pawl_machine_hash(const struct pawl_machine *machine)
{
    return machine->hash;
}

const char *pawl_machine_name(const struct pawl_machine *machine)
{
    return machine->name;
}

size_t pawl_machine_state_count(const struct pawl_machine *machine)
{
    return machine->states_count;
}

size_t pawl_machine_event_count(const struct pawl_machine *machine)
{
    return machine->events_count;
}

const char *pawl_machine_state_name(const struct pawl_machine *machine, unsigned state)
{
    return state < machine->states_count ? machine->states[state].name : "?";
}

const char *pawl_machine_event_name(const struct pawl_machine *machine, unsigned event)
{
    return event < machine->events_count ? machine->events[event] : "?";
}

int pawl_machine_state(const struct pawl_machine *machine, const char *name)
{
    for (unsigned i = 0; name && i < machine->states_count; i++) {
        if (strcmp(machine->states[i].name, name) == 0)
            return (int)i;
    }
    return -ENOENT;
}

int pawl_machine_event(const struct pawl_machine *machine, const char *name)
{
    for (unsigned i = 0; name && i < machine->events_count; i++) {
        if (strcmp(machine->events[i], name) == 0)
            return (int)i;
    }
    return -ENOENT;
}
