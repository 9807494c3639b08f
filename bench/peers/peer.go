// peer.go - peer_go: goroutines and channels in the rows about actors (actors.h, child.h).
//
//	peer_go THREADS       GOMAXPROCS; questions on stdin, answers on stdout
//
//	open PLACE WORK N     makes the goroutines of a work                ok
//	run PLACE OPERATIONS  does at least so many, and checks them        ok NANOSECONDS OPERATIONS
//	close PLACE           ends its goroutines                           ok
//
// An actor is a goroutine that reads a channel of its own. Channels are bounded, so a sender waits for a
// slow receiver; their capacities are chosen so that it seldom has to. The collector runs as it does by
// default.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type work interface {
	// run returns how long it took and how many operations it did.
	run(operations int) (time.Duration, int, error)
	close()
}

func divideUp(a, b int) int {
	return (a + b - 1) / b
}

// ---- Life cycle ------------------------------------------------------------------------------------

const (
	states  = 5
	windows = 2
	many    = 16384 // machines, from which on an event finds its machine out of the caches
)

// Events go out in windows, two of them under way. In a window the last event to each machine carries
// the window's group, so that the driver learns when all are handled. With few machines a wide window
// pays, so that each finds several events when it runs; with many a narrow one, so that a machine is
// still in the caches when it runs: these widths were the best of those tried.
type event struct {
	arg  uint64
	mark *sync.WaitGroup
}

type machine struct {
	in          chan event
	state       int
	events, sum uint64
}

func advance(m *machine, arg uint64) {
	m.events++
	m.sum += arg
}

var (
	actions = [states]func(*machine, uint64){advance, advance, advance, advance, advance}
	nexts   = [states]int{1, 2, 3, 4, 0}
)

func (m *machine) serve(gone *sync.WaitGroup) {
	for e := range m.in {
		actions[m.state](m, e.arg)
		m.state = nexts[m.state]
		if e.mark != nil {
			e.mark.Done()
		}
	}
	gone.Done()
}

const marked = 1 << 31

type lifeCycle struct {
	machines []*machine
	window   int
	gone     sync.WaitGroup
	groups   [windows]sync.WaitGroup
	targets  []uint32
	marks    []int // by window
	stamps   []uint32
	stamp    uint32
	random   uint64
	total    uint64
}

func openLifeCycle(count int) work {
	w := &lifeCycle{
		machines: make([]*machine, count),
		stamps:   make([]uint32, count),
		window:   8192,
		random:   0x9e3779b97f4a7c15,
	}
	inbox := 32
	if count >= many {
		w.window, inbox = 128, 4
	}
	w.gone.Add(count)
	for i := range w.machines {
		w.machines[i] = &machine{in: make(chan event, inbox)}
		go w.machines[i].serve(&w.gone)
	}
	return w
}

func (w *lifeCycle) draw(operations int) {
	count := uint64(len(w.machines))
	if cap(w.targets) < operations {
		w.targets = make([]uint32, operations)
	}
	w.targets = w.targets[:operations]
	for i := range w.targets {
		w.random ^= w.random << 13
		w.random ^= w.random >> 7
		w.random ^= w.random << 17
		w.targets[i] = uint32((w.random >> 32) * count >> 32)
	}
	w.marks = w.marks[:0]
	for begin := 0; begin < operations; begin += w.window {
		part := w.part(begin)
		w.stamp++
		marks := 0
		for i := len(part) - 1; i >= 0; i-- {
			if target := part[i]; w.stamps[target] != w.stamp {
				w.stamps[target] = w.stamp
				part[i] |= marked
				marks++
			}
		}
		w.marks = append(w.marks, marks)
	}
}

// The targets of the window that begins there.
func (w *lifeCycle) part(begin int) []uint32 {
	if len(w.targets)-begin > w.window {
		return w.targets[begin : begin+w.window]
	}
	return w.targets[begin:]
}

func (w *lifeCycle) run(operations int) (time.Duration, int, error) {
	w.draw(operations)
	begin := time.Now()
	for i, marks := range w.marks {
		group := &w.groups[i%windows]
		group.Wait()
		group.Add(marks)
		for _, target := range w.part(i * w.window) {
			if target&marked != 0 {
				w.machines[target&^marked].in <- event{1, group}
			} else {
				w.machines[target].in <- event{1, nil}
			}
		}
	}
	for i := range w.groups {
		w.groups[i].Wait()
	}
	took := time.Since(begin)
	w.total += uint64(operations)
	var events, sum uint64
	for _, m := range w.machines {
		events += m.events
		sum += m.sum
	}
	if events != w.total || sum != w.total {
		return 0, 0, errors.New("life cycle: events were lost")
	}
	return took, operations, nil
}

func (w *lifeCycle) close() {
	for _, m := range w.machines {
		close(m.in)
	}
	w.gone.Wait()
}

// ---- Ring, and ping-pong as a ring of two ----------------------------------------------------------

type hopper struct {
	in   chan int
	hops uint64
	_    [6]uint64 // neighbours do not share a line
}

type ring struct {
	hoppers []hopper
	done    chan time.Time
	gone    sync.WaitGroup
	total   uint64
}

func openRing(count int) work {
	w := &ring{hoppers: make([]hopper, count), done: make(chan time.Time, 1)}
	for i := range w.hoppers {
		w.hoppers[i].in = make(chan int)
	}
	w.gone.Add(count)
	for i := range w.hoppers {
		go w.serve(&w.hoppers[i], w.hoppers[(i+1)%count].in)
	}
	return w
}

func (w *ring) serve(h *hopper, next chan<- int) {
	for left := range h.in {
		h.hops++
		if left > 0 {
			next <- left - 1
		} else {
			w.done <- time.Now()
		}
	}
	w.gone.Done()
}

func (w *ring) run(operations int) (time.Duration, int, error) {
	begin := time.Now()
	w.hoppers[0].in <- operations - 1
	took := (<-w.done).Sub(begin)
	w.total += uint64(operations)
	var hops uint64
	for i := range w.hoppers {
		hops += w.hoppers[i].hops
	}
	if hops != w.total {
		return 0, 0, errors.New("ring: hops were lost")
	}
	return took, operations, nil
}

func (w *ring) close() {
	for i := range w.hoppers {
		close(w.hoppers[i].in)
	}
	w.gone.Wait()
}

// ---- Skynet ----------------------------------------------------------------------------------------

type skynet struct {
	leaves int
}

func node(parent chan<- int, number, leaves int) {
	if leaves == 1 {
		parent <- number
		return
	}
	in := make(chan int, 10)
	for i := 0; i < 10; i++ {
		go node(in, number+i*(leaves/10), leaves/10)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-in
	}
	parent <- sum
}

func (w *skynet) run(operations int) (time.Duration, int, error) {
	trees := divideUp(operations, w.leaves)
	root := make(chan int)
	begin := time.Now()
	for i := 0; i < trees; i++ {
		go node(root, 0, w.leaves)
		if <-root != w.leaves*(w.leaves-1)/2 {
			return 0, 0, errors.New("skynet: the sum is wrong")
		}
	}
	return time.Since(begin), trees * w.leaves, nil
}

func (w *skynet) close() {
}

// ---- Fan in ----------------------------------------------------------------------------------------

const fanInCapacity = 1024

type fanIn struct {
	starts []chan int
	in     chan int
	wanted chan int
	sums   chan int
	gone   sync.WaitGroup
}

func openFanIn(senders int) work {
	w := &fanIn{
		starts: make([]chan int, senders),
		in:     make(chan int, fanInCapacity),
		wanted: make(chan int),
		sums:   make(chan int),
	}
	w.gone.Add(senders + 1)
	go w.receive()
	for i := range w.starts {
		w.starts[i] = make(chan int, 1)
		go w.send(w.starts[i])
	}
	return w
}

func (w *fanIn) receive() {
	for wanted := range w.wanted {
		sum := 0
		for i := 0; i < wanted; i++ {
			sum += <-w.in
		}
		w.sums <- sum
	}
	w.gone.Done()
}

func (w *fanIn) send(starts <-chan int) {
	for count := range starts {
		for left := count - 1; left >= 0; left-- {
			w.in <- left
		}
	}
	w.gone.Done()
}

func (w *fanIn) run(operations int) (time.Duration, int, error) {
	senders := len(w.starts)
	each := divideUp(operations, senders)
	begin := time.Now()
	w.wanted <- each * senders
	for _, start := range w.starts {
		start <- each
	}
	sum := <-w.sums
	took := time.Since(begin)
	if sum != senders*(each*(each-1)/2) {
		return 0, 0, errors.New("fan-in: the sum is wrong")
	}
	return took, each * senders, nil
}

func (w *fanIn) close() {
	close(w.wanted)
	for _, start := range w.starts {
		close(start)
	}
	w.gone.Wait()
}

// ---- Fork and join ---------------------------------------------------------------------------------

type forkJoin struct {
	children int
	sum      uint64
	results  chan uint64
}

func trivial(number uint64) uint64 {
	return number * 0x9e3779b97f4a7c15 >> 32
}

func child(results chan<- uint64, number uint64) {
	results <- trivial(number)
}

func openForkJoin(children int) work {
	w := &forkJoin{children: children, results: make(chan uint64, children)}
	for i := 0; i < children; i++ {
		w.sum += trivial(uint64(i))
	}
	return w
}

func (w *forkJoin) run(operations int) (time.Duration, int, error) {
	rounds := divideUp(operations, w.children)
	begin := time.Now()
	for i := 0; i < rounds; i++ {
		var sum uint64
		for j := 0; j < w.children; j++ {
			go child(w.results, uint64(j))
		}
		for j := 0; j < w.children; j++ {
			sum += <-w.results
		}
		if sum != w.sum {
			return 0, 0, errors.New("fork-join: the sum is wrong")
		}
	}
	return time.Since(begin), rounds * w.children, nil
}

func (w *forkJoin) close() {
}

// ---- Big: all to all -------------------------------------------------------------------------------

// A note is a start (rounds > 0), a ping (from a member) or a pong (neither).
type note struct {
	from   *member
	rounds int
}

type member struct {
	in    chan note
	pings uint64
}

type big struct {
	members []*member
	busy    int64
	done    chan time.Time
	gone    sync.WaitGroup
	total   uint64
}

func openBig(count int) work {
	w := &big{members: make([]*member, count), done: make(chan time.Time, 1)}
	for i := range w.members {
		// One ping and one pong of each other member, and a start: no sender ever waits.
		w.members[i] = &member{in: make(chan note, 2*count)}
	}
	w.gone.Add(count)
	for _, m := range w.members {
		go w.serve(m)
	}
	return w
}

func (w *big) pingAll(m *member) {
	for _, other := range w.members {
		if other != m {
			other.in <- note{from: m}
		}
	}
}

func (w *big) serve(m *member) {
	rounds, pongs := 0, 0
	for n := range m.in {
		if n.from != nil {
			m.pings++
			n.from.in <- note{}
			continue
		}
		if n.rounds > 0 {
			rounds = n.rounds
		} else if pongs--; pongs > 0 {
			continue
		} else if rounds--; rounds == 0 {
			if atomic.AddInt64(&w.busy, -1) == 0 {
				w.done <- time.Now()
			}
			continue
		}
		pongs = len(w.members) - 1
		w.pingAll(m)
	}
	w.gone.Done()
}

func (w *big) run(operations int) (time.Duration, int, error) {
	pings := len(w.members) * (len(w.members) - 1)
	rounds := divideUp(operations, 2*pings)
	w.busy = int64(len(w.members))
	begin := time.Now()
	for _, m := range w.members {
		m.in <- note{rounds: rounds}
	}
	took := (<-w.done).Sub(begin)
	w.total += uint64(rounds * pings)
	var sum uint64
	for _, m := range w.members {
		sum += m.pings
	}
	if sum != w.total {
		return 0, 0, errors.New("big: messages were lost")
	}
	return took, 2 * rounds * pings, nil
}

func (w *big) close() {
	for _, m := range w.members {
		close(m.in)
	}
	w.gone.Wait()
}

// ---- Questions -------------------------------------------------------------------------------------

func open(name string, count int) (work, error) {
	switch name {
	case "lifecycle":
		return openLifeCycle(count), nil
	case "thread_ring", "ping_pong":
		return openRing(count), nil
	case "skynet":
		return &skynet{count}, nil
	case "fan_in":
		return openFanIn(count), nil
	case "fork_join":
		return openForkJoin(count), nil
	case "big":
		return openBig(count), nil
	}
	return nil, errors.New("no such work: " + name)
}

func answer(places map[string]work, words []string) (string, error) {
	if len(words) == 4 && words[0] == "open" {
		count, err := strconv.Atoi(words[3])
		if err != nil || count <= 0 {
			return "", errors.New("open how many?")
		}
		if places[words[1]], err = open(words[2], count); err != nil {
			return "", err
		}
		return "ok", nil
	}
	if len(words) < 2 || places[words[1]] == nil {
		return "", errors.New("no such place")
	}
	switch w := places[words[1]]; {
	case len(words) == 3 && words[0] == "run":
		operations, err := strconv.Atoi(words[2])
		if err != nil || operations <= 0 {
			return "", errors.New("run how many?")
		}
		took, done, err := w.run(operations)
		return fmt.Sprintf("ok %d %d", took.Nanoseconds(), done), err
	case words[0] == "close":
		w.close()
		delete(places, words[1])
		return "ok", nil
	}
	return "", errors.New("no such question")
}

func main() {
	places := map[string]work{}
	if len(os.Args) > 1 {
		if threads, err := strconv.Atoi(os.Args[1]); err == nil {
			runtime.GOMAXPROCS(threads)
		}
	}
	for questions := bufio.NewScanner(os.Stdin); questions.Scan(); {
		text, err := answer(places, strings.Fields(questions.Text()))
		if err != nil {
			text = "error " + err.Error()
		}
		fmt.Println(text)
	}
}
