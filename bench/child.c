/*
 * child.c - pipes to a program that answers lines.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

enum { ARGUMENTS_MAX = 14, ANSWER_MAX = 1024 };

struct child {
    const char *program;
    pid_t pid;
    FILE *to, *from;
    char answer[ANSWER_MAX];
};

struct child *child_start(const char *program, const char *const *arguments)
{
    struct child *child = calloc(1, sizeof(*child));
    const char *path = program;
    const char *list[ARGUMENTS_MAX + 2];
    int to[2], from[2];
    unsigned count = 0;

    if (child == NULL || pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        bench_fail("no pipes for %s: %s", program, strerror(errno));
    if (strchr(program, '/') != NULL)
        path = bench_text("%s/%s", PEERS_DIR, program);
    list[count++] = path;
    while (arguments != NULL && *arguments != NULL && count <= ARGUMENTS_MAX)
        list[count++] = *arguments++;
    list[count] = NULL;
    child->program = program;
    signal(SIGPIPE, SIG_IGN);
    child->pid = fork();
    if (child->pid < 0)
        bench_fail("%s cannot be started: %s", program, strerror(errno));
    if (child->pid == 0) {
        bench_unpin();
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        execvp(path, (char *const *)(uintptr_t)list);
        fprintf(stderr, "pawl_bench: %s: %s\n", path, strerror(errno));
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    child->to = fdopen(to[1], "w");
    child->from = fdopen(from[0], "r");
    return child;
}

const char *child_ask(struct child *child, const char *format, ...)
{
    va_list arguments;
    bool sent;

    va_start(arguments, format);
    sent = vfprintf(child->to, format, arguments) >= 0 && fputc('\n', child->to) != EOF &&
           fflush(child->to) == 0;
    va_end(arguments);
    if (!sent || fgets(child->answer, sizeof(child->answer), child->from) == NULL)
        bench_fail("%s is gone", child->program);
    child->answer[strcspn(child->answer, "\n")] = '\0';
    if (strncmp(child->answer, "ok", 2) != 0)
        bench_fail("%s says: %s", child->program, child->answer);
    return child->answer + 2 + strspn(child->answer + 2, " ");
}

int child_pid(const struct child *child)
{
    return child->pid;
}

void child_stop(struct child *child)
{
    fclose(child->to);
    fclose(child->from);
    waitpid(child->pid, NULL, 0);
    free(child);
}
