#include "safety/service.hpp"

#include <fcntl.h>

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <string_view>
#include <thread>

#include "rt/clock.hpp"
#include "shm/names.hpp"

namespace holdfast::safety {
namespace {

using ipc::Message;
using nlohmann::json;
using std::chrono::milliseconds;

// The loop decides within a millisecond; beyond this it stands still.
constexpr milliseconds kLoopPatience{1000};
// The worker's heartbeats wait meanwhile, and nothing may move. Clients wait two seconds for an answer.
constexpr milliseconds kDurablePatience{1500};
// After a reset the worker's heartbeats count again, so the wait is short.
constexpr milliseconds kResetPatience{100};
constexpr std::size_t kMaxReasonBytes = 500;
constexpr std::uint64_t kMostStops = std::uint64_t{1}
                                     << 48;  // what a LatchWord holds, and more than a life has

Message refuse(const std::string& why) { return {{{"ok", false}, {"error", why}}, {}}; }
Message agree() { return {{{"ok", true}}, {}}; }

bool wait_until(const std::function<bool()>& condition, milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return true;
}

std::string unknown_key(const json& body, std::initializer_list<std::string_view> known) {
    for (const auto& [key, value] : body.items()) {
        if (std::find(known.begin(), known.end(), key) == known.end()) return key;
    }
    return "";
}

std::string text_or_nothing(const json& body, const char* key) {
    const auto found = body.find(key);
    return found != body.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string mend_of(StopCause standing, const Recorder& recorder) {
    switch (standing) {
        case StopCause::kNone:
        case StopCause::kOperator:
            return "a new stop was asked for at the same time; reset again when the operator agrees";
        case StopCause::kCoreLost:
            return "start holdfast-control (systemctl restart holdfast-control) and reset again";
        case StopCause::kWorkerLost:
            return "start the worker (systemctl restart holdfast-worker) and reset again";
        case StopCause::kControllerRequest:
        case StopCause::kControllerNotFinite:
            return "unload the controller (holdfast robot unload) or load another, and reset again";
        case StopCause::kEstopLine:
            return "release the e-stop and reset again";
        case StopCause::kEstopDiscrepancy:
            return "look at both contacts and their wires, press the e-stop so that both open, release it "
                   "and reset "
                   "again";
        case StopCause::kEstopLineUnreadable:
            return "look at estop_lines in robot.toml and the GPIO chip (gpioinfo), restart holdfast-safety "
                   "and "
                   "reset again";
        case StopCause::kEnableLineFailed:
            return "look at enable_line in robot.toml and the GPIO chip (gpioinfo), restart holdfast-safety "
                   "and "
                   "reset again";
        case StopCause::kDriveFault:
            return "look at the drive; `holdfast robot arm`, which is refused now, clears the errors that "
                   "are gone; "
                   "then reset again";
        case StopCause::kCoreOverruns:
            return "find what takes the processor's time; reset again when the overruns have ended for a "
                   "second";
        case StopCause::kTemperature:
            return "let the processor cool down and reset again";
        case StopCause::kMemoryPressure:
            return "end what takes the memory and reset again";
        case StopCause::kHealthUnreadable:
            return "look at the sensor (/sys/class/thermal, /proc/pressure/memory), restart holdfast-safety "
                   "and "
                   "reset again";
        case StopCause::kStateRecordUnreadable:
            break;
    }
    return "it could not be written anew: " + recorder.status().error.value_or("writing is under way") +
           "; mend that and reset again";
}

json peer_status(bool attached, std::int64_t beat_ns) {
    json age = nullptr;
    if (attached && beat_ns != 0) age = static_cast<double>(monotonic_ns() - beat_ns) * 1e-6;
    return {{"attached", attached}, {"age_ms", age}};
}

json scaled(std::int32_t value, double by) {
    return value == kNotKnown ? json(nullptr) : json(static_cast<double>(value) / by);
}

FileDescriptor duplicate(int fd) { return FileDescriptor(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

}  // namespace

std::vector<std::string> names_of_causes(std::uint32_t bits) {
    std::vector<std::string> names;
    for (std::uint32_t i = 0; i <= static_cast<std::uint32_t>(shm::kLastStopCause); ++i) {
        if ((bits >> i & 1u) != 0) names.emplace_back(shm::name_of(static_cast<StopCause>(i)));
    }
    return names;
}

Service::~Service() {
    mailbox_.core_sample.store(nullptr, std::memory_order_release);
    static_cast<void>(let_the_loop_see());
}

bool Service::let_the_loop_see() const {
    const std::uint64_t now = mailbox_.periods.load(std::memory_order_acquire);
    return wait_until([&] { return mailbox_.periods.load(std::memory_order_acquire) >= now + 2; },
                      kLoopPatience);
}

Message Service::handle(const ipc::Peer& peer, Message request) {
    const json body = request.body;
    const std::string op = text_or_nothing(body, "op");
    if (op == "estop") return estop(body);  // never refused for its form
    const bool is_attach = op == "attach";
    const std::string unknown =
        is_attach ? unknown_key(body, {"op", "role", "latch"}) : unknown_key(body, {"op"});
    if (!unknown.empty()) return refuse("unknown key \"" + unknown + "\" in a request for \"" + op + "\"");
    if (is_attach) return attach(peer, std::move(request));
    if (op == "heartbeat") return heartbeat(peer);
    if (op == "detach") return detach(peer);
    if (op == "segment") return segment();
    if (op == "reset") return reset(peer);
    if (op == "status") return status();
    return refuse("unknown op \"" + op +
                  "\"; known are attach, detach, heartbeat, segment, estop, reset, status");
}

// Hazard: a stop that nobody caused. A peer whose patience ended while this daemon started or stood still has
// attached on another connection by now, or will; taken at its word here it would be lost at once.
Message Service::attach(const ipc::Peer& peer, Message request) {
    if (peer.gone) return refuse("the connection was closed before the daemon came to it; attach again");
    const std::string role = text_or_nothing(request.body, "role");
    if (peer.connection == core_connection_ || peer.connection == worker_connection_) {
        return refuse("this connection is attached already; detach first");
    }
    if (role == "core") return attach_core(peer, std::move(request));
    if (role == "worker") return attach_worker(peer);
    return refuse("unknown role \"" + role + "\"; known are core and worker");
}

// Hazard: whoever attaches as the core says when a stop has been carried out.
Message Service::attach_core(const ipc::Peer& peer, Message request) {
    if (!peer.privileged() && peer.uid != equipment_.core_user) {
        return refuse(
            "only root and the users of holdfast-control and holdfast-safety may attach as the core");
    }
    if (core_connection_ != 0) return refuse("a core is attached already; end it first");
    if (request.descriptors.size() != 1)
        return refuse("a core attaches with one descriptor, of its state segment");
    auto reader = StateReader::map(std::move(request.descriptors.front()));
    if (!reader) return refuse("the state segment is refused: " + reader.error().message);
    const auto latch = request.body.find("latch");
    if (latch != request.body.end() && !latch->is_number_unsigned())
        return refuse("\"latch\" is the number of the stop that this core holds: 0 or more");
    const std::uint64_t held = latch == request.body.end() ? 0 : latch->get<std::uint64_t>();
    if (held > kMostStops) return refuse("\"latch\" is no number of a stop");
    auto sample = std::make_unique<StateReader>(std::move(*reader));
    // Hazard: a stop that this daemon's predecessor could not write. What the core is given shows it again.
    // One that this daemon has known was reset by somebody, before the core could see that.
    const std::uint64_t known = mailbox_.last_sequence.load(std::memory_order_acquire);
    if (held > known && mailbox_.latch.load(std::memory_order_acquire).sequence() == 0)
        mailbox_.lost_stop.store(held, std::memory_order_release);
    mailbox_.core_sample.store(sample.get(), std::memory_order_release);
    if (!let_the_loop_see()) {
        mailbox_.core_sample.store(core_sample_.get(), std::memory_order_release);
        static_cast<void>(sample.release());  // the loop may still look at it when it wakes
        return refuse("the safety loop stands still; restart holdfast-safety");
    }
    core_sample_ = std::move(sample);
    core_connection_ = peer.connection;
    mailbox_.core_attached.store(true, std::memory_order_release);
    Message reply = segment();
    return reply;
}

Message Service::attach_worker(const ipc::Peer& peer) {
    if (worker_connection_ != 0) return refuse("a worker is attached already; end it first");
    worker_connection_ = peer.connection;
    mailbox_.worker_attached.store(true, std::memory_order_release);
    return agree();
}

Message Service::heartbeat(const ipc::Peer& peer) {
    if (peer.connection != worker_connection_) {
        return refuse("this connection is not attached as the worker; attach first");
    }
    mailbox_.worker_beats.fetch_add(1, std::memory_order_acq_rel);
    return agree();
}

Message Service::detach(const ipc::Peer& peer) {
    if (peer.connection == core_connection_) {
        detach_core();
    } else if (peer.connection == worker_connection_) {
        detach_worker();
    } else {
        return refuse("this connection is not attached");
    }
    return agree();
}

// The loop sees the last sample beside the detach: a core that leaves while armed is a stop.
void Service::detach_core() {
    mailbox_.core_attached.store(false, std::memory_order_release);
    core_connection_ = 0;
    if (!let_the_loop_see()) return;
    mailbox_.core_sample.store(nullptr, std::memory_order_release);
    if (let_the_loop_see()) core_sample_.reset();
}

void Service::detach_worker() {
    mailbox_.worker_attached.store(false, std::memory_order_release);
    worker_connection_ = 0;
    static_cast<void>(let_the_loop_see());
}

// Without a detach the peer stays attached in the eyes of the loop: it is lost, until another takes its
// place.
void Service::closed(const ipc::Peer& peer) {
    if (peer.connection == core_connection_) {
        core_connection_ = 0;
        mailbox_.core_losses.fetch_add(1, std::memory_order_acq_rel);
    } else if (peer.connection == worker_connection_) {
        worker_connection_ = 0;
        mailbox_.worker_losses.fetch_add(1, std::memory_order_acq_rel);
    }
}

Message Service::segment() const {
    Message reply = agree();
    reply.descriptors.push_back(duplicate(segment_fd_));
    if (!reply.descriptors.back()) return refuse("no descriptor is free for the segment; raise LimitNOFILE");
    return reply;
}

Message Service::estop(const json& body) {
    std::string reason = text_or_nothing(body, "reason");
    reason.resize(std::min(reason.size(), kMaxReasonBytes));
    recorder_.expect_reason(reason);
    const std::uint64_t request = mailbox_.operator_stops.fetch_add(1, std::memory_order_acq_rel) + 1;
    const auto taken = [&] {
        return mailbox_.operator_stops_taken.load(std::memory_order_acquire) >= request;
    };
    if (!wait_until(taken, kLoopPatience)) {
        return refuse(
            "the safety loop stands still, the stop is not taken; use the stop line or cut the power");
    }
    const LatchWord latch = mailbox_.latch.load(std::memory_order_acquire);
    if (recorder_.wait_until_durable(latch, kDurablePatience)) {
        return {{{"ok", true}, {"latch_sequence", latch.sequence()}}, {}};
    }
    Message reply =
        refuse("the stop stands, but could not be made durable and would be forgotten by a power cut: " +
               recorder_.status().error.value_or("the disk takes too long"));
    reply.body["latch_sequence"] = latch.sequence();
    return reply;
}

Message Service::reset(const ipc::Peer& peer) {
    if (!peer.privileged()) {
        return refuse(
            "only root or the user of holdfast-safety may reset, on the robot itself: sudo holdfast robot "
            "reset");
    }
    const std::uint64_t request = mailbox_.resets.fetch_add(1, std::memory_order_acq_rel) + 1;
    const auto decided = [&] { return mailbox_.resets_decided.load(std::memory_order_acquire) >= request; };
    if (!wait_until(decided, kLoopPatience))
        return refuse("the safety loop stands still; restart holdfast-safety");
    const StopCause standing = mailbox_.reset_refused_for.load(std::memory_order_acquire);
    if (!mailbox_.reset_granted.load(std::memory_order_acquire)) {
        if (standing == StopCause::kNone)
            return refuse("holdfast-control has not carried out the stop yet; reset again in a moment");
        return refuse("the cause " + std::string(shm::name_of(standing)) + " stands (" + describe(standing) +
                      "): " + mend_of(standing, recorder_));
    }
    const bool durable = recorder_.wait_until_durable(LatchWord(), kResetPatience);
    Message reply = agree();
    reply.body["durable"] = durable;  // if not: after a power cut now, the stop stands again
    return reply;
}

Message Service::status() const {
    const LatchWord latch = mailbox_.latch.load(std::memory_order_acquire);
    const Recorder::Status recorded = recorder_.status();
    const bool latched = latch.sequence() != 0;
    const bool known = recorded.record.latch_sequence == latch.sequence();
    json body{
        {"ok", true},
        {"latched", latched},
        {"latch_sequence", latch.sequence()},
        {"last_sequence", mailbox_.last_sequence.load(std::memory_order_acquire)},
        {"cause", shm::name_of(latch.cause())},
        {"reason", known ? recorded.record.reason : describe(latch.cause())},
        {"since", latched && known ? json(recorded.record.since) : json(nullptr)},
        {"durable", recorded.durable == latch},
        {"record_error", recorded.error ? json(*recorded.error) : json(nullptr)},
        {"standing", shm::name_of(mailbox_.standing.load(std::memory_order_acquire))},
        {"arm_permitted", mailbox_.arm_permitted.load(std::memory_order_acquire)},
        {"realtime", shortfalls_},
        {"core", peer_status(mailbox_.core_attached.load(std::memory_order_acquire),
                             mailbox_.core_beat_ns.load(std::memory_order_acquire))},
        {"worker", peer_status(mailbox_.worker_attached.load(std::memory_order_acquire),
                               mailbox_.worker_beat_ns.load(std::memory_order_acquire))},
        {"stop_frames_sent", mailbox_.stop_frames_sent.load(std::memory_order_acquire)},
        {"stop_frames_failed", mailbox_.stop_frames_failed.load(std::memory_order_acquire)},
        {"stop_frames_withheld", mailbox_.stop_frames_withheld.load(std::memory_order_acquire)},
    };
    add_equipment(body);
    return {std::move(body), {}};
}

void Service::add_equipment(json& body) const {
    body["warnings"] = names_of_causes(mailbox_.warnings.load(std::memory_order_acquire));
    body["problems"] = equipment_.problems;
    body["temperature_c"] = scaled(mailbox_.temperature.load(std::memory_order_acquire), 1000.0);
    body["memory_pressure_percent"] = scaled(mailbox_.memory_pressure.load(std::memory_order_acquire), 100.0);
    body["estop_line"] = nullptr;
    if (equipment_.estop_lines) {
        const std::uint32_t open = mailbox_.estop_open.load(std::memory_order_acquire);
        body["estop_line"] = {{"readable", mailbox_.estop_readable.load(std::memory_order_acquire)},
                              {"open", {(open & 1u) != 0, (open & 2u) != 0}}};
    }
    body["enable_line"] = nullptr;
    if (equipment_.enable_line) body["enable_line"] = mailbox_.enable.load(std::memory_order_acquire);
    body["watchdog_timeout_s"] =
        equipment_.watchdog_timeout_s == 0 ? json(nullptr) : json(equipment_.watchdog_timeout_s);
    body["evidence"] = nullptr;
    if (equipment_.evidence == nullptr) return;
    const EvidenceWriter::Status evidence = equipment_.evidence->status();
    body["evidence"] = {{"saved", evidence.saved},
                        {"dropped", evidence.dropped},
                        {"lost", evidence.lost},
                        {"error", evidence.error ? json(*evidence.error) : json(nullptr)}};
}

}  // namespace holdfast::safety
