/*
 * park.pml - sleep and wake of a shard (runtime/host/park.h): no event is slept over.
 *
 * Each thread's stores go through a buffer of its own and become visible at any later time, in order. The
 * word and the publications are stored plainly; the heavy barrier empties every thread's buffer, one thread
 * after the other, at any time between its beginning and its end. A swap empties the swapper's buffer.
 * With -DPOLLED the sleeper is a host's event loop: it sleeps on a descriptor that a wake makes readable
 * and that it must empty itself. With -DSYMMETRIC there is no membarrier, and both sides run a full fence.
 *
 * In the safety runs each waker publishes twice, and then nothing can happen any more: all must have
 * been taken; one sleep may end by its deadline. In the liveness runs each publishes for ever, the next when
 * the last was taken.
 *
 * Not covered: the kernel's futex and eventfd themselves, which are taken to be atomic.
 *
 * run: safety holds                        : futex, membarrier
 * run: safety holds -DSYMMETRIC            : futex, full fences
 * run: safety holds -DPOLLED               : descriptor, membarrier
 * run: live holds taken                    : futex, each event is taken in the end
 * run: live holds taken -DPOLLED           : descriptor, each event is taken in the end
 * run: safety fails -DWRONG_NO_BARRIER     : the sleeper runs no barrier
 * run: safety fails -DWRONG_OWN_FENCE      : the sleeper's barrier is for itself only
 * run: safety fails -DWRONG_LOAD_FIRST     : the waker's load goes before its publication
 * run: safety fails -DWRONG_LOOK_FIRST     : the sleeper looks before it says that it sleeps
 * run: safety fails -DSYMMETRIC -DWRONG_NO_FENCE    : the waker runs no fence
 * run: safety fails -DPOLLED -DWRONG_EMPTIED_LATE   : the descriptor is emptied after the look
 * run: live fails taken -DWRONG_NO_BARRIER          : and an event may wait for ever
 */
#define WAKERS 2
#define AWAKE  0
#define ASLEEP 1

/* Publications are counted modulo 4; a waker is at most two ahead of the sleeper. */
#define COUNT 4

/* What is visible to all. */
byte word = AWAKE;
byte published[WAKERS];
byte taken[WAKERS];
bool in_futex, readable;

byte issued[WAKERS]; /* what each waker has stored, visible or not */

chan word_stores = [2] of { byte };
chan stores[WAKERS] = [2] of { byte };

bool finished[WAKERS];
#ifndef LIVE
bool expired; /* the one sleep that ends by its deadline has been */
#endif

active proctype memory()
{
end:
    do
    :: word_stores?word
    :: stores[0]?published[0]
    :: stores[1]?published[1]
    od
}

inline flush(n)
{
    atomic {
        do
        :: nempty(stores[n]) -> stores[n]?published[n]
        :: empty(stores[n]) -> break
        od
    }
}

inline flush_word()
{
    atomic {
        do
        :: nempty(word_stores) -> word_stores?word
        :: empty(word_stores) -> break
        od
    }
}

inline heavy_barrier()
{
#ifndef WRONG_NO_BARRIER
    flush_word();
#if !defined(SYMMETRIC) && !defined(WRONG_OWN_FENCE)
    flush(0);
    flush(1);
#endif
#endif
    skip
}

inline cancel()
{
    word_stores!AWAKE;
#if defined(POLLED) && !defined(WRONG_EMPTIED_LATE)
    readable = false
#endif
}

#define LOOK work = (published[0] != taken[0]); work = work || (published[1] != taken[1])

active proctype sleeper()
{
    bool work;

end_turn:
    do
    ::
        /* A turn: the wait is over, and what is there is taken. */
#ifdef POLLED
        cancel();
#endif
        taken[0] = published[0];
        taken[1] = published[1];
#ifdef WRONG_LOOK_FIRST
        LOOK;
        word_stores!ASLEEP;
        heavy_barrier();
#else
        word_stores!ASLEEP;
        heavy_barrier();
        LOOK;
#endif
        if
        :: work -> cancel()
        :: else ->
#ifdef POLLED
#ifdef WRONG_EMPTIED_LATE
            readable = false;
#endif
end_polled:
            if
            :: readable
            #ifndef LIVE
            :: !expired -> expired = true
#endif
            fi
#else
            if
            :: atomic { word == ASLEEP -> in_futex = true }
            :: word != ASLEEP
            fi;
end_asleep:
            if
            :: !in_futex
#ifndef LIVE
            :: atomic { in_futex && !expired -> expired = true; in_futex = false }
#endif
            fi;
            cancel()
#endif
        fi;
        work = false
    od
}

proctype waker(byte me)
{
    byte seen, old;

#ifdef LIVE
    do
    :: issued[me] == taken[me] ->
#else
    byte left = 2;
    do
    :: left == 0 -> break
    :: left > 0 ->
        left--;
#endif
#ifdef WRONG_LOAD_FIRST
        seen = word;
#endif
        atomic {
            issued[me] = (issued[me] + 1) % COUNT;
            stores[me]!issued[me]
        }
#if defined(SYMMETRIC) && !defined(WRONG_NO_FENCE)
        flush(me);
#endif
#ifndef WRONG_LOAD_FIRST
        seen = word;
#endif
        if
        :: seen == ASLEEP ->
            atomic {
                /* A locked operation waits for the thread's own stores. */
                do
                :: nempty(stores[me]) -> stores[me]?published[me]
                :: empty(stores[me]) -> break
                od;
                old = word;
                word = AWAKE
            }
            if
#ifdef POLLED
            :: old == ASLEEP -> readable = true
#else
            :: old == ASLEEP -> in_futex = false
#endif
            :: else
            fi
        :: else
        fi;
        d_step { seen = 0; old = 0 }
    od;
    finished[me] = true
}

init {
    atomic { run waker(0); run waker(1) }
#ifndef LIVE
    timeout -> assert(finished[0] && finished[1] && taken[0] == issued[0] && taken[1] == issued[1])
#endif
}

ltl taken { []<>(taken[0] == 0) && []<>(taken[0] == 1) && []<>(taken[1] == 0) && []<>(taken[1] == 1) }
