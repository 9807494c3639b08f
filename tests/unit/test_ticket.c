/* What ticket.h promises of tickets in a slab. */
#include "lane/ticket.h"

#include <string.h>

#include "host/slab.h"
#include "support/test.h"

static void open_tickets(struct slab *tickets)
{
    const struct slab_options options = {
        .object_size = sizeof(struct ticket), .link_offset = TICKET_LINK, .objects_max = 1000};

    cr_assert_eq(slab_init(tickets, &options), 0);
}

Test(ticket, each_lies_in_a_cache_line_of_its_own)
{
    struct slab tickets;

    open_tickets(&tickets);
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq((uintptr_t)slab_at(&tickets, slab_alloc(&tickets)) % CACHE_LINE, 0);
    slab_fini(&tickets);
}

Test(ticket, a_new_one_is_in_no_list)
{
    struct slab tickets;
    const struct ticket *ticket;

    open_tickets(&tickets);
    ticket = slab_at(&tickets, slab_alloc(&tickets));
    cr_assert_eq(ticket->place, TICKET_NONE);
    cr_assert_eq(ticket->next, 0);
    slab_fini(&tickets);
}

Test(ticket, freeing_one_overwrites_its_next_only)
{
    struct slab tickets;
    struct ticket before, *ticket;
    uint32_t index;

    open_tickets(&tickets);
    index = slab_alloc(&tickets);
    slab_alloc(&tickets); /* keeps the memory */
    ticket = slab_at(&tickets, index);
    memset(ticket, 0xa5, sizeof(*ticket));
    before = *ticket;
    slab_free(&tickets, index);
    cr_assert(ticket->next != before.next);
    ticket->next = before.next;
    cr_assert_eq(memcmp(ticket, &before, sizeof(before)), 0);
    slab_fini(&tickets);
}
