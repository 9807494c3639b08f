/*
 * report.h - how a report lies in an event.
 *
 * Layer: agent. Short ones, without evidence, hash or a large value, are all in the event's words:
 *
 *   arg[0]  token
 *   arg[1]  id:24 | klass:8 | value:32
 *
 * All others are in a buffer, which a journal keeps as it keeps any other:
 *
 *   byte  0  magic    REPORT_MAGIC
 *         4  id       below 2^24
 *         8  token
 *        16  value
 *        24  hash
 *        32  size     of the evidence: exactly what the buffer has beyond this head
 *        36  klass
 *        37  3 bytes of zeroes
 *        40  the evidence
 *
 * A buffer is a report if its size is 40 bytes or more and that many with the evidence, which is no
 * larger than PAWL_REPORT_BYTES_MAX, and magic, id and zeroes are as said. Whoever may post to the
 * task may have made the buffer, so nothing else in it is believed either: the token is judged by
 * pawl_step_holder.
 */
#ifndef PAWL_AGENT_REPORT_H
#define PAWL_AGENT_REPORT_H

#include <pawl/agent.h>

#define REPORT_ID_MAX ((1u << 24) - 1)
#define REPORT_MAGIC  0x74707277u /* "wrpt" */

/*
 * pawl__report_write - puts a report into the event's words, flags included; the event's task, code
 * and tag are left alone. id at most REPORT_ID_MAX, size at most PAWL_REPORT_BYTES_MAX; bytes may
 * be NULL where size is 0. A buffer that it makes is the event's: event_drop_buffer.
 *
 * Returns: 0 or -ENOMEM. Thread: any.
 */
int pawl__report_write(const struct pawl_reported *reported, struct pawl_event *event);

#endif /* PAWL_AGENT_REPORT_H */
