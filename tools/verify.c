/*
 * verify.c - `pawl verify`: looks at every file of a store and says what is whole, what is torn and
 * what is corrupt; then at the state they lead to.
 *
 * It takes no lock and writes nothing, so it can be run at any time and on a read-only copy. Of a
 * store in use it sees the files of one moment, which grow while it reads them: the newest frames
 * may be half there. So where something seems wrong it looks again, a few times, before it says so;
 * and it does not compare the ways to one state, which it could only read one after the other.
 */
#include <inttypes.h>
#include <pawl/error.h>
#include <pawl/machine.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "store/frame.h"
#include "store_image.h"
#include "tool.h"

static const char usage[] =
    "usage: pawl verify DIR [--json]\n"
    "\n"
    "Looks at every file of a store and at the state that they lead to, and says what is whole,\n"
    "torn or corrupt. Reads only and takes no lock.\n"
    "\n"
    "  -j, --json     print it as one JSON object\n"
    "  -h, --help     print this text\n"
    "  -V, --version  print the version\n"
    "\n"
    "Exit status: 0 all is whole; 1 a journal ends with writes that were under way when the "
    "process\n"
    "or the machine stopped: nothing acknowledged is missing, opening goes on before them; 2 "
    "there\n"
    "is corruption: opening may refuse, see 'pawl salvage'; 3 it cannot be read, is no store, or "
    "the\n"
    "command line is wrong.\n";

enum severity { WHOLE, TORN, CORRUPT, UNREADABLE };

static const char *const severity_names[] = {"whole", "torn", "corrupt", "unreadable"};

struct file_report {
    struct store_file file;
    enum severity severity;
    const char *end; /* how it ends */
    uint64_t bytes, frames, entries;
    uint64_t first_lsn, last_lsn; /* 0, 0: no frames */
    uint64_t epoch;               /* of a journal; 0: it was never begun, or its header is broken */
    uint64_t torn_bytes;
    char what[512];
};

struct totals {
    uint64_t tasks, reserved, keys, timers, deferred, under_way;
    uint64_t *states; /* machine number * widest + state */
    uint32_t widest;
};

struct report {
    struct store_image image;
    struct file_report *files;
    size_t files_count;
    struct totals totals;
    enum severity severity;
    bool in_use;
    bool loaded;         /* totals and checks were possible */
    unsigned ways;       /* older snapshots that were compared */
    char findings[8192]; /* sentences, a line each */
    uint64_t leftovers;  /* files that whoever opens the store removes */
};

static void find(struct report *report, enum severity severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void find(struct report *report, enum severity severity, const char *format, ...)
{
    const size_t length = strlen(report->findings);
    va_list arguments;
    char text[1024];

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    snprintf(report->findings + length, sizeof(report->findings) - length, "%s\n", text);
    if (severity > report->severity)
        report->severity = severity;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void file_wrong(struct report *report, struct file_report *file, enum severity severity,
                       const char *what)
{
    char name[STORE_NAME_MAX];

    file->severity = severity;
    snprintf(file->what, sizeof(file->what), "%s", what);
    pawl__store_file_name(&file->file, name);
    /* Some sentences name the file themselves. */
    if (strncmp(what, name, strlen(name)) == 0)
        find(report, severity, "%s", what);
    else
        find(report, severity, "%s: %s", name, what);
}

static void count_frame(struct file_report *file, const struct reader_frame *frame)
{
    const struct entry_header *entry = NULL;

    file->frames++;
    file->first_lsn = file->first_lsn ? file->first_lsn : frame->header.lsn;
    file->last_lsn = frame->header.lsn;
    while (frame->header.type == FRAME_STEPS &&
           (entry = entry_next(frame->payload, frame->header.size, entry)) != NULL)
        file->entries++;
}

static void look_at_snapshot(struct report *report, struct file_report *file)
{
    struct reader reader;
    struct reader_frame frame;
    enum reader_result result;
    const int error = pawl__reader_open(&reader, report->image.storage, report->image.directory,
                                        &file->file, report->image.manifest->store);

    if (error) {
        file_wrong(report, file, error == -EBADMSG ? CORRUPT : UNREADABLE,
                   error == -EBADMSG ? reader.what : strerror(-error));
        return;
    }
    file->bytes = reader.size;
    while ((result = pawl__reader_next(&reader, &frame)) == READER_FRAME)
        count_frame(file, &frame);
    file->end = "sealed";
    if (result == READER_FAILED)
        file_wrong(report, file, UNREADABLE, strerror(-reader.error));
    else if (result != READER_SEALED) {
        char what[512];

        snprintf(what, sizeof(what),
                 "offset %" PRIu64 ": %s; the snapshot is of no use, what is missing may be in the "
                 "one before it and the journal",
                 reader.where, reader.what);
        file_wrong(report, file, CORRUPT, what);
    }
    pawl__reader_close(&reader);
}

/* Bytes from an offset to the last one that is not zero. */
static uint64_t written_bytes(const struct reader *reader, uint64_t from)
{
    enum { PIECE = 1 << 20 };
    uint8_t *const bytes = malloc(PIECE);
    uint64_t offset = from, last = from;
    int64_t got = 1;

    while (bytes && got > 0) {
        got = reader->storage->read(reader->storage->user, reader->file, bytes, PIECE, offset);
        for (int64_t i = 0; i < got; i++)
            if (bytes[i] != 0)
                last = offset + (uint64_t)i + 1;
        offset += got > 0 ? (uint64_t)got : 0;
    }
    free(bytes);
    return last - from;
}

static void look_at_tail(struct report *report, struct file_report *file,
                         const struct reader *reader, bool is_chain)
{
    char what[512];

    file->severity = TORN;
    if (is_chain) {
        file->end = "torn";
        find(report, TORN,
             "shard %u: the last frames lack the end of their chain and were never acknowledged; "
             "opening the store goes on before them",
             file->file.shard);
        return;
    }
    file->end = "torn";
    file->torn_bytes = written_bytes(reader, reader->where);
    snprintf(
        what, sizeof(what),
        "offset %" PRIu64 ": %" PRIu64 " bytes were being written when the process or the machine "
        "stopped (%s); they were never acknowledged, and opening the store goes on before them",
        reader->where, file->torn_bytes, reader->what);
    file_wrong(report, file, TORN, what);
}

/* Files that follow each other with whole headers. Returns how many were looked at. */
static size_t look_at_run(struct report *report, struct file_report *files, size_t count)
{
    struct store_file *const names = calloc(count, sizeof(*names));
    struct journal_reader journal;
    struct reader_frame frame = {0};
    enum reader_result result;
    size_t at = 0;

    if (!names)
        return find(report, UNREADABLE, "there is no memory"), count;
    for (size_t i = 0; i < count; i++)
        names[i] = files[i].file;
    if (pawl__journal_reader_open(&journal, report->image.storage, report->image.directory, names,
                                  count, report->image.manifest->store) != 0) {
        file_wrong(report, &files[0], CORRUPT, journal.what);
        free(names);
        return 1;
    }
    while ((result = pawl__journal_reader_next(&journal, &frame)) == READER_FRAME) {
        at = journal.at;
        count_frame(&files[at], &frame);
    }
    at = journal.files_count > 0 ? journal.at : 0;
    for (size_t i = 0; i < count; i++)
        files[i].end = i < at                    ? "continued"
                       : i > at                  ? "empty"
                       : result == READER_SEALED ? "sealed"
                                                 : "open";
    if (result == READER_CORRUPT || result == READER_FAILED) {
        file_wrong(report, &files[at], result == READER_FAILED ? UNREADABLE : CORRUPT,
                   journal.what);
        files[at].end = "broken";
        pawl__journal_reader_close(&journal);
        free(names);
        return at + 1;
    }
    if (result == READER_TORN || (frame.header.flags & FRAME_MORE) != 0)
        look_at_tail(report, &files[at], &journal.reader, result != READER_TORN);
    pawl__journal_reader_close(&journal);
    free(names);
    return count;
}

/* Whether the header is whole, or the file was prepared and never begun. */
static bool has_header(struct report *report, struct file_report *file)
{
    struct reader reader;
    const struct pawl_storage *const storage = report->image.storage;
    char name[STORE_NAME_MAX], path[STORE_PATH_MAX];
    uint8_t block[STORE_BLOCK];
    bool is_blank;
    int64_t got;
    void *handle;
    int error;

    pawl__store_file_name(&file->file, name);
    error = pawl__store_path(report->image.directory, name, path);
    if (!error)
        error = storage->open(storage->user, path, PAWL_STORAGE_READ, &handle);
    if (error) {
        file_wrong(report, file, UNREADABLE,
                   error == -ENOENT ? "it has gone while this looked; look again"
                                    : strerror(-error));
        return false;
    }
    file->bytes = (uint64_t)storage->size(storage->user, handle);
    got = storage->read(storage->user, handle, block, sizeof(block), 0);
    is_blank = got >= 0 && pawl__is_zero(block, (size_t)got); /* one just made has no bytes yet */
    storage->close(storage->user, handle);
    if (is_blank)
        return true; /* the journal as a whole says whether it may be */
    error = pawl__reader_open(&reader, storage, report->image.directory, &file->file,
                              report->image.manifest->store);
    if (error) {
        file_wrong(report, file, error == -EBADMSG ? CORRUPT : UNREADABLE,
                   error == -EBADMSG ? reader.what : strerror(-error));
        return false;
    }
    file->epoch = reader.header.epoch;
    pawl__reader_close(&reader);
    return true;
}

/* The journal of a shard, in the runs that damage leaves of it. */
static void look_at_journal(struct report *report, struct file_report *files, size_t count)
{
    size_t at = 0;

    while (at < count) {
        size_t run = 0;

        while (at + run < count && has_header(report, &files[at + run]))
            run++;
        if (run < count - at)
            files[at + run].end = "broken";
        for (size_t done = 0; done < run;)
            done += look_at_run(report, files + at + done, run - done);
        at += run + 1;
    }
}

static bool same_journal(const struct store_file *a, const struct store_file *b)
{
    return a->shard == b->shard && a->kind == FILE_JOURNAL && b->kind == FILE_JOURNAL;
}

/* ---- files that are not there ---------------------------------------------------------------- */

/* Of a shard's journal, in files that all are what their names say. */
static void miss_journals(struct report *report, uint32_t shard)
{
    const struct manifest *const manifest = report->image.manifest;
    uint64_t next = 1, epoch = 0, prepared = 0;

    for (size_t i = 0; i < report->files_count; i++) {
        const struct file_report *const file = &report->files[i];

        if (file->file.shard != shard || file->file.kind != FILE_JOURNAL)
            continue;
        if (file->severity >= CORRUPT)
            return;
        if (file->epoch != 0) {
            next = file->file.file + 1;
            epoch = file->epoch;
        } else if (prepared == 0) {
            prepared = file->file.file;
        }
    }
    if (epoch == 0 && manifest_is_begun(manifest))
        find(report, CORRUPT,
             "shard %u: its journal is missing, which each shard of set %u has begun: put the "
             "files back, or the manifest if it is an older copy",
             shard, manifest->set);
    else if (prepared > next)
        find(report, CORRUPT,
             "shard %u: the next file of its journal is number %" PRIu64 ", but the lowest of "
             "those prepared is %" PRIu64 ": files in between are missing; put them back",
             shard, next, prepared);
    else if (manifest->closed && manifest_is_begun(manifest) && epoch < manifest->epoch)
        find(report, CORRUPT,
             "shard %u: its journal ends in epoch %" PRIu64 ", but epoch %" PRIu64 " was closed "
             "in order: its last files are missing; put them back",
             shard, epoch, manifest->epoch);
}

/* What opening refuses for the same reasons; while a process has it open, files come and go. */
static void look_for_missing(struct report *report)
{
    const struct store_image *const image = &report->image;
    uint32_t later = 0;

    if (report->in_use)
        return;
    for (size_t i = 0; i < image->files_count; i++)
        if (image->files[i].set > image->manifest->set && image->files[i].kind == FILE_JOURNAL &&
            !image->files[i].is_new)
            later = image->files[i].set;
    if (later != 0) {
        find(report, CORRUPT,
             "there are journals of set %u, but the manifest only knows of set %u: the manifest is "
             "an older copy; put the right one back",
             later, image->manifest->set);
        return;
    }
    for (uint32_t shard = 0; shard < image->manifest->shards; shard++)
        miss_journals(report, shard);
}

static int look_at_files(struct report *report)
{
    const struct store_image *const image = &report->image;

    report->files = calloc(image->files_count + 1, sizeof(report->files[0]));
    if (!report->files)
        return -ENOMEM;
    for (size_t i = 0; i < image->files_count; i++) {
        if (image->files[i].set != image->manifest->set || image->files[i].is_new)
            report->leftovers++;
        else
            report->files[report->files_count++] =
                (struct file_report){.file = image->files[i], .end = ""};
    }
    for (size_t i = 0; i < report->files_count;) {
        size_t count = 1;

        if (report->files[i].file.shard >= image->manifest->shards) {
            file_wrong(report, &report->files[i], CORRUPT,
                       "it is of a shard that the manifest does not have");
        } else if (report->files[i].file.kind == FILE_SNAPSHOT) {
            look_at_snapshot(report, &report->files[i]);
        } else {
            while (i + count < report->files_count &&
                   same_journal(&report->files[i].file, &report->files[i + count].file))
                count++;
            look_at_journal(report, &report->files[i], count);
        }
        i += count;
    }
    look_for_missing(report);
    return 0;
}

/* ---- the state ------------------------------------------------------------------------------- */

static int count_state(struct report *report)
{
    struct store_image *const image = &report->image;
    struct totals *const totals = &report->totals;
    const struct manifest *const manifest = image->manifest;

    for (uint32_t i = 0; i < manifest->machines_count; i++)
        if (manifest->machines[i].states_count > totals->widest)
            totals->widest = manifest->machines[i].states_count;
    totals->states =
        calloc((size_t)manifest->machines_count * totals->widest + 1, sizeof(totals->states[0]));
    if (!totals->states)
        return -ENOMEM;
    for (uint32_t s = 0; s < manifest->shards; s++) {
        const struct image_shard *const shard = &image->shards[s];

        for (size_t i = 0; i < shard->tasks_count; i++) {
            const struct image_task *const task = &shard->tasks[i];

            if (!image_task_lives(task))
                continue;
            totals->tasks++;
            totals->reserved += (task->flags & IMAGE_RESERVED) != 0;
            totals->keys += task->key_size > 0;
            totals->timers += task->timers_count;
            totals->deferred += task->deferred.count - task->deferred.first;
            totals->states[task->machine * totals->widest + task->state]++;
        }
        for (uint32_t to = 0; to < manifest->shards; to++)
            for (unsigned control = 0; control < 2; control++) {
                const struct image_events *const sent = &shard->links[to].sent[control];

                for (size_t i = sent->first; i < sent->count; i++)
                    totals->under_way +=
                        store_is_under_way(image, s, to, control, sent->at[i]->number);
            }
    }
    return 0;
}

/* Reads all shards, each from a snapshot so many older as it has one. False: none of them has. */
static bool load_older(struct store_image *image, unsigned skip)
{
    bool any = false;

    if (store_reset(image) != 0)
        return false;
    for (uint32_t i = 0; i < image->manifest->shards; i++) {
        struct store_reading reading;
        bool older = store_load_shard(image, i, skip, &reading) && reading.end != READER_CORRUPT &&
                     reading.end != READER_FAILED;

        any |= older;
        if (!older) { /* as new as before */
            image_shard_fini(&image->shards[i]);
            if (image_shard_init(&image->shards[i], i, image->manifest->shards) != 0)
                return false;
            store_load_shard(image, i, 0, &reading);
        }
    }
    return any;
}

/*
 * From each snapshot that is there, and from the journal's beginning if it is, the same state must
 * follow.
 */
static void look_at_state(struct report *report)
{
    struct store_image *const image = &report->image;
    char text[256];
    uint64_t hash;

    if (store_reset(image) != 0) {
        find(report, UNREADABLE, "there is no memory");
        return;
    }
    for (uint32_t i = 0; i < image->manifest->shards; i++) {
        struct store_reading reading;

        if (store_load_shard(image, i, 0, &reading) && reading.end != READER_CORRUPT &&
            reading.end != READER_FAILED)
            continue;
        find(report, reading.end == READER_FAILED ? UNREADABLE : CORRUPT,
             "shard %u does not open: %s", i, reading.what);
        return;
    }
    report->loaded = true;
    if (store_check(image, text, sizeof(text)))
        find(report, CORRUPT, "the state contradicts itself: %s", text);
    if (count_state(report) != 0)
        find(report, UNREADABLE, "there is no memory");
    if (report->in_use)
        return;
    hash = store_hash(image);
    while (load_older(image, report->ways + 1)) {
        report->ways++;
        if (store_hash(image) != hash)
            find(report, CORRUPT,
                 "the snapshots contradict each other: from the %s before the newest on, the "
                 "journal leads to another state",
                 report->ways == 1 ? "one" : "ones");
    }
}

/* ---- as text --------------------------------------------------------------------------------- */

static void print_files(const struct report *report)
{
    printf("\n%-31s %-9s %-9s %9s %10s  %-21s %s\n", "file", "is", "ends", "frames", "entries",
           "LSNs", "bytes");
    for (size_t i = 0; i < report->files_count; i++) {
        const struct file_report *const file = &report->files[i];
        char name[STORE_NAME_MAX], lsns[64] = "-";

        pawl__store_file_name(&file->file, name);
        if (file->frames > 0)
            snprintf(lsns, sizeof(lsns), "%" PRIu64 "..%" PRIu64, file->first_lsn, file->last_lsn);
        printf("%-31s %-9s %-9s %9" PRIu64 " %10" PRIu64 "  %-21s %" PRIu64 "\n", name,
               severity_names[file->severity], file->end, file->frames, file->entries, lsns,
               file->bytes);
    }
    if (report->leftovers > 0)
        printf("and %" PRIu64 " files that do not count (of another set, or never finished)\n",
               report->leftovers);
}

static void print_state(const struct report *report)
{
    const struct manifest *const manifest = report->image.manifest;
    const struct totals *const totals = &report->totals;

    printf("\ntasks %" PRIu64 " (reserved %" PRIu64 ", with a key %" PRIu64 "), timers %" PRIu64
           ", deferred events %" PRIu64 ", events under way %" PRIu64 "\n",
           totals->tasks, totals->reserved, totals->keys, totals->timers, totals->deferred,
           totals->under_way);
    for (uint32_t m = 0; totals->states && m < manifest->machines_count; m++) {
        printf("  %s (%016" PRIx64 "):", manifest->machines[m].name, manifest->machines[m].hash);
        for (uint32_t s = 0; s < manifest->machines[m].states_count; s++)
            if (totals->states[m * totals->widest + s] > 0)
                printf(" %s %" PRIu64, manifest->machines[m].states[s],
                       totals->states[m * totals->widest + s]);
        putchar('\n');
    }
    printf("older ways to the same state that were compared: %u%s\n", report->ways,
           report->in_use ? " (the store is in use)" : "");
}

static void print_text(const struct report *report)
{
    const struct manifest *const manifest = report->image.manifest;

    printf("%s: store %016" PRIx64 ", format %u, epoch %" PRIu64 ", set %u, shards %u, %s\n",
           report->image.directory, manifest->store, FORMAT_VERSION, manifest->epoch, manifest->set,
           manifest->shards,
           report->in_use     ? "open in a process now"
           : manifest->closed ? "closed in order"
                              : "not closed in order");
    print_files(report);
    if (report->loaded)
        print_state(report);
    if (report->findings[0] != '\0')
        printf("\n%s", report->findings);
    printf("\n%s: %s\n", report->image.directory, severity_names[report->severity]);
}

/* ---- as JSON --------------------------------------------------------------------------------- */

static void print_json_files(const struct report *report)
{
    printf(",\"files\":[");
    for (size_t i = 0; i < report->files_count; i++) {
        const struct file_report *const file = &report->files[i];
        char name[STORE_NAME_MAX];

        pawl__store_file_name(&file->file, name);
        printf("%s{\"name\":\"%s\",\"is\":\"%s\",\"ends\":\"%s\",\"frames\":%" PRIu64
               ",\"entries\":%" PRIu64 ",\"first_lsn\":%" PRIu64 ",\"last_lsn\":%" PRIu64
               ",\"bytes\":%" PRIu64 ",\"torn_bytes\":%" PRIu64 ",\"what\":",
               i ? "," : "", name, severity_names[file->severity], file->end, file->frames,
               file->entries, file->first_lsn, file->last_lsn, file->bytes, file->torn_bytes);
        tool_json_string(stdout, file->what);
        putchar('}');
    }
    printf("],\"files_that_do_not_count\":%" PRIu64, report->leftovers);
}

static void print_json_state(const struct report *report)
{
    const struct manifest *const manifest = report->image.manifest;
    const struct totals *const totals = &report->totals;

    printf(",\"tasks\":%" PRIu64 ",\"reserved\":%" PRIu64 ",\"keys\":%" PRIu64
           ",\"timers\":%" PRIu64 ",\"deferred\":%" PRIu64 ",\"under_way\":%" PRIu64
           ",\"machines\":[",
           totals->tasks, totals->reserved, totals->keys, totals->timers, totals->deferred,
           totals->under_way);
    for (uint32_t m = 0; totals->states && m < manifest->machines_count; m++) {
        const char *comma = "";

        printf("%s{\"name\":", m ? "," : "");
        tool_json_string(stdout, manifest->machines[m].name);
        printf(",\"hash\":\"%016" PRIx64 "\",\"states\":{", manifest->machines[m].hash);
        for (uint32_t s = 0; s < manifest->machines[m].states_count; s++) {
            if (totals->states[m * totals->widest + s] == 0)
                continue;
            printf("%s", comma);
            tool_json_string(stdout, manifest->machines[m].states[s]);
            printf(":%" PRIu64, totals->states[m * totals->widest + s]);
            comma = ",";
        }
        printf("}}");
    }
    printf("],\"older_ways_compared\":%u", report->ways);
}

static void print_json(const struct report *report)
{
    const struct manifest *const manifest = report->image.manifest;

    printf("{\"directory\":");
    tool_json_string(stdout, report->image.directory);
    printf(",\"is\":\"%s\",\"exit\":%d", severity_names[report->severity], report->severity);
    if (manifest) {
        printf(",\"store\":\"%016" PRIx64 "\",\"format\":%u,\"epoch\":%" PRIu64
               ",\"set\":%u,\"shards\":%u,\"closed\":%s,\"in_use\":%s",
               manifest->store, FORMAT_VERSION, manifest->epoch, manifest->set, manifest->shards,
               manifest->closed ? "true" : "false", report->in_use ? "true" : "false");
        print_json_files(report);
        if (report->loaded)
            print_json_state(report);
    }
    printf(",\"findings\":");
    tool_json_string(stdout, report->findings);
    printf("}\n");
}

/* ---- the command ----------------------------------------------------------------------------- */

static void say(void *user, const char *text)
{
    find(user, UNREADABLE, "%s", text);
}

/* One look at all of it; what was found by the last one is forgotten. 0, or why there is no store. */
static int look(struct report *report, const char *directory)
{
    int error;

    *report = (struct report){.in_use = store_is_in_use(directory)};
    report->image.say = say;
    report->image.user = report;
    error = store_open(&report->image, &pawl_storage_posix, directory);
    report->image.directory = directory;
    report->image.in_use = false; /* all is looked at again, no shard by itself */
    if (error) {
        report->severity = error == -EBADMSG ? CORRUPT : UNREADABLE;
        return error;
    }
    if (look_at_files(report) != 0)
        find(report, UNREADABLE, "there is no memory");
    look_at_state(report);
    return 0;
}

static void forget(struct report *report)
{
    free(report->files);
    free(report->totals.states);
    store_close(&report->image);
}

static int run(const char *command, const char *directory, bool json)
{
    struct report *const report = calloc(1, sizeof(*report));
    int error, code;

    if (!report)
        return tool_fail(command, "there is no memory"), UNREADABLE;
    error = look(report, directory);
    for (unsigned looks = 1; report->severity > TORN && looks < STORE_LOOKS &&
                             (report->in_use || store_is_in_use(directory));
         looks++) {
        forget(report);
        error = look(report, directory);
    }
    if (json)
        print_json(report);
    else if (!error)
        print_text(report);
    else
        fprintf(stderr, "%s: %s", command, report->findings);
    code = report->severity;
    forget(report);
    free(report);
    return code;
}

int cmd_verify(int argc, char **argv)
{
    bool json = false;
    const int code =
        tool_parse_plain(argc, argv, usage, &json, 1, "name one directory, the store's");

    if (code >= 0)
        return code == TOOL_USAGE ? UNREADABLE : code; /* 2 would say that a store is corrupt */
    return run(argv[0], argv[argc - 1], json);
}
