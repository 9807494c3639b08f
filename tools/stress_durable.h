/*
 * stress_durable.h - `pawl stress --durable`: what its parts share.
 *
 *   stress_durable.c          the run: open or resume, load, settle, close
 *   stress_durable_account.c  the machine that takes orders
 *   stress_durable_machine.c  the others: clerks, guests, witnesses
 *   stress_durable_teller.c   tellers: threads that post orders and log what is acknowledged
 *   stress_durable_guest.c    tellers: keyed tasks that come and go
 *   stress_durable_check.c    the recovered store against the log, before its first turn
 *   stress_durable_books.c    totals, once nothing is under way
 *   stress_durable_report.c   progress and summary
 *   stress_ack.c              the acknowledgement log
 *
 * How loss, doubling and half steps are found. Each account takes its orders strictly by number:
 * the one that is not the next is refused, and one that was handled already is a finding. What
 * order n of account i does is a function of the seed, i and n alone. So an account that says it
 * has handled n orders has counters that can be worked out, and the log needs one number: the last
 * that was acknowledged. A recovered account must not be behind that; with async steps it may be,
 * by what was acknowledged within the last window, and then everything of its shard that was
 * acknowledged later must be lost with it. Orders move tokens between accounts, through events
 * between durable tasks, clerks that are created and end, questions, deferral and timers; tokens
 * are neither made nor lost, so when nothing is under way any more the balances add up to what the
 * accounts began with.
 *
 * Async steps that other shards have seen can be taken back by a crash, and are then made again:
 * with several shards tokens may be doubled (never lost). What was doubled is told, and is the base
 * of the next run.
 */
#ifndef PAWL_TOOLS_STRESS_DURABLE_H
#define PAWL_TOOLS_STRESS_DURABLE_H

#include "stress.h"
#include "stress_ack.h"

/* --- stress_durable_machine.c, stress_durable_account.c --- */

enum bank_machine { BANK_ACCOUNT, BANK_CLERK, BANK_GUEST, BANK_WITNESS, BANK_MACHINES };

enum account_event {
    ACCOUNT_ORDER,
    ACCOUNT_GIFT,
    ACCOUNT_URGENT,
    ACCOUNT_ASK,
    ACCOUNT_REPLY,
    ACCOUNT_RING,
    ACCOUNT_EMPLOYED,
    ACCOUNT_REOPEN,
};
enum account_state { ACCOUNT_LIVING, ACCOUNT_OPEN, ACCOUNT_CLOSED };
enum clerk_event { CLERK_RING };
enum guest_event { GUEST_NOTE, GUEST_LEAVE };
enum witness_event { WITNESS_SEE };

/* What an order is about; all but the first have an effect beyond the account. */
enum bank_op {
    OP_BANK_PLAIN,
    OP_BANK_PAY,    /* a gift to another account, which may pass a part of it on */
    OP_BANK_PARCEL, /* a gift in a buffer */
    OP_BANK_ASK,
    OP_BANK_ARM,
    OP_BANK_DISARM,
    OP_BANK_CLOSE, /* orders and gifts are deferred for a while */
    OP_BANK_HIRE,  /* a clerk takes a token, and brings it back when its timer fires */
    OP_BANK_SHOW,  /* a memory-only witness is told, and logs it */
    BANK_OPS,
};

struct bank_order {
    enum bank_op op;
    uint32_t target; /* an account */
    uint32_t amount; /* wanted; given is what there is */
    uint32_t hops;
    uint32_t bytes;
    uint64_t delay_ns;
    bool control;
};

struct account {
    uint32_t index;
    uint32_t last;   /* order handled */
    uint32_t urgent; /* likewise */
    uint32_t flags;  /* ACCOUNT_IS_* */
    uint64_t balance;
    uint64_t given;
    uint64_t got;
    uint64_t asked;          /* over all questions without a reply; 0 when there is none */
    uint32_t done[BANK_OPS]; /* orders of each kind */
    uint32_t replies;
    uint32_t fired;
    uint32_t disarmed;
    uint32_t hired; /* clerks asked for */
    uint32_t employed;
    uint64_t seal; /* over all before it: a context of mixed steps does not fit its seal */
};
#define ACCOUNT_IS_ARMED  0x1u
#define ACCOUNT_IS_CLOSED 0x2u

struct clerk {
    uint32_t boss;
    uint32_t number; /* of the boss's clerks */
    uint32_t tokens;
    uint32_t seal;
};

struct guest_context {
    uint32_t index;
    uint32_t number; /* of its visits */
    uint32_t notes;
    uint32_t seal;
};

_Static_assert(sizeof(struct account) % 8 == 0 && sizeof(struct account) > 24,
               "an account's context is to live in a block, and is sealed in words");
_Static_assert(sizeof(struct clerk) <= 24 && sizeof(struct guest_context) <= 24,
               "theirs are to live in the slot");

struct bank;

/* Compiles the machine; 0 or -errno. */
int bank_machine_compile(enum bank_machine machine, enum pawl_durability durability,
                         pawl_diagnostic_fn *diagnose, struct pawl_machine **compiled);
struct bank_order bank_order_of(const struct bank *bank, uint32_t index, uint32_t number);
struct account account_new(const struct bank *bank, uint32_t index);
struct guest_context guest_new(uint32_t index, uint32_t number);
size_t account_key(char key[64], uint32_t index); /* 0: it has none */
size_t guest_key(char key[64], uint32_t index);
/* What is wrong with a task as it was read, in words; NULL: nothing. */
const char *bank_view_fault(const struct bank *bank, const struct pawl_view *view);
pawl_undelivered_fn bank_undelivered;

/* --- the bank --- */

enum guest_phase { GUEST_GONE, GUEST_COMING, GUEST_HERE, GUEST_LEAVING };

struct bank_guest {
    struct pawl_task task;
    uint32_t number; /* of the visit under way, or of the last one */
    uint32_t newest; /* number that was ever used */
    uint8_t phase;   /* enum guest_phase */
    uint8_t notes;   /* still to be posted */
    uint8_t waiting; /* completions of notes */
    uint32_t noted;
};

/* An account as its teller sees it. T: its teller, or the main thread while no teller runs. */
struct bank_account {
    uint64_t task;         /* handle; written before the load, then constant; handlers read it */
    uint32_t posted;       /* T: order */
    uint32_t acked;        /* T */
    uint32_t urgent_acked; /* T */
    uint16_t under_way;    /* T: orders whose completion is to come */
    bool urgent_posted;    /* T: one more than acked */
    bool failing; /* T: an order failed; those behind it are refused, then all are posted again */
};

struct teller;

struct bank {
    struct stress *s; /* options, findings */
    const char *log_path;
    struct ack_head head; /* of the log in force */
    int log;              /* descriptor for appending; -1: none */
    struct pawl_runtime *runtime;
    struct pawl_machine *machines[BANK_MACHINES];
    struct pawl_port *port; /* of the main thread */
    unsigned shards;
    uint32_t accounts_count;
    uint32_t guests_count;
    struct bank_account *accounts;
    struct bank_guest *guests;
    _Atomic uint64_t *witnesses; /* handles, one a shard; 0 at the beginning of a run */
    struct teller *tellers;
    _Atomic int stopping;  /* tellers come to an end */
    _Atomic int abandoned; /* they give up what they wait for */
    _Atomic int failed; /* a journal has, or the log cannot be written, or there is no more room */
    _Atomic int planted;
    _Atomic uint64_t acked;           /* orders, in this run */
    _Atomic uint64_t dropped_tokens;  /* for want of room, in this run or, in recovery, the last */
    _Atomic uint64_t dropped_replies; /* likewise */
    uint64_t shown_ns;                /* recovery's line */
};

/* What there is to tell in the end. */
struct bank_result {
    double open_seconds;
    double load_seconds;
    uint64_t recovered_tasks;
    uint64_t recovered_entries;
    uint64_t resent;
    uint64_t epoch;
    uint64_t checked;    /* acknowledged orders of earlier runs that were looked up */
    uint64_t torn;       /* stretches of the log that are no record */
    uint64_t lost;       /* acknowledged within the last window, and taken back */
    uint64_t lost_ns;    /* how long before the last record the oldest of them was */
    uint64_t orders;     /* acknowledged in this run */
    uint64_t all_orders; /* in all runs */
    uint64_t urgent;     /* likewise */
    uint64_t came, left; /* guests, likewise */
    uint64_t modelled;   /* orders worked out again for the comparison with accounts' counters */
    uint64_t tokens;     /* found in the end */
    uint64_t journal_bytes;
    uint64_t entries;
    uint64_t snapshots;
    struct pawl_counters counters;
    bool resumed;
    bool complete; /* the run came to its planned end */
};

#define BANK_TOKENS  100u
#define BANK_GUESTS  64u
#define BANK_DEPTH   4u /* orders under way for one account */
#define GUESTS_NOTES 3u

/*
 * How much older than the window the oldest lost acknowledgement of an async step may be: the
 * disk's and the scheduler's time comes on top of the window.
 */
#define BANK_WINDOW_SLACK_NS (1000 * MILLISECOND)

static inline bool bank_is_sync(const struct bank *bank)
{
    return bank->head.durability == PAWL_DURABILITY_SYNC;
}
/*
 * Whether to plant this fault: once, or again and again for a few, where the next order would mend
 * it.
 */
static inline bool bank_wants(struct bank *bank, enum plant plant)
{
    return bank->s->options.plant == plant && swap_acq_rel(&bank->planted, 1) == 0;
}
static inline bool bank_wants_some(const struct bank *bank, enum plant plant, uint32_t index)
{
    return bank->s->options.plant == plant && index % 8 == 0;
}
static inline uint64_t bank_settle_ns(const struct bank *bank)
{
    return stress_settle_ns(bank->s);
}

/*
 * bank_log - appends to the log. Any thread. False after a failure, which was told: the run ends.
 */
bool bank_log(struct bank *bank, struct ack_record *records, size_t count);

/* Calls seen for each task of the bank; view->context holds all of its context. */
typedef void bank_view_fn(struct bank *bank, const struct pawl_view *view, void *user);
void bank_walk(struct bank *bank, bank_view_fn *seen, void *user);

/* --- stress_durable.c --- */

/* bank_run - the whole run. Returns the command's exit code. */
int bank_run(struct stress *s);

/* --- stress_durable_check.c --- */

/*
 * bank_check_recovered - what the store holds against the log; fills in the accounts and guests.
 * Before the first turn. 0, or -errno; what is wrong is a finding.
 */
int bank_check_recovered(struct bank *bank, struct ack_log *log, struct bank_result *result);

/* bank_check_log - in the end the log and the accounts must say the same. */
void bank_check_log(struct bank *bank);

/* --- stress_durable_books.c --- */

/*
 * bank_settle - waits until nothing is under way, then compares totals; leaves the runtime drained.
 * recovered: doubled tokens are booked, where that may be. False: it does not come to rest, which
 * was told.
 */
bool bank_settle(struct bank *bank, bool recovered, struct bank_result *result);
/* bank_look - one walk while everything runs: each task in itself must be right. */
void bank_look(struct bank *bank);
/* bank_rewrite_log - begins the log anew with what is now known to be safe. 0 or -errno, told. */
int bank_rewrite_log(struct bank *bank);

/* --- stress_durable_teller.c --- */

#define BANK_TAG_KIND  30 /* index:30 below it */
#define BANK_TAG_INDEX ((1u << BANK_TAG_KIND) - 1)
enum bank_tag { BANK_TAG_ORDER, BANK_TAG_URGENT, BANK_TAG_GUEST, BANK_TAG_NOTE };

#define TELLER_POST 32u
#define TELLER_REAP 256u

struct teller {
    _Alignas(CACHE_LINE) struct bank *bank;
    unsigned number;
    struct pawl_port *port;
    struct random random;
    struct pawl_event staged[TELLER_POST];
    unsigned staged_at;
    unsigned staged_end;
    struct ack_record records[TELLER_REAP];
    unsigned records_count;
    uint64_t orders; /* acknowledged, as the next */
    uint64_t urgent;
    uint64_t came;
    uint64_t left;
    _Atomic int finished;
    bool started;
    pthread_t thread;
};

int tellers_open(struct bank *bank);
int tellers_start(struct bank *bank);
bool tellers_finished(struct bank *bank);
void tellers_join(struct bank *bank);
void tellers_close(struct bank *bank);
/* teller_record - one more line for the log; it is written with the batch's others. */
void teller_record(struct teller *t, enum ack_kind kind, uint32_t index, uint32_t number,
                   struct pawl_task task, uint64_t now_ns);

/* --- stress_durable_guest.c --- */

/* guest_turn - one step of one guest. False: nothing was done. */
bool guest_turn(struct teller *t);
/* A completion: what the log gets of it, then, when the log has it, what follows from it. */
void guest_record(struct teller *t, const struct pawl_completion *completion, uint64_t now_ns);
void guest_complete(struct teller *t, const struct pawl_completion *completion);

/* --- stress_durable_report.c --- */

void bank_say_recovered(const struct bank *bank, const struct bank_result *result);
void bank_say_progress(struct bank *bank, uint64_t begin_ns, uint64_t *shown_ns, uint64_t *shown);
/* Once: steps are refused for want of room; the log cannot be written. The run ends. Any thread. */
void bank_is_full(struct bank *bank);
void bank_log_failed(struct bank *bank, int error);
void bank_report(struct bank *bank, const struct bank_result *result);
pawl_store_failed_fn bank_storage_failed;
pawl_store_progress_fn bank_recovering;

#endif /* PAWL_TOOLS_STRESS_DURABLE_H */
