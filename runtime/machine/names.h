/*
 * names.h - from a name to its position in a table. Open addressing, half full at most; built once
 * for each table, so that a machine of tens of thousands of states compiles in linear time.
 *
 * Layer: machine. Owner: one compile.
 */
#ifndef PAWL_MACHINE_NAMES_H
#define PAWL_MACHINE_NAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bits.h"
#include "machine/blocks.h"

#define NAME_NONE UINT32_MAX

struct name_slot {
    const char *name; /* NULL: free */
    uint32_t position;
};

struct names {
    struct name_slot *slots;
    uint32_t mask;
};

/* false: no memory. */
static inline bool names_init(struct names *names, struct blocks *blocks, size_t count)
{
    const uint64_t slots = round_up_power_of_two(2 * (uint64_t)count + 2);

    names->slots = BLOCKS_NEW(blocks, slots, struct name_slot);
    names->mask = (uint32_t)slots - 1;
    return names->slots;
}

/* The slot that has the name, or the free one where it belongs. */
static inline struct name_slot *names_slot(const struct names *names, const char *name)
{
    uint64_t hash = 0;
    uint32_t at;

    for (const char *c = name; *c; c++)
        hash = mix64(hash + (unsigned char)*c + 1);
    at = (uint32_t)hash & names->mask;
    while (names->slots[at].name && strcmp(names->slots[at].name, name) != 0)
        at = (at + 1) & names->mask;
    return &names->slots[at];
}

/* NAME_NONE when the name is new and now stands for position; else the position that has it. */
static inline uint32_t names_put(struct names *names, const char *name, uint32_t position)
{
    struct name_slot *const slot = names_slot(names, name);

    if (slot->name)
        return slot->position;
    *slot = (struct name_slot){name, position};
    return NAME_NONE;
}

static inline uint32_t names_find(const struct names *names, const char *name)
{
    const struct name_slot *const slot = names_slot(names, name);

    return slot->name ? slot->position : NAME_NONE;
}

#endif /* PAWL_MACHINE_NAMES_H */
