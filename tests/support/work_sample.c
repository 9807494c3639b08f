/*
 * work_sample.c - for the tests of the tool: a durable runtime with the work machine leaves a store
 * behind as a host does that is killed, and says on standard output which task is which.
 *
 *   work_sample DIR [SOCKET]
 *
 * With a SOCKET it opens a window there, says "window open", and is killed when its standard input ends.
 *
 * Two shards; lanes build and verify, verify paused. Keys: done (completed, with what it was
 * submitted with and evidence), dead (one attempt, which failed), leased (in the hands of an agent,
 * with a note of 10,000 bytes), dependent (waits for leased, which is its parent too, and a port
 * watches leased), ready, delayed, bytes 00 01 (in verify), and one that is held and has no key.
 */
#include <pawl/pawl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

static struct pawl_runtime *runtime;
static struct pawl_port *port;
static struct pawl_agent *agent;

static void require(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "work_sample: %s\n", what);
    _exit(1);
}

static void show(void *user, const struct pawl_diagnostic *diagnostic)
{
    (void)user;
    fprintf(stderr, "work_sample: %s: %s\n", diagnostic->where, diagnostic->what);
}

static void open_all(const char *directory)
{
    static const struct pawl_lane_def lanes[] = {{.name = "build"}, {.name = "verify"}};
    static const struct pawl_work_policy policies[] = {
        {.name = "usual", .keep_ns = PAWL_WORK_FOREVER}, {.name = "once", .attempts = 1}};
    static const struct pawl_work_options work = {PAWL_TABLE(policies),
                                                  .durability = PAWL_DURABILITY_SYNC};
    static const char *const served[] = {"build"};
    const struct pawl_agent_options worker = {.name = "worker", .lanes = served, .lanes_count = 1};
    struct pawl_store_options store = PAWL_STORE_OPTIONS_INIT;
    struct pawl_options options = PAWL_OPTIONS_INIT;

    store.directory = directory;
    options.store = &store;
    options.shards = 2;
    options.no_pin = 1;
    options.lanes = lanes;
    options.lane_count = 2;
    options.work = &work;
    options.diagnose = show;
    require(pawl_open(&options, &runtime) == 0, "the runtime does not open");
    require(pawl_start(runtime) == 0, "the runtime does not start");
    require(pawl_port_open(runtime, NULL, &port) == 0, "no port");
    require(pawl_agent_open(runtime, &worker, &agent) == 0, "no agent");
}

/* Durable when this returns; what it is called goes to standard output. */
static struct pawl_task submit(const char *name, const struct pawl_work_spec *spec)
{
    struct pawl_completion done;

    require(pawl_work_submit(port, spec, 1) == 0, "a task is refused");
    require(pawl_port_wait(port, 10 * SECOND) == 0 && pawl_port_reap(port, &done, 1) == 1,
            "a task is not answered");
    require(done.status == 0, "a task is not made");
    printf("%s %016llx\n", name, (unsigned long long)done.task.id);
    return done.task;
}

static struct pawl_work_spec spec_of(const char *key, const char *lane)
{
    struct pawl_work_spec spec = PAWL_WORK_SPEC_INIT;

    spec.key = key;
    spec.key_size = key ? strlen(key) : 0;
    spec.lane = lane;
    return spec;
}

static struct pawl_lease lease(struct pawl_task task)
{
    struct pawl_lease taken;

    require(pawl_agent_next(agent, &taken, 1, 10 * SECOND) == 1, "no lease");
    require(taken.task.id == task.id, "another task is leased");
    return taken;
}

static void report(const struct pawl_lease *taken, const struct pawl_report *said)
{
    struct pawl_receipt receipt;

    require(pawl_agent_report(agent, taken, said) == 0, "a report is refused");
    require(pawl_agent_settle(agent, 10 * SECOND) == 0, "a report has no receipt");
    require(pawl_agent_receipts(agent, &receipt, 1) == 1 && receipt.status == 0,
            "a report is not applied");
}

static void make_done(void)
{
    static const char log[] = "all 7 tests pass\nno w\xc3\xa4"
                              "rnings\n";
    struct pawl_work_spec spec = spec_of("done", "build");
    struct pawl_lease taken;

    spec.title = "make all";
    spec.description = "with a \"quote\"";
    spec.payload = "\x00\xff";
    spec.payload_size = 2;
    taken = lease(submit("done", &spec));
    report(&taken,
           &(struct pawl_report){
               .kind = PAWL_REPORT_NOTE, .bytes = log, .size = strlen(log), .hash = 0xfeed});
    report(&taken, &(struct pawl_report){.kind = PAWL_REPORT_DONE, .value = 42});
}

static void make_dead(void)
{
    struct pawl_work_spec spec = spec_of("dead", "build");
    struct pawl_lease taken;

    spec.policy = 1;
    taken = lease(submit("dead", &spec));
    report(&taken, &(struct pawl_report){.kind = PAWL_REPORT_FAILED, .klass = 7});
}

static struct pawl_task make_leased(void)
{
    static char log[10000];
    struct pawl_work_spec spec = spec_of("leased", "build");
    struct pawl_lease taken;

    memset(log, 'x', sizeof(log));
    log[sizeof(log) - 1] = 'y';
    spec.priority = 5;
    taken = lease(submit("leased", &spec));
    report(&taken,
           &(struct pawl_report){.kind = PAWL_REPORT_NOTE, .bytes = log, .size = sizeof(log)});
    report(&taken, &(struct pawl_report){.kind = PAWL_REPORT_PROGRESS, .value = 33});
    return taken.task;
}

static void make_others(struct pawl_task leased)
{
    struct pawl_work_spec spec = spec_of("dependent", "build");

    spec.after = &leased;
    spec.after_count = 1;
    spec.parent = leased;
    submit("dependent", &spec);
    spec = spec_of("ready", "build");
    spec.priority = 7;
    submit("ready", &spec);
    spec = spec_of("delayed", "build");
    spec.delay_ns = 3600 * SECOND;
    submit("delayed", &spec);
    spec = spec_of(NULL, "verify");
    spec.key = "\x00\x01";
    spec.key_size = 2;
    submit("bytes", &spec);
    spec = spec_of(NULL, "build");
    spec.flags = PAWL_WORK_HELD;
    submit("held", &spec);
}

static void let_look_in(const char *path)
{
    const struct pawl_live_options options = {.path = path, .diagnose = show};
    struct pawl_live *live;

    require(pawl_live_open(runtime, &options, &live) == 0, "no window");
    puts("window open");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    pawl_live_close(live);
}

int main(int argc, char **argv)
{
    struct pawl_task leased;

    require(argc == 2 || argc == 3, "name a directory");
    open_all(argv[1]);
    require(pawl_lane_pause(runtime, "verify", 0) == 0, "the lane is not paused");
    make_done();
    usleep(50000); /* ages are told in steps of 17 ms: it is the oldest for all to see */
    make_dead();
    leased = make_leased();
    require(pawl_work_watch(port, leased, 2) == 0, "a task is not watched");
    make_others(leased);
    usleep(50000); /* who waits asks in a later turn */
    require(pawl_sync(runtime, 10 * SECOND) == 0, "the store is not synced");
    if (argc == 3)
        let_look_in(argv[2]);
    fflush(stdout);
    _exit(0); /* as if killed: a lease is still held */
}
