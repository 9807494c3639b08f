/*
 * handoff.pml - events from one durable shard to another (include/pawl/store.h, runtime/shard/durable.h):
 * each is handled exactly once, whatever crashes come between, and nothing acknowledged is lost.
 *
 * The sender makes a step for each of EVENTS posts; the step changes its state and sends one event. Steps
 * gather in frames, of one step or two; frames are on the disk in any order, and of them a crash leaves those
 * up to the first that is missing. In the sync variant the events leave, and the posts are acknowledged, when
 * the frame and all before it are durable; with -DASYNC events leave at once and nothing is acknowledged before
 * it is durable. The receiver handles events in order, one or two to a frame; a frame holds its state and how
 * many it has taken. When that is durable it may be confirmed to the sender, which then forgets the event
 * and says so in its next frame. A crash takes both. After it the sender sends again, in order, what its
 * journal holds, the receiver has not taken and nobody has confirmed.
 *
 * A post is known by its number; what the sender's n-th event carries is the post that made it. After a crash
 * posts that were lost are not made again, others come. At the end, when nothing moves any more, the receiver
 * must have handled the event of each step that the sender's state holds, once. In the sync variant it has
 * handled no other: no effect of a lost step.
 *
 * Not covered: control events, which are numbered apart in the same way; events to the own shard, which
 * lie in the same journal as their handling; how frames lie in files (journal.pml).
 *
 * run: safety holds                                  : sync sender
 * run: safety holds -DASYNC                          : async sender
 * run: live holds handled /DNOREDUCE                 : sync sender, what was durably sent is handled in the end
 * run: safety fails -DWRONG_EFFECT                   : events leave before their frame is durable
 * run: safety fails -DWRONG_ACKNOWLEDGE              : posts are acknowledged before their frame is durable
 * run: safety fails -DWRONG_ORDER                    : a finished frame is taken for those before it as well
 * run: safety fails -DWRONG_NOT_RESENT               : nothing is sent again
 * run: safety fails -DWRONG_DUPLICATES               : all that is kept is sent again
 * run: safety fails -DWRONG_CONFIRM                  : confirmed is what was taken, durable or not
 * run: safety fails -DWRONG_MARK                     : what was taken is in the frame after the state
 * run: safety fails -DASYNC -DWRONG_NUMBERS          : the numbers of lost steps are given again
 */
#ifndef EVENTS
#define EVENTS 3
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#define FRAMES (EVENTS + 2)

/* A set of posts is a byte of bits. */
#define BIT(n) (1 << (n))
#define HAS(set, n) ((set >> (n)) & 1)

/* Post by post, in order; what is lost stays lost. */
byte posted;
byte acknowledged; /* set */

/* The sender's journal: the state that a frame holds as a whole, so each frame is enough. */
typedef sender_frame {
    byte steps;     /* set: the state */
    byte sent;      /* events ever */
    byte confirmed; /* of them */
    bool on_disk;
}
sender_frame s_frame[FRAMES];
byte s_lsn, s_durable;
byte carried[EVENTS + 1]; /* by number: the post that made the event; 0 when lost */

/* Its memory. */
byte s_steps, s_sent, s_confirmed;
byte s_left; /* events that have gone on their way */
bool s_open; /* a frame is being filled */

/* The receiver's. */
typedef receiver_frame {
    byte handled; /* set: the state */
    byte taken;
    bool on_disk;
}
receiver_frame r_frame[FRAMES];
byte r_lsn, r_durable;
byte r_handled, r_taken;
bool r_open;
byte r_acknowledged; /* set: that the receiver's own clients were told */

/* What is between them, oldest first. */
chan link = [EVENTS] of { byte };

byte crashes;
byte i; /* for loops; 0 between them */

inline durable_of(frame, lsn, durable)
{
#ifdef WRONG_ORDER
    i = lsn;
    do
    :: i > durable && !frame[i].on_disk -> i--
    :: else -> break
    od;
    durable = (i > durable -> i : durable);
#else
    do
    :: durable < lsn && frame[durable + 1].on_disk -> durable++
    :: else -> break
    od;
#endif
    i = 0
}

/* What a crash leaves of a journal: the frames before the first that is missing. */
inline cut(frame, lsn)
{
    i = 0;
    do
    :: i < lsn && frame[i + 1].on_disk -> i++
    :: else -> break
    od;
    lsn = i;
    i = lsn + 1;
    do
    :: i < FRAMES -> frame[i].on_disk = false; i++
    :: else -> break
    od;
    i = 0
}

inline close_sender_frame()
{
    s_lsn++;
    s_frame[s_lsn].steps = s_steps;
    s_frame[s_lsn].sent = s_sent;
    s_frame[s_lsn].confirmed = s_confirmed;
    s_open = false
}

inline close_receiver_frame()
{
    r_lsn++;
    r_frame[r_lsn].handled = r_handled;
#ifdef WRONG_MARK
    r_frame[r_lsn].taken = r_frame[r_lsn - 1].taken;
    r_lsn++;
    r_frame[r_lsn].handled = r_handled;
#endif
    r_frame[r_lsn].taken = r_taken;
    r_open = false
}

inline recover()
{
    cut(s_frame, s_lsn);
    cut(r_frame, r_lsn);
    do
    :: nempty(link) -> link?i
    :: empty(link) -> break
    od;
    s_durable = s_lsn;
    r_durable = r_lsn;
    s_open = false;
    r_open = false;
    s_steps = s_frame[s_lsn].steps;
    s_sent = s_frame[s_lsn].sent;
    s_confirmed = s_frame[s_lsn].confirmed;
    r_handled = r_frame[r_lsn].handled;
    r_taken = r_frame[r_lsn].taken;
    /* Nothing acknowledged is lost, neither here nor there. */
    assert((acknowledged & s_steps) == acknowledged);
    assert((r_acknowledged & r_handled) == r_acknowledged);
    /* What is confirmed was durably taken. */
    assert(s_confirmed <= r_taken);
#ifndef ASYNC
    assert(r_taken <= s_sent);
#endif
    /* Send again. */
    s_left = s_sent;
#ifndef WRONG_NOT_RESENT
    i = s_confirmed;
#ifndef WRONG_DUPLICATES
    i = (r_taken > i -> r_taken : i);
#endif
    do
    :: i < s_sent -> i++; link!carried[i]
    :: else -> break
    od;
#endif
#ifndef WRONG_NUMBERS
    s_sent = (r_taken > s_sent -> r_taken : s_sent);
    s_left = s_sent;
#endif
    i = s_sent + 1;
    do
    :: i <= EVENTS -> carried[i] = 0; i++
    :: else -> break
    od;
    i = 0
}

#ifdef ASYNC
#define MAY_LEAVE true
#elif defined(WRONG_EFFECT)
#define MAY_LEAVE true
#else
#define MAY_LEAVE (s_left < s_frame[s_durable].sent)
#endif

/* Room in the journals of this model, for all that may still have to be written. */
#define S_ROOM (s_lsn + 1 < FRAMES)
#ifdef WRONG_MARK
#define R_ROOM (r_lsn + 2 < FRAMES)
#else
#define R_ROOM (r_lsn + 1 < FRAMES)
#endif

active proctype sender()
{
end:
    do
    /* A step, the first of a frame or one more. */
    :: d_step {
        posted < EVENTS && S_ROOM && s_sent < EVENTS ->
        posted++;
        s_steps = s_steps | BIT(posted);
        s_sent++;
        carried[s_sent] = posted;
        s_open = true
       }
    :: d_step { s_open -> close_sender_frame() }
    /* A frame that only says what was confirmed. */
    :: d_step {
        !s_open && S_ROOM && posted < EVENTS && s_confirmed > s_frame[s_lsn].confirmed ->
        close_sender_frame()
       }
    /* Writes have ended. */
    :: d_step { s_durable < s_lsn -> durable_of(s_frame, s_lsn, s_durable) }
    :: d_step {
        (acknowledged | s_frame[s_durable].steps) != acknowledged ->
        acknowledged = acknowledged | s_frame[s_durable].steps
       }
#ifdef WRONG_ACKNOWLEDGE
    :: d_step { (acknowledged | s_steps) != acknowledged -> acknowledged = acknowledged | s_steps }
#endif
    :: d_step { s_left < s_sent && MAY_LEAVE -> s_left++; link!carried[s_left] }
    /* What the receiver has durably taken need not be kept. */
#ifdef WRONG_CONFIRM
    :: d_step { s_confirmed < r_taken -> s_confirmed = r_taken }
#else
    :: d_step { s_confirmed < r_frame[r_durable].taken -> s_confirmed = r_frame[r_durable].taken }
#endif
    od
}

active proctype receiver()
{
    byte got;

end:
    do
    :: d_step {
        nempty(link) && R_ROOM ->
        link?got;
        assert(!HAS(r_handled, got)); /* never twice */
        r_handled = r_handled | BIT(got);
        r_taken++;
        r_open = true;
        got = 0
       }
    :: d_step { r_open -> close_receiver_frame() }
    :: d_step { r_durable < r_lsn -> durable_of(r_frame, r_lsn, r_durable) }
    :: d_step {
        (r_acknowledged | r_frame[r_durable].handled) != r_acknowledged ->
        r_acknowledged = r_acknowledged | r_frame[r_durable].handled
       }
    od
}

#define LANDS(frame, lsn, n) :: d_step { n <= lsn && !frame[n].on_disk -> frame[n].on_disk = true }

active proctype disk()
{
end:
    do
    LANDS(s_frame, s_lsn, 1) LANDS(s_frame, s_lsn, 2) LANDS(s_frame, s_lsn, 3) LANDS(s_frame, s_lsn, 4)
    LANDS(r_frame, r_lsn, 1) LANDS(r_frame, r_lsn, 2) LANDS(r_frame, r_lsn, 3) LANDS(r_frame, r_lsn, 4)
    od
}

active proctype crash()
{
end:
    do
    :: d_step { crashes < CRASHES -> crashes++; recover() }
    od
}

/* Nothing moves any more, so all has arrived. */
#define STILL (empty(link) && !s_open && !r_open && s_left == s_sent && \
               s_durable == s_lsn && r_durable == r_lsn)

active proctype judge()
{
end:
    d_step {
        STILL ->
        assert((s_steps & r_handled) == s_steps);
#ifndef ASYNC
        assert(s_steps == r_handled);
#endif
        skip
    }
}

ltl handled { []((acknowledged & BIT(1)) -> <>(r_handled & BIT(1))) }
