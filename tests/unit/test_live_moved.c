/* A window on a store that was opened again with another number of shards: ids of before still lead
 * to the tasks that they meant. */
#include "inspect_live.h"
#include "support/work_store_fixture.h"
#include "watch/live_look.h"

static struct live_look look;
static struct live_text text;
static struct inspect_reply reply;

/* The text keeps what the reply shows. */
static const struct inspect_whole *ask(struct pawl_task task)
{
    struct live_request request = {.kind = LIVE_TASK, .task = task.id};
    bool done;

    text = (struct live_text){.limit = PAWL_LIVE_REPLY_MAX - REPLY_END_MAX};
    memset(&reply, 0, sizeof(reply));
    pawl__reply_greeting(&text);
    done = pawl__look_begin(&look, s.f.runtime, &request, &text);
    while (!done)
        done = pawl__look_go_on(&look);
    pawl__look_fini(&look);
    cr_assert(inspect_reply_read(&reply, false, text.bytes, text.rows) == NULL);
    cr_assert(reply.complete, "%s", reply.error);
    return &reply.whole;
}

static void done(void)
{
    inspect_reply_fini(&reply);
    pawl__live_text_fini(&text);
}

Test(live_moved, a_task_that_has_moved_still_has_its_children_and_its_parent)
{
    struct pawl_work_spec spec = work_spec();
    struct pawl_task parent, child, parent_now, child_now;
    const struct inspect_whole *whole;

    stored_init();
    spec.shard = 1;
    parent = stored_submit(&spec);
    spec.parent = parent;
    child = stored_submit(&spec);
    cr_assert(store_settle(&s));
    store_close(&s);
    s.options.shards = 1;
    stored_open();
    cr_assert(store_settle(&s));
    parent_now = stored_view(parent).task;
    child_now = stored_view(child).task;
    cr_assert(parent_now.id != parent.id && child_now.id != child.id, "they have moved");

    whole = ask(parent);
    cr_assert_eq(whole->view.task.id, parent_now.id);
    cr_assert_eq(whole->children.count, 1);
    cr_assert_eq(whole->children.at[0].id, child_now.id);
    done();
    whole = ask(child_now);
    cr_assert_eq(whole->children.count, 0);
    cr_assert_eq(whole->parent.count, 1);
    cr_assert_eq(whole->parent.at[0].id, parent_now.id);
    cr_assert(!whole->parent.at[0].gone);
    done();
    stored_end(NULL);
}
