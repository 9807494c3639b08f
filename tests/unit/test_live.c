/* A window and its clients: real sockets, a thread of its own, and clients of every kind. */
#include <pawl/live.h>
#include <poll.h>

#include "host/thread.h"
#include "inspect_live.h"
#include "support/live_fixture.h"
#include "support/work_fixture.h"
#include "watch/live.h"

#define SHORT_NS UINT64_C(20000000) /* a patience that is over soon */

static struct work_fixture w;
static struct live_folder folder;
static struct pawl_live *live;

static void show(void *user, const struct pawl_diagnostic *diagnostic)
{
    (void)user;
    fprintf(stderr, "%d %s: %s\n", diagnostic->error, diagnostic->where, diagnostic->what);
}

static void open_window(unsigned clients, uint64_t patience_ns)
{
    const struct pawl_live_options options = {
        .path = folder.path, .clients = clients, .patience_ns = patience_ns, .diagnose = show};

    cr_assert_eq(pawl_live_open(w.f.runtime, &options, &live), 0);
}

static void begin(unsigned clients, uint64_t patience_ns)
{
    work_open(&w, &(struct work_fixture_options){.shards = 2});
    live_folder_make(&folder);
    open_window(clients, patience_ns);
}

static void end(void)
{
    pawl_live_close(live);
    live_folder_remove(&folder);
    work_close(&w);
}

/* A client that has been greeted. */
static int enter(void)
{
    const int fd = live_dial(folder.path);
    char line[256];

    cr_assert(fd >= 0);
    cr_assert(live_hear_line(fd, line, sizeof(line)), "no greeting");
    cr_assert(strstr(line, "{\"row\":\"pawl\",\"protocol\":1,") == line, "%s", line);
    return fd;
}

/* Whether the last row of what was heard says that it is complete. */
static bool is_complete(const char *heard)
{
    return strstr(heard, "\n{\"row\":\"end\",\"complete\":true") != NULL;
}

static void expect_answer(int fd)
{
    size_t size;
    char *const heard = live_hear_all(fd, &size);

    cr_assert(is_complete(heard), "%s", heard);
    free(heard);
    close(fd);
}

static void expect_refusal(int fd, const char *words)
{
    size_t size;
    char *const heard = live_hear_all(fd, &size);

    cr_assert(strstr(heard, "{\"row\":\"end\",\"complete\":false,\"code\":-22,") != NULL, "%s",
              heard);
    cr_assert(strstr(heard, words) != NULL, "%s", heard);
    free(heard);
    close(fd);
}

/* The other side lets go without a word more. */
static void expect_silence(int fd)
{
    size_t size;
    char *const heard = live_hear_all(fd, &size);

    cr_assert_eq(size, 0, "%s", heard);
    free(heard);
    close(fd);
}

/* It serves as before. */
static void expect_well(void)
{
    const int fd = enter();

    live_say(fd, "list\n");
    expect_answer(fd);
}

Test(live, a_client_is_greeted_and_answered)
{
    begin(0, 0);
    work_submit(&w, NULL);
    expect_well();
    end();
}

Test(live, a_request_may_come_in_pieces_and_something_behind_it)
{
    int fd;

    begin(0, 0);
    fd = enter();
    live_say(fd, "li");
    live_say(fd, "st");
    live_say(fd, " limit=1\nlist\n");
    expect_answer(fd);
    fd = enter(); /* whoever has said all may say so */
    live_say(fd, "list\n");
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    expect_answer(fd);
    end();
}

Test(live, garbage_and_lines_that_are_too_long_are_refused_in_words)
{
    static char line[PAWL_LIVE_REQUEST_MAX + 1];
    int fd;

    begin(0, 0);
    fd = enter();
    live_say(fd, "\x01\x02\xff\n");
    expect_refusal(fd, "begins with list or task");
    fd = enter();
    live_say(fd, "GET / HTTP/1.1\r\n");
    expect_refusal(fd, "begins with list or task");
    fd = enter();
    cr_assert_eq(send(fd, "\0\0\n", 3, MSG_NOSIGNAL), 3);
    expect_refusal(fd, "begins with list or task");
    memset(line, 'x', sizeof(line) - 1);
    fd = enter();
    live_say(fd, line);
    expect_refusal(fd, "at most 1024 bytes");
    expect_well();
    end();
}

Test(live, the_longest_line_is_still_one)
{
    char line[PAWL_LIVE_REQUEST_MAX + 1];
    int fd;

    begin(0, 0);
    memset(line, ' ', sizeof(line));
    memcpy(line, "list", 4);
    line[PAWL_LIVE_REQUEST_MAX - 1] = '\n';
    line[PAWL_LIVE_REQUEST_MAX] = '\0';
    fd = enter();
    live_say(fd, line);
    expect_refusal(fd, "there is a parameter");
    end();
}

Test(live, clients_that_leave_half_way_do_no_harm)
{
    begin(1, 0);
    for (unsigned i = 0; i < 20; i++) {
        const int fd = enter();

        if (i % 4 == 1)
            live_say(fd, "list");
        if (i % 4 == 2)
            live_say(fd, "list\n");
        if (i % 4 == 3) { /* the reply is cut off in the middle */
            char line[2048];

            live_say(fd, "list\n");
            cr_assert(live_hear_line(fd, line, sizeof(line)));
        }
        close(fd);
    }
    expect_well();
    end();
}

Test(live, who_says_nothing_is_let_go)
{
    int fd;

    begin(1, SHORT_NS);
    expect_silence(enter());
    fd = enter();
    (void)!send(fd, "li", 2, MSG_NOSIGNAL); /* it may be let go already */
    expect_silence(fd);
    close(enter()); /* the only place is free again */
    end();
}

/* It is never silent for long, and would need seconds for the longest line. */
Test(live, who_says_a_byte_now_and_then_is_let_go_in_the_end)
{
    const struct timespec moment = {.tv_nsec = 5000000};
    int fd;

    begin(1, 2 * SHORT_NS);
    fd = enter();
    while (send(fd, "l", 1, MSG_NOSIGNAL) == 1)
        nanosleep(&moment, NULL);
    expect_silence(fd);
    close(enter()); /* the only place is free again */
    end();
}

/* So that a reply is longer than what the sockets hold. */
static void fill_up(void)
{
    for (unsigned i = 0; i < 2000; i++)
        work_submit(&w, NULL);
}

Test(live, who_does_not_take_the_reply_is_let_go)
{
    static const char ask[] = "list limit=4096\n";
    char line[2048];
    size_t size;
    char *heard;
    int fd;

    begin(1, SHORT_NS);
    fill_up();
    for (;;) { /* until it has begun: we may be too slow for such a patience */
        fd = enter();
        if (send(fd, ask, strlen(ask), MSG_NOSIGNAL) > 0 && live_hear_line(fd, line, sizeof(line)))
            break;
        close(fd);
    }
    close(enter()); /* the only place is free again, though nothing more was taken */
    heard = live_hear_all(fd, &size);
    cr_assert(!is_complete(heard), "the reply was held for someone who did not take it");
    free(heard);
    close(fd);
    end();
}

Test(live, who_takes_the_reply_in_small_bites_has_it_whole)
{
    struct inspect_reply *const reply = calloc(1, sizeof(*reply));
    size_t size = 0;
    char *bytes = malloc(PAWL_LIVE_REPLY_MAX + 1);
    const int small = 4096;
    ssize_t got;
    int fd;

    begin(1, 0);
    fill_up();
    fd = live_dial(folder.path);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    live_say(fd, "list limit=4096\n");
    while ((got = recv(fd, bytes + size, 777, 0)) > 0)
        size += (size_t)got;
    cr_assert(inspect_reply_read(reply, true, bytes, size) == NULL);
    cr_assert(reply->complete);
    cr_assert_eq(reply->list.sight.tasks_count, 2000);
    cr_assert_eq(reply->list.sight.matching, 2000);
    inspect_reply_fini(reply);
    free(reply);
    free(bytes);
    close(fd);
    end();
}

Test(live, more_clients_than_places_are_served_one_after_another)
{
    int fds[6];

    begin(2, 0);
    for (unsigned i = 0; i < 6; i++) {
        fds[i] = live_dial(folder.path);
        cr_assert(fds[i] >= 0);
    }
    for (unsigned i = 0; i < 6; i++) {
        char line[256];

        if (i < 4) { /* nobody is greeted who has no place */
            struct pollfd wait = {.fd = fds[i + 2], .events = POLLIN};

            cr_assert_eq(poll(&wait, 1, 0), 0);
        }
        cr_assert(live_hear_line(fds[i], line, sizeof(line)));
        live_say(fds[i], "list\n");
        expect_answer(fds[i]);
    }
    end();
}

Test(live, several_at_once_are_answered_though_one_of_them_waits)
{
    int idle, fds[3];

    begin(4, 0);
    fill_up();
    idle = enter();
    for (unsigned i = 0; i < 3; i++)
        fds[i] = enter();
    for (unsigned i = 0; i < 3; i++)
        live_say(fds[i], i == 1 ? "list limit=4096\n" : "list limit=1\n");
    expect_answer(fds[2]);
    expect_answer(fds[0]);
    expect_answer(fds[1]);
    live_say(idle, "list\n");
    expect_answer(idle);
    end();
}

Test(live, closing_cuts_conversations_off_and_leaves_nothing)
{
    int quiet, half, full;

    begin(4, 0);
    fill_up();
    quiet = enter();
    half = enter();
    live_say(half, "li");
    full = enter();
    live_say(full, "list limit=4096\n");
    end(); /* the folder is empty, or it could not be removed */
    expect_silence(quiet);
    expect_silence(half);
    close(full);
    cr_assert_eq(live_dial(folder.path), -1);
}

Test(live, a_window_opens_again_where_one_was)
{
    begin(0, 0);
    expect_well();
    pawl_live_close(live);
    open_window(0, 0);
    expect_well();
    end();
}

Test(live, two_windows_look_at_one_runtime)
{
    struct live_folder first;
    struct pawl_live *other;

    begin(0, 0);
    first = folder;
    other = live;
    live_folder_make(&folder);
    open_window(0, 0);
    expect_well();
    pawl_live_close(live);
    live_folder_remove(&folder);
    folder = first;
    live = other;
    expect_well();
    end();
}

Test(live, a_runtime_can_be_looked_at_before_it_starts_and_after_it_stops)
{
    begin(0, 0);
    work_submit(&w, NULL);
    cr_assert_eq(pawl_stop(w.f.runtime), 0);
    expect_well();
    end();
}

static int refused(const struct pawl_live_options *options)
{
    live = NULL;
    return pawl_live_open(w.f.runtime, options, &live);
}

Test(live, a_runtime_that_is_looked_at_cannot_be_closed)
{
    begin(0, 0);
    cr_assert_eq(pawl_stop(w.f.runtime), 0);
    cr_assert_eq(pawl_port_close(w.f.port, 0), 0);
    cr_assert_eq(pawl_close(w.f.runtime), -EBUSY);
    expect_well();
    pawl_live_close(live);
    live_folder_remove(&folder);
    cr_assert_eq(pawl_close(w.f.runtime), 0);
    for (unsigned i = 0; i < w.f.machine_count; i++)
        pawl_machine_destroy(w.f.machines[i]);
    pawl_virtual_clock_destroy(w.f.clock);
}

Test(live, what_cannot_be_is_refused)
{
    struct pawl_live *first;

    begin(0, 0);
    first = live;
    cr_assert_eq(refused(&(struct pawl_live_options){.path = folder.path, .diagnose = show}),
                 -EBUSY);
    cr_assert_eq(refused(&(struct pawl_live_options){.path = "/tmp/x", .mode = 01777}), -EINVAL);
    cr_assert_eq(refused(&(struct pawl_live_options){.path = "/tmp/x", .clients = 17}), -EINVAL);
    cr_assert_eq(refused(&(struct pawl_live_options){.path = "/tmp/x", .patience_ns = 1}), -EINVAL);
    cr_assert_eq(refused(&(struct pawl_live_options){.path = "/tmp/x", .patience_ns = UINT64_MAX}),
                 -EINVAL);
    cr_assert_eq(refused(&(struct pawl_live_options){.path = NULL}), -EINVAL);
    cr_assert_eq(refused(NULL), -EINVAL);
    cr_assert(live == NULL);
    pawl_live_close(NULL);
    live = first;
    end();
}

/* ---- The thread ---- */

static int no_thread(void *user, const struct pawl_thread_spec *spec, pawl_thread_fn *fn,
                     void *argument, void **thread)
{
    (void)user, (void)spec, (void)fn, (void)argument, (void)thread;
    return -EAGAIN;
}

static struct pawl_thread_spec seen;

static int note_thread(void *user, const struct pawl_thread_spec *spec, pawl_thread_fn *fn,
                       void *argument, void **thread)
{
    seen = *spec;
    return pawl_threads_posix.start(user, spec, fn, argument, thread);
}

Test(live, its_thread_comes_from_the_seam)
{
    const struct pawl_threads none = {.start = no_thread, .join = pawl_threads_posix.join};
    const struct pawl_threads noted = {.start = note_thread, .join = pawl_threads_posix.join};
    const struct pawl_threads *before;
    struct pawl_live *other = NULL;

    work_open(&w, NULL);
    live_folder_make(&folder);
    before = w.f.runtime->threads;
    w.f.runtime->threads = &none;
    cr_assert_eq(
        pawl_live_open(w.f.runtime, &(struct pawl_live_options){.path = folder.path}, &other),
        -EAGAIN);
    cr_assert(other == NULL);
    cr_assert_eq(rmdir(folder.directory), 0, "the socket is left behind");
    live_folder_make(&folder);
    w.f.runtime->threads = &noted;
    open_window(0, 0);
    cr_assert_str_eq(seen.name, "pawl-live");
    expect_well();
    pawl_live_close(live);
    w.f.runtime->threads = before;
    live_folder_remove(&folder);
    work_close(&w);
}

/* A seam that tells what its thread has used of the processor when it ends. */
static uint64_t used_ns;
static pawl_thread_fn *real_fn;

static void measured(void *argument)
{
    struct timespec used;

    real_fn(argument);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    used_ns = (uint64_t)used.tv_sec * FIXTURE_SECOND + (uint64_t)used.tv_nsec;
}

static int start_measured(void *user, const struct pawl_thread_spec *spec, pawl_thread_fn *fn,
                          void *argument, void **thread)
{
    real_fn = fn;
    return pawl_threads_posix.start(user, spec, measured, argument, thread);
}

/* A loop that looks instead of sleeping would use all of the time. */
Test(live, while_nobody_asks_it_sleeps)
{
    const struct pawl_threads threads = {.start = start_measured, .join = pawl_threads_posix.join};
    const struct timespec moment = {.tv_nsec = 300000000};
    const struct pawl_threads *before;
    int idle;

    work_open(&w, NULL);
    live_folder_make(&folder);
    before = w.f.runtime->threads;
    w.f.runtime->threads = &threads;
    open_window(1, 0);
    idle = enter();
    nanosleep(&moment, NULL); /* not waited for: it is what is measured */
    pawl_live_close(live);
    close(idle);
    w.f.runtime->threads = before;
    cr_assert(used_ns < 100000000, "%llu ns", (unsigned long long)used_ns);
    live_folder_remove(&folder);
    work_close(&w);
}
