/*
 * fifo.c - the chunks of a fifo: growing, shrinking, the spare.
 *
 * Layer: queue. Owner: the fifo's one thread.
 */
#include "queue/fifo.h"

void pawl__fifo_init(struct fifo *fifo, const struct fifo_source *source)
{
    *fifo = (struct fifo){.source = *source};
}

void pawl__fifo_fini(struct fifo *fifo)
{
    struct fifo_chunk *chunk = fifo->head;

    while (chunk != NULL) {
        struct fifo_chunk *next = chunk->next;

        fifo->source.put(fifo->source.user, chunk);
        chunk = next;
    }
    if (fifo->spare != NULL)
        fifo->source.put(fifo->source.user, fifo->spare);
    *fifo = (struct fifo){.source = fifo->source};
}

bool pawl__fifo_grow(struct fifo *fifo)
{
    struct fifo_chunk *chunk = fifo->spare;

    if (chunk == NULL)
        chunk = fifo->source.get(fifo->source.user);
    if (chunk == NULL)
        return false;
    fifo->spare = NULL;
    chunk->next = NULL;
    if (fifo->tail == NULL)
        fifo->head = chunk;
    else
        fifo->tail->next = chunk;
    fifo->tail = chunk;
    fifo->tail_at = 0;
    return true;
}

void pawl__fifo_shrink(struct fifo *fifo)
{
    struct fifo_chunk *chunk = fifo->head;

    CHECK(chunk != fifo->tail);
    fifo->head = chunk->next;
    fifo->head_at = 0;
    if (fifo->spare == NULL)
        fifo->spare = chunk;
    else
        fifo->source.put(fifo->source.user, chunk);
}

uint32_t pawl__fifo_push_many(struct fifo *fifo, const void *items, uint32_t count)
{
    const char *from = items;
    uint32_t pushed = 0;

    while (pushed < count) {
        uint32_t run;

        if (fifo->tail == NULL || fifo->tail_at == FIFO_CHUNK_CELLS) {
            if (!pawl__fifo_grow(fifo))
                break;
        }
        run = FIFO_CHUNK_CELLS - fifo->tail_at;
        if (run > count - pushed)
            run = count - pushed;
        memcpy(&fifo->tail->cells[fifo->tail_at], from + (size_t)pushed * sizeof(struct cell),
               (size_t)run * sizeof(struct cell));
        fifo->tail_at += run;
        fifo->count += run;
        pushed += run;
    }
    return pushed;
}

void pawl__fifo_validate(const struct fifo *fifo)
{
    uint64_t cells = 0;

    CHECK((fifo->head == NULL) == (fifo->tail == NULL));
    CHECK(fifo->head_at <= FIFO_CHUNK_CELLS && fifo->tail_at <= FIFO_CHUNK_CELLS);
    CHECK(fifo->spare == NULL || fifo->spare != fifo->tail);
    for (const struct fifo_chunk *chunk = fifo->head; chunk != NULL; chunk = chunk->next) {
        const uint32_t from = chunk == fifo->head ? fifo->head_at : 0;
        const uint32_t to = chunk == fifo->tail ? fifo->tail_at : FIFO_CHUNK_CELLS;

        CHECK(from <= to);
        CHECK(chunk != fifo->spare);
        CHECK((chunk->next == NULL) == (chunk == fifo->tail));
        CHECK(chunk == fifo->head || chunk != fifo->tail || to > 0);
        cells += to - from;
    }
    CHECK(cells == fifo->count);
    CHECK(fifo->count != 0 || (fifo->head == fifo->tail && fifo->head_at == 0));
}
