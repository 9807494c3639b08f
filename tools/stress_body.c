/*
 * stress_body.c - residents' contexts and lanes (stress_body.h).
 */
#include "stress_body.h"

#include <stddef.h>
#include <string.h>

#include "base/check.h"

static uint64_t seal_words(const void *context, size_t size)
{
    uint64_t word = 0;
    uint64_t sum = 0x70617731;
    for (size_t at = 0; at < size; at += 4) {
        memcpy(&word, (const char *)context + at, 4);
        sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        sum ^= sum >> 29;
    }
    return sum;
}

static uint32_t runner_seal(const struct runner *runner)
{
    return (uint32_t)seal_words(runner, offsetof(struct runner, seal));
}

static uint64_t porter_seal(const struct porter *porter)
{
    uint64_t word = 0;
    uint64_t sums[2] = {0x70617731, 0x70617732}; /* two chains of multiplications side by side */
    for (size_t at = 0; at < offsetof(struct porter, seal); at += 8) {
        memcpy(&word, (const char *)porter + at, 8);
        uint64_t *sum = &sums[at >> 3 & 1];
        *sum = (*sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        *sum ^= *sum >> 29;
    }
    return sums[0] ^ (sums[1] << 1 | sums[1] >> 63);
}

bool porter_is_sealed(const struct porter *porter)
{
    return porter->seal == porter_seal(porter);
}

bool runner_is_sealed(const struct runner *runner)
{
    return runner->seal == runner_seal(runner);
}

struct body body_of(struct pawl_step *step, void *context)
{
    struct body b = {.s = pawl_step_user(step), .common = context};
    b.index = b.common->head & HEAD_INDEX;
    if (is_porter(b.index))
        b.porter = context;
    else
        b.runner = context;
    return b;
}

struct body body_open(struct pawl_step *step, void *context)
{
    struct body b = body_of(step, context);
    if (!(b.porter != NULL ? porter_is_sealed(b.porter) : runner_is_sealed(b.runner)))
        stress_find(
            b.s, FINDING_TORN,
            "a step of resident %u (task %#llx) began with a context that no step committed",
            b.index, (unsigned long long)pawl_step_task(step).id);
    return b;
}

void body_close(struct body *b)
{
    if (b->porter != NULL)
        b->porter->seal = porter_seal(b->porter);
    else
        b->runner->seal = runner_seal(b->runner);
}

struct shard_side *body_side(struct body *b, struct pawl_step *step)
{
    return &b->s->shards[pawl_step_shard(step)];
}

bool body_accept(struct body *b, struct pawl_step *step, uint32_t *last, uint64_t key)
{
    uint32_t sequence = key_sequence(key);
    if (likely(sequence == *last + 1)) {
        *last = sequence;
        return true;
    }
    struct book *gaps = &body_side(b, step)->gaps;
    if (sequence > *last) {
        book_add_gap(gaps, key_make(b->index, key_lane(key), *last), sequence);
        *last = sequence;
        return true;
    }
    bool late = book_has_gap(gaps, key);
    stress_find_key(b->s, late ? FINDING_MISORDERED : FINDING_DUPLICATED, key,
                    late ? "came after a later one: expected above %u" : "came again: expected %u",
                    *last + 1);
    if (late)
        book_add(&b->s->failed, key); /* so that the gap does not count it as lost besides */
    return false;
}

bool body_accept_lane(struct body *b, struct pawl_step *step, unsigned sender, uint64_t key)
{
    unsigned lane = key_lane(key);
    bool control = lane >= LANE_CONTROL;
    unsigned place = control ? lane - LANE_CONTROL : lane;
    bool fits = key_index(key) == b->index && place < (b->porter != NULL ? LANES : !control) &&
                (b->index + place) % b->s->options.producers == sender;
    if (unlikely(!fits)) {
        stress_find(b->s, FINDING_UNEXPLAINED,
                    "resident %u got an event meant for resident %u, lane %u, from producer %u",
                    b->index, key_index(key), lane, sender);
        return false;
    }
    uint32_t *last = control             ? &b->porter->control[place]
                     : b->porter != NULL ? &b->porter->lane[place]
                                         : &b->runner->lane;
    return body_accept(b, step, last, key);
}
