/*
 * test_lane.c - the limits and the switch of a lane, on one thread and in virtual time. What
 * several shards can do to it at once is tests/stress/stress_lane.c.
 */
#include "lane/lane.h"

#include "base/random.h"
#include "support/test.h"

#include <errno.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define START  (UINT64_C(1) << 50)

static struct lane lane;

static void make(struct pawl_lane_def def)
{
    def.name = "test";
    pawl__lane_init(&lane, &def, START);
}

static uint32_t admit(uint64_t at_ns, uint32_t want)
{
    return lane_admit(&lane, at_ns, want).count;
}

/* ---- Names and definitions ---- */

Test(lane, number_is_fnv1a_of_the_name_and_never_zero)
{
    cr_assert_eq(pawl_lane_number("a"), 0xe40c292cu);
    cr_assert_eq(pawl_lane_number("foobar"), 0xbf9cf968u);
    cr_assert_eq(pawl_lane_number("+!=yG"), 1u, "its hash is 0");
}

Test(lane, names_are_1_to_31_printable_bytes_without_a_slash)
{
    cr_assert(pawl__lane_name_is_good("a"));
    cr_assert(pawl__lane_name_is_good("build & test ~1"));
    cr_assert(pawl__lane_name_is_good("1234567890123456789012345678901"));
    cr_assert(!pawl__lane_name_is_good("12345678901234567890123456789012"));
    cr_assert(!pawl__lane_name_is_good(""));
    cr_assert(!pawl__lane_name_is_good(NULL));
    cr_assert(!pawl__lane_name_is_good("a/b"));
    cr_assert(!pawl__lane_name_is_good("a\n"));
    cr_assert(!pawl__lane_name_is_good("a\x7f"));
    cr_assert(!pawl__lane_name_is_good("\xc3\xa9"));
}

Test(lane, definitions_out_of_range_are_named)
{
    const struct pawl_lane_def good = {.name = "a",
                                       .weight = 65535,
                                       .concurrency = UINT32_MAX,
                                       .rate = UINT32_MAX,
                                       .burst = UINT32_MAX,
                                       .age_ns = 1000000,
                                       .lease_ns = UINT64_C(1) << 53,
                                       .breaker_failures = UINT32_MAX,
                                       .breaker_probes = 65535,
                                       .breaker_ns = UINT64_C(1) << 53};
    struct pawl_lane_def def = good;

    cr_assert(pawl__lane_problem(&def) == NULL);
    def.name = "a/b";
    cr_assert(strstr(pawl__lane_problem(&def), "name") != NULL);
    def = good;
    def.weight++;
    cr_assert(strstr(pawl__lane_problem(&def), "weight") != NULL);
    def = good;
    def.age_ns--;
    cr_assert(strstr(pawl__lane_problem(&def), "age_ns") != NULL);
    def = good;
    def.lease_ns++;
    cr_assert(strstr(pawl__lane_problem(&def), "lease_ns") != NULL);
    def = good;
    def.breaker_probes++;
    cr_assert(strstr(pawl__lane_problem(&def), "breaker_probes") != NULL);
    def = good;
    def.breaker_ns++;
    cr_assert(strstr(pawl__lane_problem(&def), "breaker_ns") != NULL);
}

Test(lane, defaults_are_those_of_the_public_header)
{
    struct lane_state state;

    make((struct pawl_lane_def){.rate = 1, .breaker_failures = 1});
    cr_assert_eq(lane.weight, 1u);
    cr_assert_eq(lane.age_ns, 0u);
    cr_assert_eq(lane.lease_ns, 60 * SECOND);
    cr_assert_eq(lane.number, pawl_lane_number("test"));
    cr_assert_str_eq(lane.name, "test");
    cr_assert_eq(admit(START, 5), 1u, "burst is 1");
    lane_outcome(&lane, START, false, LANE_NO_ROUND);
    pawl__lane_state(&lane, &state);
    cr_assert_eq(state.reopen_ns, START + 10 * SECOND);
    cr_assert_eq(lane.probes, 1u);
}

/* ---- No limits, and pauses ---- */

Test(lane, without_limits_admits_everything_and_is_never_written)
{
    struct lane before;

    make((struct pawl_lane_def){.weight = 3});
    memcpy(&before, &lane, sizeof(before));
    for (uint32_t i = 0; i < 100; i++) {
        const struct lane_grant grant = lane_admit(&lane, START + i, UINT32_MAX);

        cr_assert_eq(grant.count, UINT32_MAX);
        cr_assert_eq(grant.round, LANE_NO_ROUND);
        cr_assert_eq(grant.retry_ns, 0u);
        cr_assert(!grant.wake);
        cr_assert(!lane_return(&lane, grant.round, 10));
        cr_assert(!lane_release(&lane, grant.round, 10));
        cr_assert(!lane_outcome(&lane, START + i, false, grant.round));
    }
    pawl__lane_hold(&lane, 5);
    cr_assert(memcmp(&before, &lane, sizeof(before)) == 0);
}

Test(lane, pause_lasts_until_it_is_resumed)
{
    struct lane_grant grant;

    make((struct pawl_lane_def){0});
    pawl__lane_pause(&lane, UINT64_MAX);
    grant = lane_admit(&lane, UINT64_MAX - 1, 4);
    cr_assert_eq(grant.count, 0u);
    cr_assert_eq(grant.retry_ns, UINT64_MAX);
    cr_assert(pawl__lane_is_paused(&lane, UINT64_MAX - 1));
    pawl__lane_resume(&lane);
    cr_assert(!pawl__lane_is_paused(&lane, START));
    cr_assert_eq(admit(START, 4), 4u);
}

Test(lane, pause_ends_at_its_time_to_the_nanosecond)
{
    struct lane_grant grant;

    make((struct pawl_lane_def){.concurrency = 4});
    pawl__lane_pause(&lane, START + 100);
    grant = lane_admit(&lane, START + 99, 4);
    cr_assert_eq(grant.count, 0u);
    cr_assert_eq(grant.retry_ns, START + 100);
    cr_assert(pawl__lane_is_paused(&lane, START + 99));
    cr_assert(!pawl__lane_is_paused(&lane, START + 100));
    cr_assert_eq(admit(START + 100, 4), 4u);
    cr_assert_eq(load_relaxed(&lane.pause_until), 0u, "what is over costs nothing more");
}

Test(lane, newer_pause_takes_the_place_of_the_older)
{
    make((struct pawl_lane_def){0});
    pawl__lane_pause(&lane, UINT64_MAX);
    pawl__lane_pause(&lane, START + 10);
    cr_assert_eq(admit(START + 9, 1), 0u);
    cr_assert_eq(admit(START + 10, 1), 1u);
}

Test(lane, pause_refuses_without_touching_any_limit)
{
    make((struct pawl_lane_def){.concurrency = 2, .rate = 1, .burst = 2, .breaker_failures = 1});
    pawl__lane_pause(&lane, UINT64_MAX);
    cr_assert_eq(admit(START, 2), 0u);
    pawl__lane_resume(&lane);
    cr_assert_eq(admit(START, 2), 2u);
}

/* ---- Concurrency ---- */

Test(lane, concurrency_admits_up_to_its_limit_and_again_after_ends)
{
    struct lane_grant grant;

    make((struct pawl_lane_def){.concurrency = 5});
    grant = lane_admit(&lane, START, 3);
    cr_assert_eq(grant.count, 3u);
    cr_assert_eq(grant.retry_ns, 0u);
    grant = lane_admit(&lane, START, 3);
    cr_assert_eq(grant.count, 2u);
    cr_assert_eq(grant.retry_ns, UINT64_MAX);
    cr_assert_eq(admit(START + 100 * SECOND, 1), 0u, "time alone frees nothing");
    lane_release(&lane, LANE_NO_ROUND, 1);
    cr_assert_eq(admit(START, 3), 1u);
    lane_return(&lane, LANE_NO_ROUND, 2);
    cr_assert_eq(admit(START, 3), 2u);
}

Test(lane, end_of_a_lease_tells_of_those_who_wait_exactly_once)
{
    make((struct pawl_lane_def){.concurrency = 2});
    cr_assert_eq(admit(START, 2), 2u);
    cr_assert(!lane_release(&lane, LANE_NO_ROUND, 1), "nobody was refused");
    cr_assert_eq(admit(START, 2), 1u, "one of two is refused");
    cr_assert_eq(admit(START, 1), 0u);
    cr_assert(lane_release(&lane, LANE_NO_ROUND, 1));
    cr_assert(!lane_release(&lane, LANE_NO_ROUND, 1));
    cr_assert_eq(admit(START, 2), 2u, "the mark is no place");
    cr_assert_eq(admit(START, 2), 0u);
    cr_assert(lane_return(&lane, LANE_NO_ROUND, 2), "what is given back tells as well");
}

Test(lane, held_leases_of_before_count_even_above_a_lowered_limit)
{
    make((struct pawl_lane_def){.concurrency = 3});
    pawl__lane_hold(&lane, 4);
    pawl__lane_hold(&lane, 1);
    cr_assert_eq(admit(START, 1), 0u);
    lane_release(&lane, LANE_NO_ROUND, 2);
    cr_assert_eq(admit(START, 1), 0u);
    lane_release(&lane, LANE_NO_ROUND, 1);
    cr_assert_eq(admit(START, 2), 1u);
}

/* ---- Rate ---- */

Test(lane, rate_admits_the_burst_and_then_one_an_interval)
{
    struct lane_grant grant;

    make((struct pawl_lane_def){.rate = 10, .burst = 4});
    grant = lane_admit(&lane, START, 6);
    cr_assert_eq(grant.count, 4u);
    cr_assert_eq(grant.retry_ns, START + SECOND / 10);
    for (uint64_t i = 1; i <= 20; i++) {
        const uint64_t at = START + i * SECOND / 10;

        cr_assert_eq(admit(at - 1, 6), 0u);
        cr_assert_eq(admit(at, 6), 1u);
    }
    cr_assert_eq(admit(START + 3600 * SECOND, 100), 4u, "an idle lane saves a burst, no more");
}

Test(lane, rate_says_exactly_when_the_next_one_is_due)
{
    static const uint32_t rates[] = {1, 3, 7, 1000, 999999, 1000000007, 4000000000, UINT32_MAX};

    for (uint32_t i = 0; i < ARRAY_LEN(rates); i++) {
        uint64_t at = START;

        make((struct pawl_lane_def){.rate = rates[i]});
        cr_assert_eq(admit(at, 1), 1u);
        for (uint32_t n = 0; n < 1000; n++) {
            const struct lane_grant refused = lane_admit(&lane, at, UINT32_MAX);

            cr_assert_eq(refused.count, 0u, "rate %u, number %u", rates[i], n);
            cr_assert(refused.retry_ns > at);
            if (refused.retry_ns > at + 1)
                cr_assert_eq(admit(refused.retry_ns - 1, 1), 0u, "rate %u, number %u", rates[i], n);
            at = refused.retry_ns;
            /* Above one a nanosecond several are due at once. */
            cr_assert(admit(at, UINT32_MAX) >= 1, "rate %u, number %u", rates[i], n);
        }
    }
}

Test(lane, rate_does_not_drift)
{
    static const uint32_t rates[] = {3, 7, 999999, 30000001};

    for (uint32_t i = 0; i < ARRAY_LEN(rates); i++) {
        uint64_t total = 0;

        make((struct pawl_lane_def){.rate = rates[i], .burst = UINT32_MAX});
        total += admit(START, UINT32_MAX);
        for (uint64_t look = 1; look <= 100; look++) {
            const uint64_t due = rates[i] * look * 36 / 100;

            total += admit(START + look * SECOND * 36 / 100, UINT32_MAX);
            cr_assert_eq(total, UINT32_MAX + due);
        }
    }
}

/* All windows between admissions at random times, against burst + rate * (window + 1 ns). */
Test(lane, rate_holds_over_every_window)
{
    enum { ADMISSIONS = 400 };
    const uint32_t rate = 1234567, burst = 9;
    struct random random = {42};
    uint64_t at[ADMISSIONS], total[ADMISSIONS + 1] = {0}, now = START;

    make((struct pawl_lane_def){.rate = rate, .burst = burst});
    for (uint32_t i = 0; i < ADMISSIONS; i++) {
        now += random_below(&random, random_below(&random, 2) == 0 ? 3000 : 20);
        at[i] = now;
        total[i + 1] = total[i] + admit(now, (uint32_t)random_below(&random, 12));
    }
    for (uint32_t from = 0; from < ADMISSIONS; from++) {
        for (uint32_t to = from; to < ADMISSIONS; to++) {
            const double window = (double)(at[to] - at[from] + 1) / 1e9;

            cr_assert((double)(total[to + 1] - total[from]) <= burst + rate * window,
                      "admissions %u to %u", from, to);
        }
    }
    cr_assert(total[ADMISSIONS] > (at[ADMISSIONS - 1] - START) * rate / SECOND / 2, "nor too few");
}

Test(lane, rate_admits_again_what_is_given_back)
{
    make((struct pawl_lane_def){.rate = 10, .burst = 4});
    cr_assert_eq(admit(START, 4), 4u);
    lane_return(&lane, LANE_NO_ROUND, 3);
    cr_assert_eq(admit(START, 9), 3u);
    lane_release(&lane, LANE_NO_ROUND, 3);
    cr_assert_eq(admit(START, 1), 0u, "the end of a lease gives no token back");
}

Test(lane, bucket_given_back_to_does_not_overflow)
{
    make((struct pawl_lane_def){.rate = 10, .burst = 4});
    cr_assert_eq(admit(START, 4), 4u);
    lane_return(&lane, LANE_NO_ROUND, 4);
    cr_assert_eq(admit(START + 100 * SECOND, 100), 4u);
}

Test(lane, rate_bears_shards_whose_times_differ)
{
    make((struct pawl_lane_def){.rate = 10, .burst = 2});
    cr_assert_eq(admit(START + SECOND, 2), 2u);
    cr_assert_eq(admit(START, 2), 0u, "a time before that of another shard");
    cr_assert_eq(admit(START - SECOND, 2), 0u, "a time before the opening");
    cr_assert_eq(admit(START + SECOND + SECOND / 10, 2), 1u);
}

/* ---- Breaker ---- */

static enum pawl_breaker breaker(void)
{
    struct lane_state state;

    pawl__lane_state(&lane, &state);
    return state.breaker;
}

static void fail(uint64_t at_ns, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++)
        lane_outcome(&lane, at_ns, false, LANE_NO_ROUND);
}

/* Five failures in a row open it for a second; three probes. */
static void make_breaker(uint32_t concurrency)
{
    make((struct pawl_lane_def){.concurrency = concurrency,
                                .breaker_failures = 5,
                                .breaker_probes = 3,
                                .breaker_ns = SECOND});
}

Test(lane, breaker_opens_after_failures_in_a_row_only)
{
    struct lane_grant grant;

    make_breaker(0);
    fail(START, 4);
    cr_assert(!lane_outcome(&lane, START, true, LANE_NO_ROUND));
    fail(START, 4);
    cr_assert_eq(breaker(), PAWL_BREAKER_CLOSED);
    cr_assert_eq(admit(START, 100), 100u);
    fail(START + 7, 1);
    cr_assert_eq(breaker(), PAWL_BREAKER_OPEN);
    grant = lane_admit(&lane, START + 7, 1);
    cr_assert_eq(grant.count, 0u);
    cr_assert_eq(grant.retry_ns, START + 7 + SECOND);
    cr_assert_eq(admit(START + 6 + SECOND, 1), 0u);
}

Test(lane, half_open_breaker_closes_when_all_probes_do_well)
{
    struct lane_grant grant;

    make_breaker(0);
    fail(START, 5);
    grant = lane_admit(&lane, START + SECOND, 100);
    cr_assert_eq(grant.count, 3u);
    cr_assert(grant.round != LANE_NO_ROUND);
    cr_assert_eq(grant.retry_ns, UINT64_MAX);
    cr_assert_eq(breaker(), PAWL_BREAKER_HALF_OPEN);
    cr_assert_eq(admit(START + SECOND, 1), 0u);
    cr_assert(!lane_outcome(&lane, START + SECOND, true, grant.round));
    cr_assert(!lane_outcome(&lane, START + SECOND, true, grant.round));
    cr_assert_eq(admit(START + SECOND, 1), 0u, "two good, one out: three");
    cr_assert(lane_outcome(&lane, START + SECOND, true, grant.round), "others wait for that");
    cr_assert_eq(breaker(), PAWL_BREAKER_CLOSED);
    cr_assert_eq(admit(START + SECOND, 100), 100u);
    cr_assert(!lane_release(&lane, grant.round, 3), "a round that is over");
    fail(START + SECOND, 4);
    cr_assert_eq(breaker(), PAWL_BREAKER_CLOSED, "it counts from 0 again");
}

Test(lane, half_open_breaker_opens_again_at_one_bad_probe)
{
    struct lane_grant first, second;

    make_breaker(0);
    fail(START, 5);
    first = lane_admit(&lane, START + SECOND, 3);
    lane_outcome(&lane, START + SECOND, true, first.round);
    cr_assert_eq(admit(START + SECOND, 1), 0u);
    cr_assert(lane_outcome(&lane, START + SECOND + 5, false, first.round),
              "who waits for a probe is to learn the new time");
    cr_assert_eq(breaker(), PAWL_BREAKER_OPEN);
    cr_assert_eq(lane_admit(&lane, START + SECOND + 5, 1).retry_ns, START + 2 * SECOND + 5);
    second = lane_admit(&lane, START + 2 * SECOND + 5, 3);
    cr_assert_eq(second.count, 3u);
    cr_assert(second.round != first.round);
}

Test(lane, only_probes_of_the_round_decide)
{
    struct lane_grant first, second;

    make_breaker(0);
    fail(START, 5);
    first = lane_admit(&lane, START + SECOND, 3);
    lane_outcome(&lane, START + SECOND, false, first.round);
    lane_outcome(&lane, START + 9 * SECOND, false, LANE_NO_ROUND);
    cr_assert_eq(lane_admit(&lane, START + SECOND, 1).retry_ns, START + 2 * SECOND,
                 "what fails late does not keep it open for longer");
    second = lane_admit(&lane, START + 2 * SECOND, 1);
    cr_assert_eq(second.count, 1u);
    lane_outcome(&lane, START + 2 * SECOND, false, LANE_NO_ROUND);
    lane_outcome(&lane, START + 2 * SECOND, false, first.round);
    for (uint32_t i = 0; i < 5; i++)
        lane_outcome(&lane, START + 2 * SECOND, true, first.round);
    cr_assert_eq(breaker(), PAWL_BREAKER_HALF_OPEN);
    lane_release(&lane, first.round, 3);
    cr_assert_eq(admit(START + 2 * SECOND, 9), 2u, "the old round's ends free no probes");
}

Test(lane, probe_that_ends_without_an_outcome_makes_room_for_another)
{
    struct lane_grant grant;

    make_breaker(0);
    fail(START, 5);
    grant = lane_admit(&lane, START + SECOND, 3);
    cr_assert(!lane_release(&lane, grant.round, 1), "nobody was refused");
    cr_assert_eq(admit(START + SECOND, 2), 1u);
    cr_assert(lane_release(&lane, grant.round, 1));
    cr_assert_eq(admit(START + SECOND, 2), 1u);
    cr_assert(lane_return(&lane, grant.round, 1));
    cr_assert_eq(lane_admit(&lane, START + SECOND, 1).round, grant.round);
}

Test(lane, outcome_of_a_probe_may_come_after_its_end)
{
    struct lane_grant grant;

    make_breaker(0);
    fail(START, 5);
    grant = lane_admit(&lane, START + SECOND, 3);
    lane_release(&lane, grant.round, 3);
    for (uint32_t i = 0; i < 3; i++)
        lane_outcome(&lane, START + SECOND, true, grant.round);
    cr_assert_eq(breaker(), PAWL_BREAKER_CLOSED);
}

Test(lane, breaker_with_many_probes_counts_them_all)
{
    struct lane_grant grant;

    make((struct pawl_lane_def){.breaker_failures = 1, .breaker_probes = 65535});
    fail(START, 1);
    grant = lane_admit(&lane, START + 10 * SECOND, UINT32_MAX);
    cr_assert_eq(grant.count, 65535u);
    for (uint32_t i = 0; i < 65534; i++)
        lane_outcome(&lane, START, true, grant.round);
    cr_assert_eq(breaker(), PAWL_BREAKER_HALF_OPEN);
    lane_release(&lane, grant.round, 65535);
    cr_assert_eq(admit(START + 10 * SECOND, 9), 1u);
    lane_outcome(&lane, START, true, grant.round);
    cr_assert_eq(breaker(), PAWL_BREAKER_CLOSED);
}

/* ---- Together ---- */

Test(lane, refusal_by_one_limit_leaves_the_others_whole)
{
    make((struct pawl_lane_def){.concurrency = 2,
                                .rate = 1,
                                .burst = 8,
                                .breaker_failures = 1,
                                .breaker_probes = 4,
                                .breaker_ns = SECOND});
    cr_assert_eq(admit(START, 8), 2u, "concurrency is the narrowest");
    cr_assert_eq(admit(START, 8), 0u);
    lane_release(&lane, LANE_NO_ROUND, 2);
    cr_assert_eq(admit(START, 8), 2u);
    lane_release(&lane, LANE_NO_ROUND, 2);
    cr_assert_eq(admit(START, 1), 1u);
    fail(START, 1);
    cr_assert_eq(admit(START, 8), 0u, "open");
    cr_assert_eq(load_relaxed(&lane.taken) >> lane.token_bits, 5u, "tokens are only for leases");

    make((struct pawl_lane_def){
        .rate = 1, .burst = 8, .breaker_failures = 1, .breaker_probes = 2, .breaker_ns = 1});
    fail(START - 1, 1);
    cr_assert_eq(admit(START, 8), 2u, "probes are the narrowest");
    cr_assert_eq(admit(START, 8), 0u);
    cr_assert_eq(load_relaxed(&lane.taken) >> lane.token_bits, 2u, "tokens are only for leases");
}

Test(lane, narrowest_limit_says_when_to_ask_again)
{
    struct lane_grant grant;

    make((struct pawl_lane_def){.concurrency = 3,
                                .rate = 1,
                                .burst = 2,
                                .breaker_failures = 1,
                                .breaker_probes = 2,
                                .breaker_ns = SECOND});
    grant = lane_admit(&lane, START, 8);
    cr_assert_eq(grant.count, 2u);
    cr_assert_eq(grant.retry_ns, START + SECOND, "a token");
    fail(START, 1);
    cr_assert_eq(lane_admit(&lane, START, 8).retry_ns, START + SECOND, "the breaker");
    grant = lane_admit(&lane, START + 2 * SECOND, 8);
    cr_assert_eq(grant.count, 1u);
    cr_assert_eq(grant.retry_ns, UINT64_MAX, "a place");
    cr_assert(grant.round != LANE_NO_ROUND);
    lane_release(&lane, LANE_NO_ROUND, 2);
    grant = lane_admit(&lane, START + 9 * SECOND, 8);
    cr_assert_eq(grant.count, 1u);
    cr_assert_eq(grant.retry_ns, UINT64_MAX, "a probe");
    grant = lane_admit(&lane, START + 9 * SECOND, 0);
    cr_assert_eq(grant.count, 0u);
    cr_assert_eq(grant.retry_ns, 0u, "nothing is waited for");
}

/* What is out is counted beside the lane, and in the end all of it is there again. */
Test(lane, random_traffic_never_exceeds_a_limit_and_leaks_nothing)
{
    struct random random = {7};
    uint64_t now = START, used = 0;
    uint32_t live = 0, out[64] = {0}, round[64] = {0};

    make((struct pawl_lane_def){.concurrency = 40,
                                .rate = 1000000,
                                .burst = 30,
                                .breaker_failures = 3,
                                .breaker_probes = 4,
                                .breaker_ns = 50000});
    for (uint32_t step = 0; step < 200000; step++) {
        const uint32_t at = (uint32_t)random_below(&random, 64);

        now += random_below(&random, 5000);
        if (out[at] == 0) {
            const struct lane_grant grant =
                lane_admit(&lane, now, (uint32_t)random_below(&random, 16));
            const uint32_t back = (uint32_t)random_below(&random, grant.count + 1);

            cr_assert(grant.round == LANE_NO_ROUND || grant.count <= 4);
            lane_return(&lane, grant.round, back);
            out[at] = grant.count - back;
            round[at] = grant.round;
            live += out[at];
            used += out[at];
        } else {
            if (random_below(&random, 4) > 0)
                lane_outcome(&lane, now, random_below(&random, 3) > 0, round[at]);
            lane_release(&lane, round[at], 1);
            out[at]--;
            live--;
        }
        cr_assert(live <= 40);
        cr_assert(used <= 30 + (now - START) / 1000);
    }
    cr_assert(used > 20000, "%llu", (unsigned long long)used);
    for (uint32_t at = 0; at < 64; at++)
        lane_release(&lane, round[at], out[at]);
    now += SECOND;
    if (breaker() != PAWL_BREAKER_CLOSED) {
        const struct lane_grant grant = lane_admit(&lane, now, 99);

        for (uint32_t i = 0; i < 4; i++)
            lane_outcome(&lane, now, true, grant.round);
        lane_return(&lane, grant.round, grant.count);
    }
    cr_assert_eq(admit(now + SECOND, 99), 30u);
    cr_assert_eq(admit(now + 2 * SECOND, 99), 10u);
}

/* ---- What is kept ---- */

Test(lane, changed_counts_what_is_worth_storing)
{
    struct lane_grant grant;

    make_breaker(7);
    cr_assert_eq(pawl__lane_changed(&lane), 0u);
    admit(START, 9);
    lane_release(&lane, LANE_NO_ROUND, 7);
    fail(START, 4);
    cr_assert_eq(pawl__lane_changed(&lane), 0u);
    fail(START, 1);
    cr_assert_eq(pawl__lane_changed(&lane), 1u, "opened");
    grant = lane_admit(&lane, START + SECOND, 3);
    cr_assert_eq(pawl__lane_changed(&lane), 1u);
    lane_outcome(&lane, START + SECOND, false, grant.round);
    cr_assert_eq(pawl__lane_changed(&lane), 2u, "opened again");
    grant = lane_admit(&lane, START + 2 * SECOND, 3);
    for (uint32_t i = 0; i < 3; i++)
        lane_outcome(&lane, START + 2 * SECOND, true, grant.round);
    cr_assert_eq(pawl__lane_changed(&lane), 3u, "closed");
    pawl__lane_pause(&lane, START + 3 * SECOND);
    cr_assert_eq(pawl__lane_changed(&lane), 4u);
    admit(START + 3 * SECOND, 1);
    cr_assert_eq(pawl__lane_changed(&lane), 4u);
    pawl__lane_resume(&lane);
    cr_assert_eq(pawl__lane_changed(&lane), 5u);
}

Test(lane, state_is_put_in_as_it_was_read_out)
{
    struct lane_state state, again;

    make_breaker(0);
    fail(START, 3);
    pawl__lane_pause(&lane, START + 9);
    pawl__lane_state(&lane, &state);
    make_breaker(0);
    cr_assert_eq(pawl__lane_restore(&lane, &state), 0);
    pawl__lane_state(&lane, &again);
    cr_assert_eq(again.pause_until, START + 9);
    cr_assert_eq(again.failures, 3u);
    cr_assert_eq(admit(START + 8, 1), 0u);
    cr_assert_eq(admit(START + 9, 1), 1u);
    fail(START + 9, 2);
    cr_assert_eq(breaker(), PAWL_BREAKER_OPEN);

    pawl__lane_state(&lane, &state);
    make_breaker(0);
    cr_assert_eq(pawl__lane_restore(&lane, &state), 0);
    cr_assert_eq(admit(START + 8 + SECOND, 1), 0u);
    cr_assert_eq(admit(START + 9 + SECOND, 9), 3u);
}

Test(lane, half_open_breaker_is_restored_with_all_its_probes)
{
    struct lane_state state;

    make_breaker(0);
    fail(START, 5);
    cr_assert_eq(admit(START + SECOND, 3), 3u);
    pawl__lane_state(&lane, &state);
    cr_assert_eq(state.breaker, PAWL_BREAKER_HALF_OPEN);
    make_breaker(0);
    cr_assert_eq(pawl__lane_restore(&lane, &state), 0);
    cr_assert_eq(admit(START + SECOND, 9), 3u);
}

Test(lane, restoring_bears_other_definitions_and_refuses_nonsense)
{
    struct lane_state state = {.failures = 100};

    make_breaker(0);
    cr_assert_eq(pawl__lane_restore(&lane, &state), 0);
    cr_assert_eq(breaker(), PAWL_BREAKER_CLOSED);
    fail(START, 1);
    cr_assert_eq(breaker(), PAWL_BREAKER_OPEN, "more failures than the limit is now");

    make((struct pawl_lane_def){0});
    state = (struct lane_state){.breaker = PAWL_BREAKER_OPEN, .reopen_ns = UINT64_MAX};
    cr_assert_eq(pawl__lane_restore(&lane, &state), 0);
    cr_assert_eq(admit(START, 1), 1u, "it has no breaker any more");

    state.breaker = (enum pawl_breaker)3;
    state.pause_until = UINT64_MAX;
    cr_assert_eq(pawl__lane_restore(&lane, &state), -EINVAL);
    cr_assert_eq(admit(START, 1), 1u, "nothing was changed");
}
