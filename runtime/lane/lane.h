/*
 * lane.h - what all shards share about one lane: its limits and its switch. How many leases may be
 * handed out now is decided here; to which task and to whom is not.
 *
 * Layer: lane. Owner: the runtime makes and frees it; all shards use it at once, without a lock.
 *
 * The decision to question: no shard is given a share of a limit beforehand. Each takes what it
 * needs from words that all of them write, so a limit is exact however unevenly the work lies; the
 * price is a line that moves between cores once a batch, in a lane that is limited. One that has
 * neither limits nor a pause costs a load and a branch, and nothing in it is written.
 *
 * A hand-out: lane_admit says how many leases there may be now. Those that come to nothing are
 * given back by lane_return; each of the others ends in one lane_release. lane_outcome tells the
 * breaker how the work went, before or after the end of the lease, or never. The round of a grant
 * says whether its leases are probes, and goes with each of them to those three calls.
 *
 * Each of the four words below is a protocol of its own; none of them guards data of another, and a
 * reader that finds two of them from different moments has lost nothing. A retry of a loop means
 * that another shard's change went through. What was admitted before a pause, or before the breaker
 * opened, is handed out all the same.
 *
 *   pause_until   0, or when the pause ends. Whoever finds it over clears it by compare-and-swap,
 *                 so a pause made meanwhile stays.
 *   live          leases that live, and whether somebody was refused for it. Never above the
 *                 limit: a place is taken by compare-and-swap, not counted up and taken back.
 *                   (L1) a lease ends: CAS, release -> (L2) a place is taken: CAS, acquire: whoever
 *                   has a place sees all that the one before did in it.
 *   taken         the token bucket as GCRA (ITU-T I.371), counted in tokens instead of time, so
 *                 that it never drifts: lane_admit moves it to max(taken, earned(now)) + n, never
 *                 above earned(now) + burst. Only the value matters. Tokens given back make it
 *                 smaller; the next admission brings it up again, so the bucket cannot overflow.
 *   breaker       mode, round, and its counts, in one word, so each change is one CAS. A round
 *                 begins with each half-open phase, and an open word of a round does not come
 *                 back: whoever found it due and makes it half open has not slept over another
 *                 opening.
 *                   (B1) reopen_ns is raised, then the word opens: CAS, release -> (B2) the word is
 *                   loaded open, acquire, then reopen_ns: not earlier than this opening said. It is
 *                   only ever raised, so shards that want to open at once, and one that wanted to
 *                   and came too late, leave the latest of their times.
 *
 * Waiting. A refusal that no point of time ends sets a bit in the word that refused, by a CAS that
 * finds the word still refusing. So who makes room in that word next either comes before and is
 * seen, or finds the bit, clears it, and is told (wake, or true) to have all shards look at the
 * lane again. That holds for what lane_admit itself takes and gives back: tokens are waited for by
 * time, probes come with wake, and places are asked last, so none goes back. Probes go back only
 * when a place that was seen free was taken by another shard meanwhile, so shards cannot keep
 * waking each other for nothing.
 *
 * Limits: over any window of time at most burst + rate * window leases, the window taken half a
 * nanosecond longer; with tokens given back in it, also longer by how long they were held. The
 * bucket is full when a runtime opens. Rates are right for 2^31 s after that. Probes are
 * at most so many at once of one round: those of the round before may still be leased.
 * Progress: all calls are lock-free.
 */
#ifndef PAWL_LANE_LANE_H
#define PAWL_LANE_LANE_H

#include <pawl/lane.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/check.h"

#define LANE_PROBES_MAX  UINT16_MAX /* they are counted in 16 bits of a word */
#define LANE_WEIGHT_MAX  UINT16_MAX
#define LANE_AGE_MIN_NS  UINT64_C(1000000)
#define LANE_SPAN_MAX_NS (UINT64_C(1) << 53) /* of a lease, of an open breaker */

#define LANE_NO_ROUND UINT32_C(0) /* of leases that are no probes */

/* Which limits a lane has. */
enum { LANE_HAS_CONCURRENCY = 1, LANE_HAS_RATE = 2, LANE_HAS_BREAKER = 4 };

/* Field owners: I constant from init on; S all shards; H any thread, by pause and resume. */
struct lane {
    alignas(2 * CACHE_LINE) _Atomic uint64_t pause_until; /* H, S: 0; UINT64_MAX: until resumed */
    uint32_t limits;                                      /* I: LANE_HAS_... */
    uint32_t concurrency;                                 /* I */
    uint64_t base_ns;      /* I: on the runtime's clock; nothing was earned before */
    uint64_t earn;         /* I: units earned a second: rate << token_bits, below 2^32 */
    uint64_t bucket;       /* I: units of a full bucket: burst << token_bits, below 2^63 */
    uint32_t token_bits;   /* I: a token is 1 << token_bits units */
    uint32_t failures_max; /* I */
    uint32_t probes;       /* I */
    uint32_t weight;       /* I: at least 1 */
    uint64_t cool_ns;      /* I */
    uint64_t age_ns;       /* I: 0: no ageing */
    uint64_t lease_ns;     /* I: at least 1 */
    uint32_t number;       /* I: pawl_lane_number(name) */
    char name[PAWL_LANE_NAME_MAX + 1]; /* I */

    alignas(2 * CACHE_LINE) _Atomic uint64_t live; /* S: leases; the top bit: somebody waits */
    _Atomic uint64_t taken;                        /* S: units taken out of the bucket */

    alignas(CACHE_LINE) _Atomic uint64_t breaker; /* S: lane.c has its bits */
    _Atomic uint64_t reopen_ns;                   /* S: an open breaker lets probes through then */
    _Atomic uint64_t changed;                     /* S, H: see pawl__lane_changed */
};

_Static_assert(sizeof(struct lane) == 4 * CACHE_LINE, "written lines apart from constants");

/* What lane_admit allows. */
struct lane_grant {
    uint32_t count;    /* leases */
    uint32_t round;    /* of all of them; LANE_NO_ROUND: no probes */
    uint64_t retry_ns; /* of less than wanted: when to ask again; UINT64_MAX: when told; else 0 */
    bool wake;         /* all shards are to look at this lane again */
};

/* What outlives a runtime. Times are on its clock: whoever stores them converts them. */
struct lane_state {
    uint64_t pause_until; /* 0: not paused; UINT64_MAX: until resumed */
    uint64_t reopen_ns;   /* of a breaker that is not closed */
    enum pawl_breaker breaker;
    uint32_t failures; /* in a row, of a closed one */
};

/* ---- Setup ---- */

/* Whether the name is 1 to 31 printable ASCII bytes without '/'. NULL is not. */
bool pawl__lane_name_is_good(const char *name);

/*
 * What is wrong with a definition, as a sentence that says what to do; NULL: nothing. Whether two
 * lanes have the same name or number only the caller can see.
 */
const char *pawl__lane_problem(const struct pawl_lane_def *def);

/*
 * Setup. def: without a problem; nothing of it is kept. lane: aligned as its type says. now_ns: the
 * runtime's clock. The other threads learn of the lane by a release of the caller's.
 */
void pawl__lane_init(struct lane *lane, const struct pawl_lane_def *def, uint64_t now_ns);

/*
 * Setup, after a store was read: count leases that lived on. There may be more of them than the
 * limit, if that was lowered: then none are admitted until enough of them have ended.
 */
void pawl__lane_hold(struct lane *lane, uint64_t count);

/*
 * Setup: puts in what pawl__lane_state once read out, times converted. A half-open breaker comes
 * back as an open one: its probes are no longer known. Without a breaker now, that part is ignored.
 * -EINVAL: no such breaker mode; nothing is changed.
 */
int pawl__lane_restore(struct lane *lane, const struct lane_state *state);

/* ---- Leases: any shard ---- */

struct lane_grant pawl__lane_admit_limited(struct lane *lane, uint64_t now_ns, uint32_t want);
bool pawl__lane_return_limited(struct lane *lane, uint32_t round, uint32_t count);
bool pawl__lane_release_limited(struct lane *lane, uint32_t round, uint32_t count);
bool pawl__lane_outcome_limited(struct lane *lane, uint64_t now_ns, bool good, uint32_t round);

/*
 * lane_admit - how many leases, 0 .. want, may be handed out now; they count as handed out.
 *
 * now_ns:  the shard's time. Shards' times may differ by what their turns last.
 * Returns: see struct lane_grant. retry_ns is when one more may be admitted as things are; where it
 *          is UINT64_MAX, a later call of anybody's returns true, or is pause or resume.
 */
static inline struct lane_grant lane_admit(struct lane *lane, uint64_t now_ns, uint32_t want)
{
    /* relaxed: a pause is a switch that takes effect soon; no data comes with it */
    if (likely((lane->limits | load_relaxed(&lane->pause_until)) == 0))
        return (struct lane_grant){.count = want, .round = LANE_NO_ROUND};
    return pawl__lane_admit_limited(lane, now_ns, want);
}

/*
 * lane_return - gives back count leases of a grant of this round that were not handed out: places,
 * tokens and probes. Returns: whether all shards are to look at this lane again.
 */
static inline bool lane_return(struct lane *lane, uint32_t round, uint32_t count)
{
    return likely(lane->limits == 0) ? false : pawl__lane_return_limited(lane, round, count);
}

/*
 * lane_release - count leases of this round have ended, in whatever way. A probe that ends without
 * an outcome has decided nothing; another may be tried in its place. Returns as lane_return.
 */
static inline bool lane_release(struct lane *lane, uint32_t round, uint32_t count)
{
    if (likely((lane->limits & (LANE_HAS_CONCURRENCY | LANE_HAS_BREAKER)) == 0))
        return false;
    return pawl__lane_release_limited(lane, round, count);
}

/*
 * lane_outcome - how the work of one lease of this round went, for the breaker: once a lease.
 *
 * Closed: so many bad ones in a row open it. Open: nothing counts. Half open: only probes of
 * this round count; a bad one opens it again, as many good ones as there may be probes close it.
 * Returns as lane_return.
 */
static inline bool lane_outcome(struct lane *lane, uint64_t now_ns, bool good, uint32_t round)
{
    if (likely((lane->limits & LANE_HAS_BREAKER) == 0))
        return false;
    return pawl__lane_outcome_limited(lane, now_ns, good, round);
}

/* ---- The switch, and what is kept of it: any thread ---- */

/*
 * pawl__lane_pause - nothing more is admitted until then (UINT64_MAX: until resumed); it takes the
 * place of the pause before. pawl__lane_resume: no pause. After either the caller has all shards
 * look at the lane again.
 */
void pawl__lane_pause(struct lane *lane, uint64_t until_ns);
void pawl__lane_resume(struct lane *lane);
bool pawl__lane_is_paused(const struct lane *lane, uint64_t now_ns);

/*
 * How often what is worth storing has changed: a pause, a resume, a breaker that has opened or
 * closed. Not a pause whose time is over, nor a breaker that went half open: what was stored before
 * says the same. Failures in a row are stored along with these, not for themselves. Read it before
 * the state: if it is the same afterwards, nothing newer is to be stored.
 */
uint64_t pawl__lane_changed(const struct lane *lane);
void pawl__lane_state(const struct lane *lane, struct lane_state *state);

#endif /* PAWL_LANE_LANE_H */
