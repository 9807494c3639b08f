#include "shard/formers.h"

#include <errno.h>
#include <stdlib.h>

#define ROOM_FIRST 64u

static int by_incarnation(const void *a, const void *b)
{
    const struct former *left = a, *right = b;

    return left->incarnation < right->incarnation ? -1 : left->incarnation > right->incarnation;
}

/* Sorted, and one for each; a name that is known counts. */
static void shrink(struct formers *formers)
{
    struct former *entries = formers->entries;
    size_t kept = 0;

    if (formers->count == 0)
        return;
    qsort(entries, formers->count, sizeof(*entries), by_incarnation);
    for (size_t i = 1; i < formers->count; i++) {
        if (entries[i].incarnation != entries[kept].incarnation)
            entries[++kept] = entries[i];
        else if (entries[kept].name == 0)
            entries[kept].name = entries[i].name;
    }
    formers->count = kept + 1;
}

static int grow(struct formers *formers)
{
    const size_t room = formers->room != 0 ? formers->room * 2 : ROOM_FIRST;
    struct former *grown = realloc(formers->entries, room * sizeof(*grown));

    if (grown == NULL)
        return -ENOMEM;
    formers->entries = grown;
    formers->room = room;
    return 0;
}

/* Every lease adds one: before there is room for more, those that say the same are made one. */
int pawl__formers_add(struct formers *formers, uint64_t incarnation, uint32_t name)
{
    if (formers->count == formers->room) {
        shrink(formers);
        if (formers->count >= formers->room / 2 && grow(formers) != 0)
            return -ENOMEM;
    }
    formers->entries[formers->count++] = (struct former){incarnation, name};
    return 0;
}

void pawl__formers_seal(struct formers *formers)
{
    shrink(formers);
}

uint32_t pawl__formers_name(const struct formers *formers, uint64_t incarnation)
{
    const struct former key = {.incarnation = incarnation};
    const struct former *found = formers->count > 0
                                     ? bsearch(&key, formers->entries, formers->count,
                                               sizeof(*formers->entries), by_incarnation)
                                     : NULL;

    return found != NULL ? found->name : 0;
}

void pawl__formers_fini(struct formers *formers)
{
    free(formers->entries);
    *formers = (struct formers){.count = 0};
}
