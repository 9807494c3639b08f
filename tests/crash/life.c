#include "crash/life.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What takes longer hangs. */
#define LIFE_SECONDS 100.0

double seconds(void)
{
    static double start;
    struct timespec now;
    double value;

    clock_gettime(CLOCK_MONOTONIC, &now);
    value = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    if (start == 0)
        start = value;
    return value - start;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void join(char path[PATH_MAX], const char *folder, const char *name)
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        exit(2);
}

void place_open(struct place *place, const char *worker, uint64_t seed)
{
    char here[PATH_MAX];

    memset(place, 0, sizeof(*place));
    if (getcwd(here, sizeof(here)) == NULL)
        exit(2);
    join(place->root, here, "crash-XXXXXX");
    if (mkdtemp(place->root) == NULL) {
        perror(place->root);
        exit(2);
    }
    place->worker = worker;
    place->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    join(place->store, place->root, "store");
    join(place->ledger_path, place->root, "ledger");
    join(place->log_path, place->root, "log");
    place->ledger = ledger_open(place->ledger_path);
}

void place_close(struct place *place, bool keep)
{
    ledger_close(place->ledger);
    if (keep)
        fprintf(stderr, "The store is kept in %s\n", place->root);
    else
        remove_tree(place->root);
}

void place_clear(struct place *place)
{
    remove_tree(place->store);
    memset(place->ledger, 0, sizeof(*place->ledger));
}

uint64_t place_random(struct place *place, uint64_t limit)
{
    place->random ^= place->random << 13;
    place->random ^= place->random >> 7;
    place->random ^= place->random << 17;
    return place->random % limit;
}

/* ---- A life ---- */

struct words {
    char text[24][PATH_MAX];
    char *word[25];
    unsigned count;
};

static void __attribute__((format(printf, 2, 3))) say(struct words *words, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(words->text[words->count], PATH_MAX, format, arguments);
    va_end(arguments);
    words->word[words->count] = words->text[words->count];
    words->count++;
}

static void put_words(struct words *words, struct place *place, const struct life *life)
{
    words->count = 0;
    memset(words->word, 0, sizeof(words->word));
    if (life->system_call != NULL) {
        say(words, "strace");
        say(words, "-f");
        say(words, "-qq");
        say(words, "-o/dev/null");
        say(words, "-etrace=%s", life->system_call);
        say(words, "-einject=%s:signal=KILL:when=%" PRIu64, life->system_call, life->nth);
    }
    say(words, "%s", place->worker);
    say(words, "%s", place->store);
    say(words, "%s", place->ledger_path);
    say(words, "--seed");
    say(words, "%" PRIu64, place_random(place, UINT32_MAX));
    if (life->host)
        say(words, "--host");
    if (life->leave)
        say(words, "--leave");
    if (life->shards > 0) {
        say(words, "--shards");
        say(words, "%u", life->shards);
    }
    if (life->rounds > 0) {
        say(words, "--rounds");
        say(words, "%u", life->rounds);
    }
    if (life->fault != FAULT_NONE) {
        say(words, "--fault");
        say(words, "%s", fault_names[life->fault]);
        say(words, "%s", call_names[life->call]);
        say(words, "%" PRIu64, life->nth);
    }
    if (life->no_space) {
        say(words, "--error");
        say(words, "ENOSPC");
    }
}

static pid_t start(const struct place *place, struct words *words)
{
    const pid_t pid = fork();

    if (pid == 0) {
        const int log = open(place->log_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

        /* A group of its own, so that strace and what it traces end together. */
        setpgid(0, 0);
        if (log < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
            _exit(2);
        execvp(words->word[0], words->word);
        _exit(2);
    }
    if (pid > 0)
        setpgid(pid, pid);
    return pid;
}

static void show(const struct place *place, const struct words *words, const char *what)
{
    char line[512];
    FILE *log = fopen(place->log_path, "r");

    fprintf(stderr, "life %u: %s:", place->lives, what);
    for (unsigned i = 0; i < words->count; i++)
        fprintf(stderr, " %s", words->word[i]);
    fputc('\n', stderr);
    while (log != NULL && fgets(line, sizeof(line), log) != NULL)
        fprintf(stderr, "    %s", line);
    if (log != NULL)
        fclose(log);
}

/* Waits for its end, killing it at its time; -1: it hangs. */
static int wait_end(pid_t pid, uint64_t kill_after_us)
{
    const double begun = seconds();
    bool killed = false;
    int status;

    for (;;) {
        const pid_t ended = waitpid(pid, &status, WNOHANG);
        const double lived = seconds() - begun;
        const double left = (double)kill_after_us / 1e6 - lived;

        if (ended == pid)
            return status;
        if (kill_after_us > 0 && left <= 0 && !killed) {
            kill(-pid, SIGKILL);
            killed = true;
        }
        if (lived > LIFE_SECONDS) {
            kill(-pid, SIGABRT);
            usleep(200000);
            kill(-pid, SIGKILL);
            waitpid(pid, &status, 0);
            return -1;
        }
        usleep(kill_after_us > 0 && left > 0 && left < 0.001 ? (useconds_t)(left * 1e6) + 1 : 500);
    }
}

enum end place_live(struct place *place, const struct life *life)
{
    static struct words words;
    int status;
    pid_t pid;

    put_words(&words, place, life);
    place->lives++;
    fflush(NULL);
    pid = start(place, &words);
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    status = wait_end(pid, life->kill_after_us);
    if (status == -1) {
        show(place, &words, "does not end");
        return END_BROKEN;
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        place->killed++;
        return END_KILLED;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return END_WELL;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
        return END_STORE;
    show(place, &words, WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "a promise is broken");
    return END_BROKEN;
}

bool place_look(struct place *place)
{
    const struct life life = {.rounds = 2};
    const enum end end = place_live(place, &life);

    if (end == END_WELL || end == END_BROKEN)
        return end == END_WELL;
    fprintf(stderr, "life %u, undisturbed, did not end well:\n", place->lives);
    show(place, &(struct words){.count = 0}, "it said");
    return false;
}
