/*
 * lane.c - the limits of a lane. lane.h has the protocols.
 */
#include "lane/lane.h"

#include <errno.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

#define LEASE_DEFAULT_NS (60 * SECOND)
#define COOL_DEFAULT_NS  (10 * SECOND)

/* In `live`. */
#define LIVE_WAITED (UINT64_C(1) << 63)

/*
 * `breaker`: mode 2 bits, waited 1, round 29, then two counts of 16: probes that did well, probes
 * that are leased. In a closed one the counts are one of 32 bits, failures in a row; in an open
 * one 0.
 */
#define MODE_SHIFT     62
#define BREAKER_WAITED (UINT64_C(1) << 61)
#define ROUND_SHIFT    32
#define ROUND_MAX      ((UINT32_C(1) << 29) - 1)
#define GOOD_SHIFT     16

_Static_assert(LANE_PROBES_MAX <= UINT16_MAX, "both counts of probes have 16 bits");
_Static_assert(PAWL_BREAKER_HALF_OPEN < 4, "a mode has two bits");

static uint64_t breaker_word(enum pawl_breaker mode, uint32_t round, uint32_t counts)
{
    return (uint64_t)mode << MODE_SHIFT | (uint64_t)round << ROUND_SHIFT | counts;
}

static enum pawl_breaker mode_of(uint64_t word)
{
    return (enum pawl_breaker)(word >> MODE_SHIFT);
}

static uint32_t round_of(uint64_t word)
{
    return (uint32_t)(word >> ROUND_SHIFT) & ROUND_MAX;
}

static uint32_t failures_of(uint64_t word)
{
    return (uint32_t)word;
}

static uint32_t leased_of(uint64_t word)
{
    return (uint32_t)word & UINT16_MAX;
}

static uint32_t good_of(uint64_t word)
{
    return (uint32_t)word >> GOOD_SHIFT;
}

/* 29 bits come round after half a billion openings: no probe is leased for so long. */
static uint32_t round_after(uint32_t round)
{
    return round == ROUND_MAX ? LANE_NO_ROUND + 1 : round + 1;
}

static uint64_t time_after(uint64_t now_ns, uint64_t span_ns)
{
    return now_ns > UINT64_MAX - span_ns ? UINT64_MAX : now_ns + span_ns;
}

/* ---- Names and definitions ---- */

uint32_t pawl_lane_number(const char *name)
{
    uint32_t hash = UINT32_C(0x811c9dc5);

    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * UINT32_C(0x01000193);
    return hash != 0 ? hash : 1;
}

bool pawl__lane_name_is_good(const char *name)
{
    size_t size = 0;

    if (name == NULL)
        return false;
    for (; name[size] != '\0'; size++) {
        if (size == PAWL_LANE_NAME_MAX || name[size] < ' ' || name[size] > '~' || name[size] == '/')
            return false;
    }
    return size > 0;
}

const char *pawl__lane_problem(const struct pawl_lane_def *def)
{
    if (!pawl__lane_name_is_good(def->name))
        return "a lane's name is 1 to 31 printable ASCII bytes without '/'; give it one";
    if (def->weight > LANE_WEIGHT_MAX)
        return "weight is at most 65535; divide the weights of all lanes alike";
    if (def->age_ns != 0 && def->age_ns < LANE_AGE_MIN_NS)
        return "age_ns is at least 1000000 (1 ms); make it longer, or 0 for no ageing";
    if (def->lease_ns > LANE_SPAN_MAX_NS)
        return "lease_ns is at most 2^53; make it shorter";
    if (def->breaker_probes > LANE_PROBES_MAX)
        return "breaker_probes is at most 65535; try a lane with fewer";
    if (def->breaker_ns > LANE_SPAN_MAX_NS)
        return "breaker_ns is at most 2^53; make it shorter, or pause the lane instead";
    return NULL;
}

/*
 * Units as fine as 32 bits allow: one is less than half a nanosecond's worth, so rounding what was
 * earned down to whole units is nothing that a clock of nanoseconds could show.
 */
static void init_rate(struct lane *lane, uint32_t rate, uint32_t burst)
{
    lane->limits |= LANE_HAS_RATE;
    lane->token_bits = (uint32_t)__builtin_clz(rate);
    lane->earn = (uint64_t)rate << lane->token_bits;
    lane->bucket = (uint64_t)(burst != 0 ? burst : 1) << lane->token_bits;
}

void pawl__lane_init(struct lane *lane, const struct pawl_lane_def *def, uint64_t now_ns)
{
    CHECK(pawl__lane_problem(def) == NULL);
    memset(lane, 0, sizeof(*lane));
    memcpy(lane->name, def->name, strlen(def->name));
    lane->number = pawl_lane_number(def->name);
    lane->weight = def->weight != 0 ? def->weight : 1;
    lane->age_ns = def->age_ns;
    lane->lease_ns = def->lease_ns != 0 ? def->lease_ns : LEASE_DEFAULT_NS;
    lane->base_ns = now_ns;
    if (def->concurrency != 0) {
        lane->limits |= LANE_HAS_CONCURRENCY;
        lane->concurrency = def->concurrency;
    }
    if (def->rate != 0)
        init_rate(lane, def->rate, def->burst);
    if (def->breaker_failures != 0) {
        lane->limits |= LANE_HAS_BREAKER;
        lane->failures_max = def->breaker_failures;
        lane->probes = def->breaker_probes != 0 ? def->breaker_probes : 1;
        lane->cool_ns = def->breaker_ns != 0 ? def->breaker_ns : COOL_DEFAULT_NS;
    }
}

void pawl__lane_hold(struct lane *lane, uint64_t count)
{
    if ((lane->limits & LANE_HAS_CONCURRENCY) == 0)
        return;
    CHECK(count < LIVE_WAITED);
    add_relaxed(&lane->live, count); /* relaxed: setup */
}

/* ---- Pause ---- */

void pawl__lane_pause(struct lane *lane, uint64_t until_ns)
{
    swap_acq_rel(&lane->pause_until, until_ns);
    add_acq_rel(&lane->changed, 1);
}

void pawl__lane_resume(struct lane *lane)
{
    pawl__lane_pause(lane, 0);
}

bool pawl__lane_is_paused(const struct lane *lane, uint64_t now_ns)
{
    return now_ns < load_acquire(&lane->pause_until);
}

/* When the pause ends; 0: there is none, or none any more. */
static uint64_t pause_end(struct lane *lane, uint64_t now_ns)
{
    uint64_t until_ns = load_acquire(&lane->pause_until);

    if (now_ns < until_ns)
        return until_ns;
    /* If it fails, the lane was paused anew or resumed: the next look will see. */
    if (until_ns != 0)
        cas_acq_rel(&lane->pause_until, &until_ns, 0);
    return 0;
}

/* ---- Rate ---- */

/* What a bucket that is never full would have earned by then, in units; rounded down. */
static uint64_t earned_by(const struct lane *lane, uint64_t now_ns)
{
    const uint64_t ns = now_ns > lane->base_ns ? now_ns - lane->base_ns : 0;

    return ns / SECOND * lane->earn + ns % SECOND * lane->earn / SECOND;
}

/* The first nanosecond by which that much is earned. */
static uint64_t earned_at(const struct lane *lane, uint64_t units)
{
    const uint64_t rest = units % lane->earn;

    return lane->base_ns + units / lane->earn * SECOND +
           (rest * SECOND + lane->earn - 1) / lane->earn;
}

static uint32_t rate_take(struct lane *lane, uint64_t now_ns, uint32_t want, uint64_t *retry_ns)
{
    const uint64_t earned = earned_by(lane, now_ns);
    const uint64_t end = earned + lane->bucket;
    /* relaxed: only the value matters; a stale one fails the CAS, or the shard waits a little */
    uint64_t taken = load_relaxed(&lane->taken);

    for (;;) {
        const uint64_t from = taken > earned ? taken : earned;
        /* Beyond the end: a shard whose time is ahead of this one's was here. */
        const uint64_t room = from < end ? (end - from) >> lane->token_bits : 0;
        const uint32_t count = room < want ? (uint32_t)room : want;
        const uint64_t next = from + ((uint64_t)count << lane->token_bits);

        if (count == 0 || cas_acq_rel(&lane->taken, &taken, next)) {
            if (count < want)
                *retry_ns =
                    earned_at(lane, next + (UINT64_C(1) << lane->token_bits) - lane->bucket);
            return count;
        }
    }
}

static void rate_give(struct lane *lane, uint32_t count)
{
    const uint64_t units = (uint64_t)count << lane->token_bits;

    CHECK(sub_acq_rel(&lane->taken, units) >= units);
}

/* ---- Concurrency ---- */

static uint64_t places_room(const struct lane *lane, uint64_t live)
{
    const uint64_t there = live & ~LIVE_WAITED;

    return there < lane->concurrency ? lane->concurrency - there : 0;
}

/* How many of want places there seem to be; 0: there is none, and who ends a lease will tell. */
static uint32_t places_look(struct lane *lane, uint32_t want)
{
    uint64_t live = load_acquire(&lane->live);

    for (;;) {
        const uint64_t room = places_room(lane, live);

        if (room > 0)
            return room < want ? (uint32_t)room : want;
        if ((live & LIVE_WAITED) != 0 || cas_acq_rel(&lane->live, &live, live | LIVE_WAITED))
            return 0;
    }
}

/* more: beyond these it wants those that places_look did not see. */
static uint32_t places_take(struct lane *lane, uint64_t now_ns, uint32_t want, bool more,
                            uint64_t *retry_ns)
{
    uint64_t live = load_acquire(&lane->live);

    for (;;) {
        const uint64_t room = places_room(lane, live);
        const uint32_t count = room < want ? (uint32_t)room : want;
        const bool waits = room == count && (more || count < want);
        const uint64_t next = (live + count) | (waits ? LIVE_WAITED : 0);

        if (next == live || cas_acq_rel(&lane->live, &live, next)) { /* (L2) */
            if (waits)
                *retry_ns = UINT64_MAX;
            else if (more)
                *retry_ns = now_ns; /* places have become free meanwhile */
            return count;
        }
    }
}

static bool places_give(struct lane *lane, uint32_t count)
{
    uint64_t live = load_acquire(&lane->live);

    do {
        CHECK((live & ~LIVE_WAITED) >= count);
    } while (!cas_acq_rel(&lane->live, &live, (live & ~LIVE_WAITED) - count)); /* (L1) */
    return (live & LIVE_WAITED) != 0;
}

/* ---- Breaker ---- */

/* When an open breaker lets probes through; 0: it is not open, or is due. */
static uint64_t breaker_end(const struct lane *lane, uint64_t word, uint64_t now_ns)
{
    uint64_t reopen_ns;

    if (mode_of(word) != PAWL_BREAKER_OPEN)
        return 0;
    reopen_ns = load_acquire(&lane->reopen_ns); /* (B2), as the word was loaded before */
    return now_ns < reopen_ns ? reopen_ns : 0;
}

/* How many may be leased: all of them while it is closed, else probes; then with their round. */
static uint32_t probes_take(struct lane *lane, uint64_t now_ns, uint32_t want,
                            struct lane_grant *grant)
{
    uint64_t word = load_acquire(&lane->breaker); /* (B2) */

    for (;;) {
        const enum pawl_breaker mode = mode_of(word);
        const uint64_t end_ns = breaker_end(lane, word, now_ns);
        uint32_t count, used;
        uint64_t next;

        if (mode == PAWL_BREAKER_CLOSED)
            return want;
        if (end_ns != 0) {
            grant->retry_ns = end_ns;
            return 0;
        }
        if (mode == PAWL_BREAKER_OPEN)
            next = breaker_word(PAWL_BREAKER_HALF_OPEN, round_after(round_of(word)), 0);
        else
            next = word;
        used = leased_of(next) + good_of(next);
        count = used < lane->probes ? lane->probes - used : 0;
        count = count < want ? count : want;
        next = (next + count) | (count < want ? BREAKER_WAITED : 0);
        if (next == word || cas_acq_rel(&lane->breaker, &word, next)) {
            if (count < want)
                grant->retry_ns = UINT64_MAX;
            grant->round = count > 0 ? round_of(next) : LANE_NO_ROUND;
            return count;
        }
    }
}

/* Returns whether somebody waits for them. */
static bool probes_give(struct lane *lane, uint32_t round, uint32_t count)
{
    uint64_t word = load_acquire(&lane->breaker);

    do {
        /* Of a round that is over, or no probes at all. */
        if (mode_of(word) != PAWL_BREAKER_HALF_OPEN || round_of(word) != round)
            return false;
        CHECK(leased_of(word) >= count);
    } while (!cas_acq_rel(&lane->breaker, &word, (word - count) & ~BREAKER_WAITED));
    return (word & BREAKER_WAITED) != 0;
}

static void raise_reopen(struct lane *lane, uint64_t reopen_ns)
{
    /* relaxed: only the value matters here; the word's CAS publishes it */
    uint64_t there = load_relaxed(&lane->reopen_ns);

    while (there < reopen_ns && !cas_acq_rel(&lane->reopen_ns, &there, reopen_ns))
        ;
}

/* The word after an outcome; the same: nothing to change. */
static uint64_t breaker_after(const struct lane *lane, uint64_t word, bool good, uint32_t round)
{
    const uint32_t own = round_of(word);

    switch (mode_of(word)) {
    case PAWL_BREAKER_CLOSED:
        if (good)
            return breaker_word(PAWL_BREAKER_CLOSED, own, 0);
        if (failures_of(word) + 1 < lane->failures_max)
            return word + 1;
        return breaker_word(PAWL_BREAKER_OPEN, own, 0);
    case PAWL_BREAKER_OPEN:
        return word;
    case PAWL_BREAKER_HALF_OPEN:
        if (round != own)
            return word;
        if (!good)
            return breaker_word(PAWL_BREAKER_OPEN, own, 0);
        if (good_of(word) + 1 < lane->probes)
            return word + (1u << GOOD_SHIFT);
        return breaker_word(PAWL_BREAKER_CLOSED, own, 0);
    }
    return word;
}

bool pawl__lane_outcome_limited(struct lane *lane, uint64_t now_ns, bool good, uint32_t round)
{
    uint64_t word = load_acquire(&lane->breaker);
    uint64_t next;

    do {
        next = breaker_after(lane, word, good, round);
        if (next == word)
            return false;
        if (mode_of(next) == PAWL_BREAKER_OPEN)
            raise_reopen(lane, time_after(now_ns, lane->cool_ns)); /* (B1) */
    } while (!cas_acq_rel(&lane->breaker, &word, next));           /* (B1) */
    if (mode_of(next) == mode_of(word))
        return false;
    add_acq_rel(&lane->changed, 1);
    return (word & BREAKER_WAITED) != 0;
}

/* ---- All limits together ---- */

/* When the lane's switch is to be looked at again; 0: it is on. */
static uint64_t switched_off(struct lane *lane, uint64_t now_ns)
{
    const uint64_t end_ns = pause_end(lane, now_ns);

    if (end_ns != 0 || (lane->limits & LANE_HAS_BREAKER) == 0)
        return end_ns;
    return breaker_end(lane, load_acquire(&lane->breaker), now_ns); /* (B2) */
}

/*
 * First what can be seen without taking anything, so that a lane which is shut or full is left as
 * it is; then the limits take one after the other, and those before give back what a later one
 * refuses.
 */
struct lane_grant pawl__lane_admit_limited(struct lane *lane, uint64_t now_ns, uint32_t want)
{
    const bool has_rate = (lane->limits & LANE_HAS_RATE) != 0;
    const bool has_places = (lane->limits & LANE_HAS_CONCURRENCY) != 0;
    struct lane_grant grant = {.round = LANE_NO_ROUND};
    uint32_t seen = want, tokens, probes;

    if (want > 0)
        grant.retry_ns = switched_off(lane, now_ns);
    if (want == 0 || grant.retry_ns != 0)
        return grant;
    if (has_places)
        seen = places_look(lane, want);
    if (seen == 0) {
        grant.retry_ns = UINT64_MAX;
        return grant;
    }
    tokens = has_rate ? rate_take(lane, now_ns, seen, &grant.retry_ns) : seen;
    probes = tokens;
    if ((lane->limits & LANE_HAS_BREAKER) != 0 && tokens > 0)
        probes = probes_take(lane, now_ns, tokens, &grant);
    grant.count = probes;
    if (has_places && probes > 0)
        grant.count =
            places_take(lane, now_ns, probes, probes == seen && seen < want, &grant.retry_ns);

    if (grant.count < probes && grant.round != LANE_NO_ROUND)
        grant.wake = probes_give(lane, grant.round, probes - grant.count);
    if (grant.count < tokens && has_rate)
        rate_give(lane, tokens - grant.count);
    if (grant.count == 0)
        grant.round = LANE_NO_ROUND;
    return grant;
}

bool pawl__lane_release_limited(struct lane *lane, uint32_t round, uint32_t count)
{
    bool wake = false;

    if ((lane->limits & LANE_HAS_CONCURRENCY) != 0)
        wake = places_give(lane, count);
    if (round != LANE_NO_ROUND && probes_give(lane, round, count))
        wake = true;
    return wake;
}

bool pawl__lane_return_limited(struct lane *lane, uint32_t round, uint32_t count)
{
    if ((lane->limits & LANE_HAS_RATE) != 0)
        rate_give(lane, count);
    return pawl__lane_release_limited(lane, round, count);
}

/* ---- What is kept ---- */

uint64_t pawl__lane_changed(const struct lane *lane)
{
    return load_acquire(&lane->changed);
}

void pawl__lane_state(const struct lane *lane, struct lane_state *state)
{
    const uint64_t word = load_acquire(&lane->breaker); /* (B2) */

    *state = (struct lane_state){.pause_until = load_acquire(&lane->pause_until),
                                 .breaker = mode_of(word)};
    if (mode_of(word) == PAWL_BREAKER_CLOSED)
        state->failures = failures_of(word);
    else
        state->reopen_ns = load_acquire(&lane->reopen_ns);
}

int pawl__lane_restore(struct lane *lane, const struct lane_state *state)
{
    uint32_t failures = state->failures;

    if ((unsigned)state->breaker > PAWL_BREAKER_HALF_OPEN)
        return -EINVAL;
    /* relaxed, all three: setup */
    store_relaxed(&lane->pause_until, state->pause_until);
    if ((lane->limits & LANE_HAS_BREAKER) == 0)
        return 0;
    if (state->breaker == PAWL_BREAKER_CLOSED) {
        /* With a lower limit than they were counted under, the next failure opens it. */
        failures = failures < lane->failures_max ? failures : lane->failures_max - 1;
        store_relaxed(&lane->breaker, breaker_word(PAWL_BREAKER_CLOSED, LANE_NO_ROUND, failures));
    } else {
        store_relaxed(&lane->reopen_ns, state->reopen_ns);
        store_relaxed(&lane->breaker, breaker_word(PAWL_BREAKER_OPEN, LANE_NO_ROUND, 0));
    }
    return 0;
}
