/*
 * host_turn.pml - turns of the host against pause and stop (runtime/shard/host_drive.c): when a pause has
 * returned no turn is inside the shard, and after a stop nobody but the stopper touches it.
 *
 *      turn                                 pause, stop
 *      turning = 1                          mode = PAUSED or STOPPED
 *      full fence                           full fence
 *      mode still RUNNING? else out         turning == 0? else wait
 *
 * The stores of both threads go through buffers and become visible later, in order. The host turns, or
 * prepares to wait and then waits until it is woken; a change of the mode wakes it. What it does of these
 * is open; in the liveness run it waits when there is nothing to do, because a pause can be held up for ever
 * by a host that turns without a break and always meets the moment at which the pause looks.
 *
 * Not covered: a descriptor that several threads wait for (one thread at a time is the rule).
 *
 * run: safety holds                          : pause, resume, stop
 * run: live holds ends                       : every pause and every stop returns
 * run: safety fails -DWRONG_NO_FENCE_TURN    : the turn runs no fence
 * run: safety fails -DWRONG_NO_FENCE_PAUSE   : the pause runs no fence
 * run: safety fails -DWRONG_LOOK_FIRST       : the turn looks at the mode before it enters
 * run: safety fails -DWRONG_WAIT_UNCHECKED   : a wait is prepared in a stopped shard too
 */
#define RUNNING 0
#define PAUSED  1
#define STOPPED 2

/* What is visible to all. */
byte mode = RUNNING;
bit turning;
bool woken;

chan host_stores = [3] of { bit };        /* of turning */
chan controller_stores = [2] of { byte }; /* of mode */

bool quiet;    /* a pause has returned and no resume has begun */
bool consumed; /* the stopper takes what is in the shard */
bool stepping; /* the host is inside a turn */
bool looking;  /* or inside a look */
bool changing; /* a pause or a stop is under way */

active proctype host_memory()
{
end:
    do
    :: host_stores?turning
    od
}

active proctype controller_memory()
{
end:
    do
    :: controller_stores?mode
    od
}

inline fence(stores)
{
    empty(stores)
}

inline enter()
{
    host_stores!1;
#ifndef WRONG_NO_FENCE_TURN
    fence(host_stores);
#endif
    skip
}

active proctype host()
{
    byte seen;
    bool stopped;

end:
    do
#ifdef LIVE
    :: seen == RUNNING ->
#else
    ::
#endif
        /* pawl_turn */
#ifdef WRONG_LOOK_FIRST
        seen = mode;
        enter();
#else
        enter();
        seen = mode;
#endif
        if
        :: seen == RUNNING ->
            atomic { stepping = true; assert(!quiet && !consumed) }
            atomic { stepping = false; assert(!quiet && !consumed) }
        :: else
        fi;
        host_stores!0

#ifdef LIVE
    :: seen != RUNNING ->
#else
    ::
#endif
        /* pawl_shard_wait_prepare, then the wait */
        woken = false;
        enter();
        stopped = (mode == STOPPED);
        if
#ifndef WRONG_WAIT_UNCHECKED
        :: stopped -> host_stores!0; stopped = false; seen = RUNNING; goto end_stopped
#endif
        :: else ->
            /* In a pause the look is harmless; against a stop it is one more consumer. */
            atomic { looking = true; assert(!consumed) }
            atomic { looking = false; assert(!consumed) }
        fi;
        /* The look at the mode is part of what has_work is about. */
        seen = mode;
        host_stores!0;
        if
        :: seen == PAUSED ->
end_waiting:
            woken
        :: else
        fi;
        stopped = false;
        seen = RUNNING
    od;
end_stopped:
    false
}

inline set_mode(m)
{
    controller_stores!m;
    fence(controller_stores); /* the wake's swap */
    woken = true
}

inline set_mode_and_wait(m)
{
    changing = true;
    controller_stores!m;
#ifndef WRONG_NO_FENCE_PAUSE
    fence(controller_stores);
    woken = true;
#endif
    turning == 0;
    changing = false
}

active proctype controller()
{
    byte pauses = 2;

    do
    :: pauses > 0 ->
#ifndef LIVE
        pauses--;
#endif
        set_mode_and_wait(PAUSED);
        quiet = true;
        atomic { assert(!stepping); quiet = false }
        set_mode(RUNNING)
    :: break
    od;
    set_mode_and_wait(STOPPED);
    consumed = true;
    assert(!stepping && !looking)
}

ltl ends { [](changing -> <>!changing) }
