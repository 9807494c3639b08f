/*
 * plan_draw.c - a plan as a drawing for the terminal.
 *
 * The drawing is made on a canvas of one byte a character: a set of four line ends, so that lines
 * which meet become the right corner or crossing by themselves, or a character of text. The same
 * code runs twice, first on a canvas without cells that only measures: a layout kept beside the
 * drawing code would be a second copy of every decision.
 *
 * Packages and NUMA nodes stand one below the other, L3 groups flow from left to right, cores are
 * the cells of a table: 2 sockets of 64 cores take 30 lines of 100 columns.
 *
 * Owner: the caller; nothing is shared.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/plan.h"
#include "host/text.h"

#define COLUMNS_DEFAULT 100u
#define COLUMNS_MIN     40u
#define LABEL_SIZE      32u
#define TITLE_SIZE      64u
#define SMALL_MACHINE   16u /* cpus; above, what shares a cpu is counted, not listed */

/* Canvas: a cell below DOT is a set of line ends, from DOT on a character of text. */
enum { UP = 1, DOWN = 2, LEFT = 4, RIGHT = 8, DOT = 16 };

static const char *const glyphs[DOT + 1] = {" ", "╵", "╷", "│", "╴", "┘", "┐", "┤", "╶",
                                            "└", "┌", "├", "─", "┴", "┬", "┼", "·"};

struct canvas {
    unsigned char *cells; /* NULL: only measure */
    unsigned width;
    unsigned height;
};

static void put(struct canvas *canvas, unsigned x, unsigned y, unsigned char cell)
{
    unsigned char *at;

    if (!canvas->cells) {
        canvas->width = x >= canvas->width ? x + 1 : canvas->width;
        canvas->height = y >= canvas->height ? y + 1 : canvas->height;
        return;
    }
    at = &canvas->cells[(size_t)y * canvas->width + x];
    *at = cell < DOT && *at < DOT ? *at | cell : cell;
}

static void line_across(struct canvas *canvas, unsigned x, unsigned y, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        put(canvas, x + i, y, (unsigned char)((i ? LEFT : 0) | (i + 1 < width ? RIGHT : 0)));
}

static void line_down(struct canvas *canvas, unsigned x, unsigned y, unsigned height)
{
    for (unsigned i = 0; i < height; i++)
        put(canvas, x, y + i, (unsigned char)((i ? UP : 0) | (i + 1 < height ? DOWN : 0)));
}

static void write_at(struct canvas *canvas, unsigned x, unsigned y, const char *words)
{
    for (; *words; words++)
        put(canvas, x++, y, (unsigned char)*words);
}

static void frame(struct canvas *canvas, unsigned x, unsigned y, unsigned width, unsigned height,
                  const char *title)
{
    line_across(canvas, x, y, width);
    line_across(canvas, x, y + height - 1, width);
    line_down(canvas, x, y, height);
    line_down(canvas, x + width - 1, y, height);
    write_at(canvas, x + 1, y, title);
}

/* What runs on one cpu. */
struct label {
    char text[LABEL_SIZE]; /* empty: nothing, drawn as a dot */
    unsigned length;
    unsigned more; /* threads that had no room in the text */
};

static bool is_small(const struct pawl_plan *plan)
{
    return plan->pu_count <= SMALL_MACHINE;
}

/* What the drawing functions share. */
struct drawing {
    const struct pawl_plan *plan;
    struct label *labels; /* of each cpu */
    unsigned label_width; /* of the longest */
};

/*
 * Adds a thread to what runs on a cpu. A machine with many cores is drawn in narrow cells, where
 * the second and later threads of a cpu are only counted.
 */
static void add_label(struct drawing *drawing, const struct seat *seat, const char *kind,
                      unsigned number)
{
    const unsigned room = is_small(drawing->plan) ? 9 : 4;
    struct label *label;
    char text[LABEL_SIZE];
    unsigned length;

    if (seat->pu == PU_NONE)
        return;
    label = &drawing->labels[seat->pu];
    length = (unsigned)snprintf(text, sizeof(text), number == PAWL_PLACE_NONE ? "%s%s" : "%s%s%u",
                                label->length ? "," : "", kind, number);
    if (label->more || (label->length && label->length + length > room)) {
        label->more++;
        return;
    }
    memcpy(label->text + label->length, text, length + 1);
    label->length += length;
}

static void make_labels(struct drawing *drawing)
{
    const struct pawl_plan *plan = drawing->plan;

    for (unsigned s = 0; s < plan->shard_count; s++)
        add_label(drawing, &plan->shards[s], "", s);
    if (plan->has_monitor)
        add_label(drawing, &plan->monitor, "M", PAWL_PLACE_NONE);
    for (unsigned i = 0; i < plan->io_count; i++)
        add_label(drawing, &plan->io[i], "IO", plan->io_count > 1 ? i : PAWL_PLACE_NONE);

    drawing->label_width = 2;
    for (unsigned i = 0; i < plan->pu_count; i++) {
        struct label *label = &drawing->labels[i];

        if (label->more)
            label->length += (unsigned)snprintf(label->text + label->length,
                                                LABEL_SIZE - label->length, "+%u", label->more);
        if (label->length > drawing->label_width)
            drawing->label_width = label->length;
    }
}

/* The part of the list of cpus from begin to before end. */
struct span {
    unsigned begin, end;
};

struct size {
    unsigned width, height;
};

/* The L3 group as a table: a cell per core, and in it a row per cpu. */
static struct size draw_l3(struct drawing *drawing, struct canvas *canvas, struct span span,
                           unsigned x, unsigned y, unsigned room)
{
    const struct pu *pus = drawing->plan->pus;
    const unsigned cores = pus[span.end - 1].core - pus[span.begin].core + 1;
    const unsigned cell = drawing->label_width + 1 + is_small(drawing->plan); /* with a line */
    const unsigned fit = room > cell + 1 ? (room - 1) / cell : 1;
    const unsigned rows = (cores + fit - 1) / fit;
    const unsigned columns = (cores + rows - 1) / rows;
    unsigned threads = 1;
    struct size size = {.width = columns * cell + 1};
    char title[TITLE_SIZE];
    const unsigned title_width =
        (unsigned)snprintf(title, sizeof(title), " L3 %u ", pus[span.begin].l3);

    for (unsigned i = span.begin; i < span.end; i++)
        if (pus[i].smt >= threads)
            threads = pus[i].smt + 1;
    size.height = rows * (threads + 1) + 1;
    if (size.width < title_width + 2)
        size.width = title_width + 2;

    for (unsigned c = 1; c < columns; c++)
        line_down(canvas, x + c * cell, y, size.height);
    for (unsigned r = 1; r < rows; r++)
        line_across(canvas, x, y + r * (threads + 1), size.width);
    frame(canvas, x, y, size.width, size.height, title);

    for (unsigned i = span.begin; i < span.end; i++) {
        const unsigned core = pus[i].core - pus[span.begin].core;
        const struct label *label = &drawing->labels[i];
        const unsigned at_x = x + core % columns * cell + 1;
        const unsigned at_y = y + core / columns * (threads + 1) + 1 + pus[i].smt;

        if (label->length)
            write_at(canvas, at_x + drawing->label_width - label->length, at_y, label->text);
        else
            put(canvas, at_x + drawing->label_width - 1, at_y, DOT);
    }
    return size;
}

/* The number by which a box of one level is told from the next. */
enum level { PACKAGE, NODE, L3 };

static unsigned number_at(const struct pu *pu, enum level level)
{
    switch (level) {
    case PACKAGE:
        return pu->package;
    case NODE:
        return pu->node;
    case L3:
        return pu->l3;
    }
    return 0;
}

/* The first box of a level within a span. */
static struct span first_box(const struct drawing *drawing, struct span span, enum level level)
{
    const struct pu *pus = drawing->plan->pus;
    struct span box = {.begin = span.begin, .end = span.begin + 1};

    while (box.end < span.end &&
           number_at(&pus[box.end], level) == number_at(&pus[box.begin], level))
        box.end++;
    return box;
}

/* L3 groups from left to right, as in a line of text. */
static struct size draw_l3_groups(struct drawing *drawing, struct canvas *canvas, struct span span,
                                  unsigned x, unsigned y, unsigned room)
{
    struct size all = {0, 0};
    unsigned at_x = 0, at_y = 0;

    while (span.begin < span.end) {
        struct canvas ruler = {0};
        const struct span box = first_box(drawing, span, L3);
        struct size size = draw_l3(drawing, &ruler, box, 0, 0, room);

        if (at_x && at_x + size.width > room) {
            at_x = 0;
            at_y = all.height;
        }
        draw_l3(drawing, canvas, box, x + at_x, y + at_y, room);
        at_x += size.width + 1;
        if (at_x - 1 > all.width)
            all.width = at_x - 1;
        if (at_y + size.height > all.height)
            all.height = at_y + size.height;
        span.begin = box.end;
    }
    return all;
}

/* NUMA nodes or packages, one below the other; a package of one node is one box with it. */
static struct size draw_boxes(struct drawing *drawing, struct canvas *canvas, struct span span,
                              enum level level, unsigned x, unsigned y, unsigned room)
{
    const struct pu *pus = drawing->plan->pus;
    struct size all = {0, 0};

    while (span.begin < span.end) {
        const struct span box = first_box(drawing, span, level);
        const struct pu *pu = &pus[box.begin];
        const bool one_node = first_box(drawing, box, NODE).end == box.end;
        char title[TITLE_SIZE];
        unsigned title_width;
        struct size inner;

        if (level == NODE)
            title_width = (unsigned)snprintf(title, sizeof(title), " node %u ", pu->node_os);
        else if (one_node)
            title_width = (unsigned)snprintf(title, sizeof(title), " package %u, node %u ",
                                             pu->package, pu->node_os);
        else
            title_width = (unsigned)snprintf(title, sizeof(title), " package %u ", pu->package);

        if (level == NODE || one_node)
            inner = draw_l3_groups(drawing, canvas, box, x + 2, y + all.height + 1, room - 4);
        else
            inner = draw_boxes(drawing, canvas, box, NODE, x + 2, y + all.height + 1, room - 4);
        if (inner.width + 2 < title_width)
            inner.width = title_width - 2;
        frame(canvas, x, y + all.height, inner.width + 4, inner.height + 2, title);
        if (inner.width + 4 > all.width)
            all.width = inner.width + 4;
        all.height += inner.height + 2;
        span.begin = box.end;
    }
    return all;
}

static void say_canvas(struct text *text, const struct canvas *canvas)
{
    for (unsigned y = 0; y < canvas->height; y++) {
        const unsigned char *row = &canvas->cells[(size_t)y * canvas->width];
        unsigned end = canvas->width;

        while (end && !row[end - 1])
            end--;
        for (unsigned x = 0; x < end; x++) {
            if (row[x] <= DOT)
                text_say(text, "%s", glyphs[row[x]]);
            else
                text_say(text, "%c", row[x]);
        }
        text_say(text, "\n");
    }
}

/* What the signs mean, of those that are there; and who is not in the drawing. */
static void say_legend(struct text *text, const struct drawing *drawing)
{
    const struct pawl_plan *plan = drawing->plan;
    const struct seat *other = plan->has_monitor ? &plan->monitor : plan->io;
    const bool others = plan->has_monitor || plan->io_count;
    const bool afloat = others && other->pu == PU_NONE; /* none of them floats, or all do */
    bool idle = false, more = false, smt = false;

    for (unsigned i = 0; i < plan->pu_count; i++) {
        idle = idle || !drawing->labels[i].length;
        more = more || drawing->labels[i].more;
        smt = smt || plan->pus[i].smt;
    }
    text_say(text, "number: a shard");
    if (plan->has_monitor)
        text_say(text, "; M: the monitor");
    if (plan->io_count)
        text_say(text, "; IO: an I/O thread");
    if (more)
        text_say(text, "; +n: and n more");
    text_say(text, "\n");
    if (idle || smt)
        text_say(text, "%s%s%s\n", idle ? "·: no thread" : "", idle && smt ? "; " : "",
                 smt ? "rows of a core: its SMT siblings" : "");
    if (!afloat)
        return;
    text_say(text, "floating over all cpus:%s", plan->has_monitor ? " M" : "");
    if (plan->io_count == 1)
        text_say(text, " IO");
    else if (plan->io_count)
        text_say(text, " IO0 to IO%u", plan->io_count - 1);
    text_say(text, "\n");
}

int pawl_plan_draw(const struct pawl_plan *plan, unsigned columns, char *buffer, size_t size)
{
    struct text text = {.buffer = buffer, .size = size};
    struct drawing drawing = {.plan = plan};
    struct canvas canvas = {0};
    struct span all;
    int rc = -ENOMEM;

    if (!plan || (!buffer && size))
        return -EINVAL;
    columns = columns ? columns : COLUMNS_DEFAULT;
    columns = columns < COLUMNS_MIN ? COLUMNS_MIN : columns;
    all = (struct span){.begin = 0, .end = plan->pu_count};

    drawing.labels = calloc(plan->pu_count, sizeof(*drawing.labels));
    if (!drawing.labels)
        goto out;
    make_labels(&drawing);
    draw_boxes(&drawing, &canvas, all, PACKAGE, 0, 0, columns);
    canvas.cells = calloc(canvas.height, canvas.width);
    if (!canvas.cells)
        goto out;
    draw_boxes(&drawing, &canvas, all, PACKAGE, 0, 0, columns);
    say_canvas(&text, &canvas);
    say_legend(&text, &drawing);
    rc = (int)text.length;
out:
    free(canvas.cells);
    free(drawing.labels);
    return rc;
}
