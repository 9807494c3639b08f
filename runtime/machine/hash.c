/*
 * hash.c - a machine's hash, for a stranger to compute as well:
 *
 * FNV-1a of 64 bits (start 0xcbf29ce484222325, prime 0x100000001b3) over the bytes of these fields,
 * in this order.
 *   number     8 bytes, least significant first
 *   string     its length as a number, then its bytes without the closing zero
 *   position   of the state or event in its table, + 1; 0 when there is none; a number
 *   presence   the number 1 when there is such a function, else 0
 *   set        how many there are as a number, then the positions, ascending
 *
 *   1  string    "pawl machine 1", which changes when this list does
 *   2  string    name
 *   3  number    count of events; for each: string name
 *   4  number    count of states; for each:
 *        string name, position parent, position initial, number flags, presence entry,
 *        presence exit, set raises, set defers, number timeout_ns, position timeout
 *   5  number    count of transitions; for each:
 *        position from, position on, position to, presence guard, presence action, set raises,
 *        number flags
 *   6  number    count of named timers; for each: string name, position event
 *   7  position  initial (that of the first state when the definition names none)
 *      position  cancel
 *      number    context_size
 *      number    unexpected (ignore 0, refuse 1, defer 2)
 *      number    durability (memory 0, async 1, sync 2)
 *      number    deferred_max (64 when the definition says 0)
 *
 * Labels are for drawings only and do not count. Lists of raised and deferred events are sets, so
 * their order does not count either; the order of the tables does, because positions are what events
 * and states are called at run time.
 */
#include "machine/hash.h"

#include <string.h>

static void add_byte(uint64_t *hash, unsigned byte)
{
    *hash = (*hash ^ byte) * UINT64_C(0x100000001b3);
}

static void add_number(uint64_t *hash, uint64_t number)
{
    for (unsigned i = 0; i < 8; i++)
        add_byte(hash, (unsigned)(number >> (8 * i)) & 0xffu);
}

static void add_string(uint64_t *hash, const char *string)
{
    add_number(hash, strlen(string));
    for (; *string; string++)
        add_byte(hash, (unsigned char)*string);
}

static void add_position(uint64_t *hash, unsigned position)
{
    add_number(hash, position == SOURCE_NONE ? 0 : position + 1u);
}

static void add_set(uint64_t *hash, const struct event_set *set)
{
    add_number(hash, set->count);
    for (unsigned i = 0; i < set->count; i++)
        add_position(hash, set->codes[i]);
}

static void add_state(uint64_t *hash, const struct source_state *state)
{
    add_string(hash, state->name);
    add_position(hash, state->parent);
    add_position(hash, state->initial);
    add_number(hash, state->flags);
    add_number(hash, state->entry != NULL);
    add_number(hash, state->exit != NULL);
    add_set(hash, &state->raises);
    add_set(hash, &state->defers);
    add_number(hash, state->timeout_ns);
    add_position(hash, state->timeout_event);
}

static void add_transition(uint64_t *hash, const struct source_transition *transition)
{
    add_position(hash, transition->from);
    add_position(hash, transition->on);
    add_position(hash, transition->to);
    add_number(hash, transition->guard != NULL);
    add_number(hash, transition->action != NULL);
    add_set(hash, &transition->raises);
    add_number(hash, transition->flags);
}

uint64_t pawl__machine_hash(const struct machine_source *source)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    add_string(&hash, "pawl machine 1");
    add_string(&hash, source->name);
    add_number(&hash, source->events_count);
    for (unsigned i = 0; i < source->events_count; i++)
        add_string(&hash, source->events[i]);
    add_number(&hash, source->states_count);
    for (unsigned i = 0; i < source->states_count; i++)
        add_state(&hash, &source->states[i]);
    add_number(&hash, source->transitions_count);
    for (unsigned i = 0; i < source->transitions_count; i++)
        add_transition(&hash, &source->transitions[i]);
    add_number(&hash, source->timers_count);
    for (unsigned i = 0; i < source->timers_count; i++) {
        add_string(&hash, source->timers[i].name);
        add_position(&hash, source->timers[i].event);
    }
    add_position(&hash, source->initial);
    add_position(&hash, source->cancel);
    if (source->lease != SOURCE_NONE) { /* others keep the hash that stores know */
        add_position(&hash, source->lease);
        add_position(&hash, source->lease_timer);
    }
    add_number(&hash, source->context_size);
    add_number(&hash, (uint64_t)source->unexpected);
    add_number(&hash, (uint64_t)source->durability);
    add_number(&hash, source->deferred_max);
    return hash;
}
