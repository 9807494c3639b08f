/*
 * stress_agents_log.h - the log of `pawl stress --agents` on a store: what agents and requesters
 * knew when the process ended, so that the recovered store can be held to it.
 *
 * A head, then records of 40 bytes, little-endian. A record that says what is going to be done is
 * written before; one that says what was acknowledged is written before anything follows from it.
 *
 *   begun       before a job is submitted; size: of its payload, a: what it is, b: its deadline
 *   made        its task's id is known: a
 *   leased      a lease has arrived; a: token, b: incarnation, klass: 1: to verify
 *   sending     before evidence is reported; a: its value, b: token, size
 *   accepted    klass: 1 + kind of an accepted report; size: class of a failure; a: token, b: value
 *   kept        evidence was accepted; a: its value
 *   cancelled   that it was cancelled is acknowledged
 *   kicking     before it is kicked
 *   settled     klass: the state that its watch told
 *   discarding  before it is discarded
 *   gone        its slot is free
 *   undone      a lease that a crash has taken back, with async steps; a: token
 */
#ifndef PAWL_TOOLS_STRESS_AGENTS_LOG_H
#define PAWL_TOOLS_STRESS_AGENTS_LOG_H

#include "stress_agents.h"

#define FLEET_MAGIC "PAWLFLT1"

struct fleet_head {
    char magic[8];
    uint64_t seed;
    uint32_t tasks;
    uint32_t requesters;
    uint32_t agents;
    uint32_t durability; /* enum pawl_durability */
};

enum fleet_record_kind {
    RECORD_BEGUN = 1,
    RECORD_MADE,
    RECORD_LEASED,
    RECORD_SENDING,
    RECORD_ACCEPTED,
    RECORD_KEPT,
    RECORD_CANCELLED,
    RECORD_KICKING,
    RECORD_SETTLED,
    RECORD_DISCARDING,
    RECORD_GONE,
    RECORD_UNDONE,
};

struct fleet_record {
    uint32_t crc; /* CRC32C of all that follows */
    uint8_t kind;
    uint8_t klass;
    uint16_t zero;
    uint32_t slot;
    uint32_t generation;
    uint32_t size;
    uint32_t zero2;
    uint64_t a;
    uint64_t b;
};
_Static_assert(sizeof(struct fleet_record) == 40, "as the page above says");

/* A new log, or one that is there: a descriptor for appending, or -errno. */
int fleet_log_create(const char *path, const struct fleet_head *head);
int fleet_log_open(const char *path, struct fleet_head *head);

/* Every record in its order; 0, -EBADMSG (a record in the middle is damaged), or -errno. */
typedef void fleet_record_fn(void *user, const struct fleet_record *record);
int fleet_log_read(int fd, fleet_record_fn *seen, void *user);

/* Appends; nothing in a run without a store. A log that cannot be written ends the run. Thread:
 * any. */
void fleet_log(struct fleet *fleet, enum fleet_record_kind kind, const struct job *job,
               uint8_t klass, uint32_t size, uint64_t a, uint64_t b);
void fleet_log_begun(struct fleet *fleet, const struct job *job);

#endif /* PAWL_TOOLS_STRESS_AGENTS_LOG_H */
