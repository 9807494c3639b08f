#include "shard/alias.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"

int pawl__aliases_init(struct aliases *aliases, size_t count)
{
    *aliases = (struct aliases){0};
    if (count == 0)
        return 0;
    aliases->mask = round_up_power_of_two(2 * (uint64_t)count) - 1;
    aliases->cells = calloc(aliases->mask + 1, sizeof(*aliases->cells));
    return aliases->cells != NULL ? 0 : -ENOMEM;
}

void pawl__aliases_fini(struct aliases *aliases)
{
    free(aliases->cells);
    *aliases = (struct aliases){0};
}

/* Where an id is, or would be. */
static struct alias *cell_of(const struct aliases *aliases, uint64_t id)
{
    uint64_t at = mix64(id) & aliases->mask;

    while (aliases->cells[at].from != 0 && aliases->cells[at].from != id)
        at = (at + 1) & aliases->mask;
    return &aliases->cells[at];
}

void pawl__aliases_add(struct aliases *aliases, uint64_t from, uint64_t to)
{
    struct alias *cell = cell_of(aliases, from);

    CHECK(from != 0);
    if (cell->from == 0) {
        CHECK(2 * (aliases->count + 1) <= aliases->mask + 1);
        aliases->count++;
    }
    *cell = (struct alias){from, to};
}

uint64_t pawl__aliases_find(const struct aliases *aliases, uint64_t id)
{
    const struct alias *cell;

    if (aliases->count == 0 || id == 0)
        return id;
    cell = cell_of(aliases, id);
    return cell->from == id && cell->to != 0 ? cell->to : id;
}

const struct alias *pawl__aliases_next(const struct aliases *aliases, size_t *at)
{
    while (aliases->cells != NULL && *at <= aliases->mask) {
        const struct alias *cell = &aliases->cells[(*at)++];

        if (cell->from != 0)
            return cell;
    }
    return NULL;
}
