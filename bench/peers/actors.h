/*
 * actors.h - actor systems as contenders: the C++ Actor Framework (caf.cc), goroutines (peer.go) and
 * Erlang processes (peer_erlang.erl), each with one scheduler thread and with two.
 *
 * All are programs of their own (child.h) that know the same works:
 *
 *   "lifecycle"     N machines of five states that go round, one kind of event, two counters of context;
 *                   events to random machines, at most a few thousand under way; an operation is an
 *                   event. The samples carry "bytes_per_task": resident bytes that making them cost.
 *   "thread_ring"   N actors in a ring, one token; an operation is a hop
 *   "ping_pong"     the same with N = 2
 *   "skynet"        a tree of ten with N leaves (a power of ten) is spawned, and their numbers are summed
 *                   on the way back; an operation is a leaf
 *   "fan_in"        N senders to one receiver; an operation is a message
 *   "fork_join"     one spawns N that do a trifle, report and end; an operation is one of the N
 *   "big"           N actors send to each other one and answer; an operation is a message or an answer
 *
 * N is the row's size. A child times the work alone with its own monotonic clock, and checks it. How
 * many operations a round has is found out when a contender is opened, so that a round of a slow peer
 * takes no longer than one of a fast peer; only rates can be compared. A work whose one unit takes
 * longer (a tree of a million leaves) takes what it takes.
 *
 * Contenders of a process share their children: of each system there are at most two, whatever the
 * number of rows. The children are idle, without spinning, while others have their turn.
 */
#ifndef PAWL_BENCH_PEERS_ACTORS_H
#define PAWL_BENCH_PEERS_ACTORS_H

#include "harness.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ACTOR_CONTENDERS = 6 };

/*
 * Fills ACTOR_CONTENDERS contenders for a work: "caf-1", "caf-2", "go-1", "go-2", "erlang-1",
 * "erlang-2", those that the build did not find as absent. `work` must outlive the process's main.
 * Returns ACTOR_CONTENDERS. Use:
 *
 *     static struct bench_contender contenders[OWN + ACTOR_CONTENDERS] = {...};
 *     count = OWN + actor_contenders(contenders + OWN, "lifecycle");
 */
unsigned actor_contenders(struct bench_contender *out, const char *work);

/*
 * How many operations make a round of the length that the scale asks for: calls `round` with growing
 * numbers until it takes long enough to tell. `round` returns what was done, and how long it took.
 */
uint64_t actor_fit(uint64_t (*round)(void *state, uint64_t operations, uint64_t *ns), void *state);

#ifdef __cplusplus
}
#endif

#endif
