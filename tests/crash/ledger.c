#include "crash/ledger.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

const char *const call_names[CALL_COUNT] = {
    "make_directory", "lock",  "list",       "rename",      "remove",
    "sync_directory", "open",  "size",       "read",        "write",
    "sync",           "close", "queue_open", "queue_write", "queue_reap",
};

const char *const fault_names[FAULT_COUNT] = {"none", "before", "after", "torn", "once", "ever"};

struct ledger *ledger_open(const char *path)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    void *memory = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, sizeof(struct ledger)) == 0)
        memory = mmap(NULL, sizeof(struct ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        perror(path);
        exit(2);
    }
    close(fd);
    return memory;
}

void ledger_close(struct ledger *ledger)
{
    munmap(ledger, sizeof(*ledger));
}
