/*
 * caf.cc - peer_caf: the C++ Actor Framework's side of the rows about actors (actors.h, child.h).
 *
 *   peer_caf THREADS      the scheduler's threads; questions on stdin, answers on stdout
 *
 *   open PLACE WORK N     makes the actors of a work                    ok
 *   run PLACE OPERATIONS  does at least so many, and checks them        ok NANOSECONDS OPERATIONS
 *   close PLACE           ends its actors                               ok
 *
 * Actors are classes derived from event_based_actor, the leanest kind there is. All sending is done by
 * actors, on the scheduler's threads: what comes from outside takes a slower way. A machine of the life
 * cycle keeps its state as a number and a table of functions: become() would cost a message more.
 * Nothing is changed in the scheduler's configuration but the number of threads.
 */
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <caf/all.hpp>

namespace
{

using caf::actor;
using caf::actor_config;
using caf::actor_system;
using caf::behavior;
using caf::event_based_actor;

using go_atom = caf::atom_constant<caf::atom("go")>;
using more_atom = caf::atom_constant<caf::atom("more")>;
using ping_atom = caf::atom_constant<caf::atom("ping")>;
using pong_atom = caf::atom_constant<caf::atom("pong")>;
using link_atom = caf::atom_constant<caf::atom("link")>;

uint64_t now_ns()
{
    return uint64_t(std::chrono::duration_cast<std::chrono::nanoseconds>(
                        std::chrono::steady_clock::now().time_since_epoch())
                        .count());
}

void check(bool good, const char *what)
{
    if (!good)
        throw std::runtime_error(what);
}

uint64_t divide_up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* Where an actor tells the main thread that a run is over; the time is taken by the actor. */
class Line
{
  public:
    void start()
    {
        begin_ = now_ns();
    }

    void cross(uint64_t value = 0)
    {
        const uint64_t end = now_ns();
        std::lock_guard<std::mutex> lock(mutex_);

        end_ = end;
        value_ = value;
        crossed_ = true;
        condition_.notify_one();
    }

    uint64_t wait()
    {
        std::unique_lock<std::mutex> lock(mutex_);

        condition_.wait(lock, [this] { return crossed_; });
        crossed_ = false;
        return value_;
    }

    uint64_t ns() const
    {
        return end_ - begin_;
    }

  private:
    std::mutex mutex_;
    std::condition_variable condition_;
    bool crossed_ = false;
    uint64_t begin_ = 0, end_ = 0, value_ = 0;
};

/* How many of a work's lasting actors are ready, and how many have ended. */
struct Census {
    std::atomic<uint64_t> ready{0}, ended{0};

    static void wait(const std::atomic<uint64_t> &count, uint64_t wanted)
    {
        while (count.load() < wanted)
            std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
};

class Lasting : public event_based_actor
{
  public:
    Lasting(actor_config &config, Census &census) : event_based_actor(config), census_(census) {}

    void on_exit() override
    {
        release();
        census_.ended.fetch_add(1);
    }

  protected:
    /* Lets go of the handles of others, which may be a circle. */
    virtual void release() {}

    behavior ready(behavior serve)
    {
        census_.ready.fetch_add(1);
        return serve;
    }

  private:
    Census &census_;
};

class Work
{
  public:
    virtual ~Work() = default;

    /* Returns what was done, and how long it took in ns. */
    virtual uint64_t run(uint64_t operations, uint64_t &ns) = 0;

    /* Ends the actors, and returns when they have gone. */
    virtual void close()
    {
        for (const actor &one : actors)
            caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
        Census::wait(census.ended, actors.size());
        actors.clear();
    }

  protected:
    explicit Work(actor_system &the_system) : system(the_system) {}

    void await_ready()
    {
        Census::wait(census.ready, actors.size());
    }

    actor_system &system;
    Census census;
    std::vector<actor> actors;
    Line line;
};

/* ---- Life cycle ---------------------------------------------------------------------------------- */

enum { STATES = 5, WINDOWS = 2, MANY = 16384 };

/*
 * Events go out in windows, two of them under way. In a window the last event to each machine is marked
 * with the window; handling a marked one counts the window down, and who comes to zero asks the driver
 * for more. With few machines a wide window pays, so that each finds several events when it runs; with
 * many a narrow one, so that a machine is still in the caches when it runs.
 */
struct Windows {
    std::atomic<uint32_t> left[WINDOWS];
    actor driver;
};

class Machine final : public Lasting
{
  public:
    Machine(actor_config &config, Census &census, Windows &windows)
        : Lasting(config, census), windows_(windows)
    {
    }

    behavior make_behavior() override
    {
        return ready({[this](uint64_t arg, uint32_t mark) {
            actions[state_](*this, arg);
            state_ = targets[state_];
            if (mark > 0 && windows_.left[mark - 1].fetch_sub(1) == 1)
                send(windows_.driver, more_atom::value, mark - 1);
        }});
    }

    uint64_t events() const
    {
        return events_;
    }
    uint64_t sum() const
    {
        return sum_;
    }

  private:
    using Action = void (*)(Machine &self, uint64_t arg);

    static void advance(Machine &self, uint64_t arg)
    {
        self.events_++;
        self.sum_ += arg;
    }

    static const Action actions[STATES];
    static const uint32_t targets[STATES];

    Windows &windows_;
    uint32_t state_ = 0;
    uint64_t events_ = 0, sum_ = 0;
};

const Machine::Action Machine::actions[STATES] = {advance, advance, advance, advance, advance};
const uint32_t Machine::targets[STATES] = {1, 2, 3, 4, 0};

struct Plan {
    uint64_t window;               /* events */
    std::vector<uint32_t> targets; /* with the highest bit set: marked */
    std::vector<uint32_t> marks;   /* by window */
    static constexpr uint32_t MARKED = 1u << 31;
};

class Driver final : public Lasting
{
  public:
    Driver(actor_config &config, Census &census, Windows &windows, const Plan &plan,
           const std::vector<actor> &machines, Line &line)
        : Lasting(config, census), windows_(windows), plan_(plan), machines_(machines), line_(line)
    {
    }

    behavior make_behavior() override
    {
        return ready({[this](go_atom) {
                          next_ = 0;
                          open_ = 0;
                          line_.start();
                          for (uint32_t slot = 0; slot < WINDOWS; slot++)
                              fill(slot);
                      },
                      [this](more_atom, uint32_t slot) {
                          open_--;
                          fill(slot);
                          if (open_ == 0)
                              line_.cross();
                      }});
    }

  private:
    void fill(uint32_t slot)
    {
        const size_t begin = next_ * plan_.window;
        const size_t end = std::min(begin + plan_.window, plan_.targets.size());

        if (begin >= end)
            return;
        windows_.left[slot].store(plan_.marks[next_]);
        next_++;
        open_++;
        for (size_t i = begin; i < end; i++) {
            const uint32_t target = plan_.targets[i];

            send(machines_[target & ~Plan::MARKED], uint64_t(1),
                 (target & Plan::MARKED) != 0 ? slot + 1 : 0u);
        }
    }

    Windows &windows_;
    const Plan &plan_;
    const std::vector<actor> &machines_;
    Line &line_;
    uint32_t next_ = 0, open_ = 0;
};

class LifeCycle final : public Work
{
  public:
    LifeCycle(actor_system &the_system, uint64_t count) : Work(the_system), stamps_(count, 0)
    {
        plan_.window = count < MANY ? 4096 : 256;
        actors.reserve(count);
        machines_.reserve(count);
        for (uint64_t i = 0; i < count; i++) {
            actors.push_back(system.spawn<Machine>(census, windows_));
            machines_.push_back(caf::actor_cast<Machine *>(actors.back()));
        }
        await_ready();
        windows_.driver = system.spawn<Driver>(driver_census_, windows_, plan_, actors, line);
    }

    uint64_t run(uint64_t operations, uint64_t &ns) override
    {
        draw(operations);
        caf::anon_send(windows_.driver, go_atom::value);
        line.wait();
        ns = line.ns();
        total_ += operations;
        verify();
        return operations;
    }

    void close() override
    {
        caf::anon_send_exit(windows_.driver, caf::exit_reason::user_shutdown);
        Census::wait(driver_census_.ended, 1);
        windows_.driver = nullptr;
        Work::close();
    }

  private:
    void draw(uint64_t operations)
    {
        const uint64_t windows = divide_up(operations, plan_.window);

        plan_.targets.resize(operations);
        plan_.marks.assign(windows, 0);
        for (uint32_t &target : plan_.targets) {
            random_ ^= random_ << 13;
            random_ ^= random_ >> 7;
            random_ ^= random_ << 17;
            target = uint32_t((random_ >> 32) * stamps_.size() >> 32);
        }
        for (uint64_t window = 0; window < windows; window++) {
            stamp_++;
            const uint64_t begin = window * plan_.window;

            for (uint64_t i = std::min(begin + plan_.window, operations); i-- > begin;) {
                uint32_t &target = plan_.targets[i];

                if (stamps_[target] != stamp_) {
                    stamps_[target] = stamp_;
                    target |= Plan::MARKED;
                    plan_.marks[window]++;
                }
            }
        }
    }

    void verify() const
    {
        uint64_t events = 0, sum = 0;

        for (const Machine *machine : machines_) {
            events += machine->events();
            sum += machine->sum();
        }
        check(events == total_ && sum == total_, "life cycle: events were lost");
    }

    Windows windows_;
    Plan plan_;
    Census driver_census_;
    std::vector<const Machine *> machines_;
    std::vector<uint32_t> stamps_;
    uint32_t stamp_ = 0;
    uint64_t random_ = 0x9e3779b97f4a7c15;
    uint64_t total_ = 0;
};

/* ---- Ring, and ping-pong as a ring of two -------------------------------------------------------- */

class Hopper final : public Lasting
{
  public:
    Hopper(actor_config &config, Census &census, Line &line) : Lasting(config, census), line_(line)
    {
    }

    behavior make_behavior() override
    {
        return ready({[this](uint64_t left) {
                          hops_++;
                          if (left > 0)
                              send(next_, left - 1);
                          else
                              line_.cross();
                      },
                      [this](go_atom, uint64_t left) {
                          line_.start();
                          send(this, left);
                      },
                      [this](link_atom, const actor &next) { next_ = next; }});
    }

    uint64_t hops() const
    {
        return hops_;
    }

  protected:
    void release() override
    {
        next_ = nullptr;
    }

  private:
    Line &line_;
    actor next_;
    uint64_t hops_ = 0;
};

class Ring final : public Work
{
  public:
    Ring(actor_system &the_system, uint64_t count) : Work(the_system)
    {
        for (uint64_t i = 0; i < count; i++)
            actors.push_back(system.spawn<Hopper>(census, line));
        await_ready();
        for (uint64_t i = 0; i < count; i++)
            caf::anon_send(actors[i], link_atom::value, actors[(i + 1) % count]);
    }

    uint64_t run(uint64_t operations, uint64_t &ns) override
    {
        uint64_t hops = 0;

        caf::anon_send(actors[0], go_atom::value, operations - 1);
        line.wait();
        ns = line.ns();
        total_ += operations;
        for (const actor &one : actors)
            hops += caf::actor_cast<const Hopper *>(one)->hops();
        check(hops == total_, "ring: hops were lost");
        return operations;
    }

  private:
    uint64_t total_ = 0;
};

/* ---- Skynet -------------------------------------------------------------------------------------- */

class Node final : public event_based_actor
{
  public:
    Node(actor_config &config, actor parent, uint64_t number, uint64_t leaves)
        : event_based_actor(config), parent_(std::move(parent)), number_(number), leaves_(leaves)
    {
    }

    behavior make_behavior() override
    {
        if (leaves_ == 1) {
            send(parent_, number_);
            return {};
        }
        for (uint64_t i = 0; i < 10; i++)
            spawn<Node>(actor(this), number_ + i * (leaves_ / 10), leaves_ / 10);
        return {[this](uint64_t sum) {
            sum_ += sum;
            if (--left_ == 0) {
                send(parent_, sum_);
                quit();
            }
        }};
    }

  private:
    actor parent_;
    uint64_t number_, leaves_;
    uint64_t sum_ = 0, left_ = 10;
};

class Planter final : public Lasting
{
  public:
    Planter(actor_config &config, Census &census, Line &line) : Lasting(config, census), line_(line)
    {
    }

    behavior make_behavior() override
    {
        return ready({[this](go_atom, uint64_t leaves) {
                          line_.start();
                          spawn<Node>(actor(this), uint64_t(0), leaves);
                      },
                      [this](uint64_t sum) { line_.cross(sum); }});
    }

  private:
    Line &line_;
};

class Skynet final : public Work
{
  public:
    Skynet(actor_system &the_system, uint64_t leaves) : Work(the_system), leaves_(leaves)
    {
        actors.push_back(system.spawn<Planter>(census, line));
        await_ready();
    }

    uint64_t run(uint64_t operations, uint64_t &ns) override
    {
        const uint64_t trees = divide_up(operations, leaves_);

        ns = 0;
        for (uint64_t i = 0; i < trees; i++) {
            caf::anon_send(actors[0], go_atom::value, leaves_);
            check(line.wait() == leaves_ * (leaves_ - 1) / 2, "skynet: the sum is wrong");
            ns += line.ns();
        }
        return trees * leaves_;
    }

  private:
    uint64_t leaves_;
};

/* ---- Fan in -------------------------------------------------------------------------------------- */

enum { BURST = 16 };

class Receiver final : public Lasting
{
  public:
    Receiver(actor_config &config, Census &census, Line &line)
        : Lasting(config, census), line_(line)
    {
    }

    behavior make_behavior() override
    {
        return ready({[this](uint64_t value) { take(value); },
                      [this](more_atom, uint64_t value) {
                          take(value);
                          return more_atom::value;
                      },
                      [this](go_atom, uint64_t wanted, const std::vector<actor> &senders) {
                          sum_ = 0;
                          left_ = wanted;
                          line_.start();
                          for (const actor &one : senders)
                              send(one, go_atom::value, wanted / senders.size());
                      }});
    }

  private:
    void take(uint64_t value)
    {
        sum_ += value;
        if (--left_ == 0)
            line_.cross(sum_);
    }

    Line &line_;
    uint64_t sum_ = 0, left_ = 0;
};

class Sender final : public Lasting
{
  public:
    Sender(actor_config &config, Census &census, actor receiver)
        : Lasting(config, census), receiver_(std::move(receiver))
    {
    }

    behavior make_behavior() override
    {
        return ready({[this](go_atom, uint64_t count) {
                          left_ = count;
                          burst();
                      },
                      [this](more_atom) { burst(); }});
    }

  protected:
    void release() override
    {
        receiver_ = nullptr;
    }

  private:
    /* The last of a burst is answered, unless nothing is left: so few are under way. */
    void burst()
    {
        for (unsigned i = 1; i <= BURST && left_ > 0; i++) {
            left_--;
            if (i == BURST && left_ > 0)
                send(receiver_, more_atom::value, left_);
            else
                send(receiver_, left_);
        }
    }

    actor receiver_;
    uint64_t left_ = 0;
};

class FanIn final : public Work
{
  public:
    FanIn(actor_system &the_system, uint64_t senders) : Work(the_system)
    {
        actors.push_back(system.spawn<Receiver>(census, line));
        for (uint64_t i = 0; i < senders; i++)
            actors.push_back(system.spawn<Sender>(census, actors[0]));
        await_ready();
        senders_.assign(actors.begin() + 1, actors.end());
    }

    uint64_t run(uint64_t operations, uint64_t &ns) override
    {
        const uint64_t each = divide_up(operations, senders_.size());
        const uint64_t sum = senders_.size() * (each * (each - 1) / 2);

        caf::anon_send(actors[0], go_atom::value, each * senders_.size(), senders_);
        check(line.wait() == sum, "fan-in: the sum is wrong");
        ns = line.ns();
        return each * senders_.size();
    }

    void close() override
    {
        senders_.clear();
        Work::close();
    }

  private:
    std::vector<actor> senders_;
};

/* ---- Fork and join ------------------------------------------------------------------------------- */

uint64_t trivial(uint64_t number)
{
    return number * 0x9e3779b97f4a7c15 >> 32;
}

class Child final : public event_based_actor
{
  public:
    Child(actor_config &config, actor parent, uint64_t number)
        : event_based_actor(config), parent_(std::move(parent)), number_(number)
    {
    }

    behavior make_behavior() override
    {
        send(parent_, trivial(number_));
        return {};
    }

  private:
    actor parent_;
    uint64_t number_;
};

class Parent final : public Lasting
{
  public:
    Parent(actor_config &config, Census &census, Line &line) : Lasting(config, census), line_(line)
    {
    }

    behavior make_behavior() override
    {
        return ready({[this](go_atom, uint64_t children) {
                          sum_ = 0;
                          left_ = children;
                          line_.start();
                          for (uint64_t i = 0; i < children; i++)
                              spawn<Child>(actor(this), i);
                      },
                      [this](uint64_t value) {
                          sum_ += value;
                          if (--left_ == 0)
                              line_.cross(sum_);
                      }});
    }

  private:
    Line &line_;
    uint64_t sum_ = 0, left_ = 0;
};

class ForkJoin final : public Work
{
  public:
    ForkJoin(actor_system &the_system, uint64_t children) : Work(the_system), children_(children)
    {
        actors.push_back(system.spawn<Parent>(census, line));
        await_ready();
        for (uint64_t i = 0; i < children; i++)
            sum_ += trivial(i);
    }

    uint64_t run(uint64_t operations, uint64_t &ns) override
    {
        const uint64_t rounds = divide_up(operations, children_);

        ns = 0;
        for (uint64_t i = 0; i < rounds; i++) {
            caf::anon_send(actors[0], go_atom::value, children_);
            check(line.wait() == sum_, "fork-join: the sum is wrong");
            ns += line.ns();
        }
        return rounds * children_;
    }

  private:
    uint64_t children_, sum_ = 0;
};

/* ---- Big: all to all ----------------------------------------------------------------------------- */

struct Crowd {
    std::vector<actor> members;
    std::atomic<uint64_t> busy{0};
};

class Member final : public Lasting
{
  public:
    Member(actor_config &config, Census &census, Crowd &crowd, Line &line)
        : Lasting(config, census), crowd_(crowd), line_(line)
    {
    }

    behavior make_behavior() override
    {
        return ready({[this](ping_atom) {
                          pings_++;
                          return pong_atom::value;
                      },
                      [this](pong_atom) {
                          if (--pongs_left_ == 0)
                              round();
                      },
                      [this](go_atom, uint64_t rounds) {
                          rounds_left_ = rounds;
                          round();
                      },
                      [this](link_atom, uint64_t rounds) {
                          line_.start();
                          for (const actor &member : crowd_.members)
                              send(member, go_atom::value, rounds);
                      }});
    }

    uint64_t pings() const
    {
        return pings_;
    }

  private:
    void round()
    {
        if (rounds_left_-- == 0) {
            if (crowd_.busy.fetch_sub(1) == 1)
                line_.cross();
            return;
        }
        pongs_left_ = crowd_.members.size() - 1;
        for (const actor &member : crowd_.members)
            if (member != this)
                send(member, ping_atom::value);
    }

    Crowd &crowd_;
    Line &line_;
    uint64_t rounds_left_ = 0, pongs_left_ = 0, pings_ = 0;
};

class Big final : public Work
{
  public:
    Big(actor_system &the_system, uint64_t count) : Work(the_system)
    {
        for (uint64_t i = 0; i < count; i++)
            actors.push_back(system.spawn<Member>(census, crowd_, line));
        await_ready();
        crowd_.members = actors;
    }

    uint64_t run(uint64_t operations, uint64_t &ns) override
    {
        const uint64_t pings = actors.size() * (actors.size() - 1);
        const uint64_t rounds = divide_up(operations, 2 * pings);
        uint64_t sum = 0;

        crowd_.busy = actors.size();
        caf::anon_send(actors[0], link_atom::value, rounds);
        line.wait();
        ns = line.ns();
        total_ += rounds * pings;
        for (const actor &one : actors)
            sum += caf::actor_cast<const Member *>(one)->pings();
        check(sum == total_, "big: messages were lost");
        return 2 * rounds * pings;
    }

    void close() override
    {
        crowd_.members.clear();
        Work::close();
    }

  private:
    Crowd crowd_;
    uint64_t total_ = 0;
};

/* ---- Questions ----------------------------------------------------------------------------------- */

std::unique_ptr<Work> make_work(actor_system &system, const std::string &name, uint64_t count)
{
    if (name == "lifecycle")
        return std::make_unique<LifeCycle>(system, count);
    if (name == "thread_ring" || name == "ping_pong")
        return std::make_unique<Ring>(system, count);
    if (name == "skynet")
        return std::make_unique<Skynet>(system, count);
    if (name == "fan_in")
        return std::make_unique<FanIn>(system, count);
    if (name == "fork_join")
        return std::make_unique<ForkJoin>(system, count);
    if (name == "big")
        return std::make_unique<Big>(system, count);
    throw std::runtime_error("no such work: " + name);
}

using Places = std::map<unsigned, std::unique_ptr<Work>>;

std::string answer(actor_system &system, Places &places, const std::string &question)
{
    std::istringstream words(question);
    std::string verb, name;
    unsigned place = 0;
    uint64_t number = 0, ns = 0;

    words >> verb >> place;
    if (verb == "open") {
        words >> name >> number;
        check(bool(words) && number > 0, "open what?");
        places[place] = make_work(system, name, number);
        return "ok";
    }
    check(bool(words) && places.count(place) == 1, "no such place");
    if (verb == "run") {
        words >> number;
        check(bool(words) && number > 0, "run how many?");
        number = places[place]->run(number, ns);
        return "ok " + std::to_string(ns) + " " + std::to_string(number);
    }
    check(verb == "close", "no such question");
    places[place]->close();
    places.erase(place);
    return "ok";
}

} // namespace

int main(int argc, char **argv)
{
    caf::actor_system_config config;
    const size_t threads = argc > 1 ? std::stoul(argv[1]) : 1;
    std::string question;

    config.set("scheduler.max-threads", threads);
    actor_system system{config};
    Places places;
    while (std::getline(std::cin, question)) {
        try {
            std::cout << answer(system, places, question) << std::endl;
        } catch (const std::exception &error) {
            std::cout << "error " << error.what() << std::endl;
        }
    }
    for (auto &place : places)
        place.second->close();
    return 0;
}
