#include "core/service.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/log.hpp"
#include "core/poll.hpp"
#include "drive/drive.hpp"
#include "rt/clock.hpp"
#include "shm/names.hpp"

namespace holdfast::core {
namespace {

using nlohmann::json;
using shm::Counter;
using shm::Mode;

constexpr double kMaxSimSpeed = 100.0;
constexpr std::size_t kMetricsShown = 64;

json refuse(const std::string& why) { return {{"ok", false}, {"error", why}}; }

std::string joined(const std::vector<std::string>& texts) {
    std::string all;
    for (const std::string& text : texts) all += (all.empty() ? "" : "; ") + text;
    return all;
}

// Which keys each operation takes besides "op".
const std::map<std::string, std::set<std::string>>& operations() {
    static const std::map<std::string, std::set<std::string>> known{
        {"status", {}},
        {"load", {"cwasm", "name", "version", "sha256"}},
        {"unload", {}},
        {"withdraw", {"generation"}},
        {"last_known_good", {"cwasm", "name", "version", "sha256"}},
        {"arm", {}},
        {"disarm", {}},
        {"pause", {}},
        {"resume", {}},
        {"clear", {}},
        {"segment", {}},
        {"sim", {"speed", "paused"}},
        {"input", {"values", "mono_ns"}},
    };
    return known;
}

// Empty: the request has the form of a known operation.
std::string malformed(const json& request) {
    if (!request.contains("op") || !request["op"].is_string()) return "\"op\" is missing; name an operation";
    const auto operation = operations().find(request["op"].get<std::string>());
    if (operation == operations().end()) {
        std::vector<std::string> names;
        for (const auto& [name, keys] : operations()) names.push_back(name);
        return "operation " + request["op"].dump() + " is not known; there are: " + joined(names);
    }
    for (const auto& [key, value] : request.items()) {
        if (key != "op" && !operation->second.contains(key)) {
            return operation->first + ": key \"" + key + "\" is not known; remove it";
        }
    }
    return "";
}

bool has(std::uint32_t blockers, Blocker blocker) {
    return (blockers & static_cast<std::uint32_t>(blocker)) != 0;
}

template <typename Channels>
json names_of(const Channels& channels) {
    json names = json::array();
    for (const auto& channel : channels) names.push_back(channel.name);
    return names;
}

}  // namespace

Expected<std::unique_ptr<Service>> Service::create(const RobotConfig& config, Exchange& exchange,
                                                   std::shared_ptr<wasm::Engine> engine, int state_fd,
                                                   std::vector<std::string> shortfalls, ResumeMarker resume) {
    auto state = shm::Reader<shm::StateSegment>::map(FileDescriptor(::fcntl(state_fd, F_DUPFD_CLOEXEC, 0)));
    if (!state) return tl::unexpected(state.error());
    return std::unique_ptr<Service>(new Service(config, exchange, std::move(engine), state_fd,
                                                std::move(shortfalls), std::move(resume), std::move(*state)));
}

Service::Service(const RobotConfig& config, Exchange& exchange, std::shared_ptr<wasm::Engine> engine,
                 int state_fd, std::vector<std::string> shortfalls, ResumeMarker resume,
                 shm::Reader<shm::StateSegment> state)
    : config_(config),
      exchange_(exchange),
      state_fd_(state_fd),
      shortfalls_(std::move(shortfalls)),
      resume_(std::move(resume)),
      state_(std::move(state)),
      deployment_(config, exchange, std::move(engine)),
      events_(config, exchange, deployment_.store()),
      inputs_(config, exchange) {
    may_resume_ = resume_.take() && config.control.resume == ResumeMode::kAuto;
}

shm::StateData Service::state() const {
    shm::StateData data{};
    poll_until([&] { return state_.read(data); });
    return data;
}

// The segment follows a change of the controller by a cycle: who it is and what it does must be of one
// moment.
shm::StateData Service::settled_state() const {
    shm::StateData now{};
    poll_until([&] {
        now = state();
        const LoadedController* in_use = exchange_.in_use.load(std::memory_order_acquire);
        return now.controller_generation == (in_use == nullptr ? 0 : in_use->generation);
    });
    return now;
}

ipc::Message Service::handle(const ipc::Peer& peer, const ipc::Message& request) {
    if (const std::string problem = malformed(request.body); !problem.empty()) return {refuse(problem), {}};
    ipc::Message reply{answer(peer, request.body), {}};
    if (request.body["op"] == "segment")
        reply.descriptors.emplace_back(::fcntl(state_fd_, F_DUPFD_CLOEXEC, 0));
    return reply;
}

Service::Json Service::answer(const ipc::Peer& peer, const Json& request) {
    const auto op = request["op"].get<std::string>();
    if (op == "status") return status();
    if (op == "load") return load(request);
    if (op == "unload") return unload();
    if (op == "withdraw") return deployment_.withdraw(request);
    if (op == "last_known_good") return deployment_.remember_good(request);
    if (op == "disarm") return disarm();
    if (op == "pause") return change_state(Request::kPause, ExecutionEvent::kPause);
    if (op == "segment") return {{"ok", true}};
    if (op == "input") return inputs_.take(request, monotonic_ns());
    if (!peer.privileged()) {
        log_warning("control.sock: " + op + " refused for uid " + std::to_string(peer.uid));
        return refuse(op + ": only root and the user of holdfast-control may do this; use sudo on the robot");
    }
    if (op == "resume") return change_state(Request::kResume, ExecutionEvent::kResume);
    if (op == "clear") return change_state(Request::kClearFault, ExecutionEvent::kFaultCleared);
    return op == "arm" ? arm() : simulate(request);
}

Service::Json Service::status() {
    keep_house();
    const shm::StateData now = settled_state();
    Json counters = Json::object();
    for (std::uint32_t c = 0; c < static_cast<std::uint32_t>(Counter::kCount); ++c) {
        counters[std::string(shm::name_of(static_cast<Counter>(c)))] = now.counters[c];
    }
    return {{"ok", true},
            {"robot_id", config_.id},
            {"mode", shm::name_of(now.mode)},
            {"boot_id", now.boot_id},
            {"cycle", now.cycle},
            {"controller", controller_status(now)},
            {"lifecycle", deployment_.describe()},
            {"realtime", {{"degraded", now.realtime_degraded != 0}, {"shortfalls", shortfalls_}}},
            {"stopped", events_.stop_message()},
            {"arm_blockers", blocker_texts(exchange_.status.latest().blockers)},
            {"counters", std::move(counters)},
            {"inputs", inputs_.status(monotonic_ns())},
            {"channels", {{"commands", names_of(config_.commands)}, {"states", names_of(config_.states)}}}};
}

Service::Json Service::controller_status(const shm::StateData& now) {
    const auto active = deployment_.store().active();
    if (!active) return nullptr;
    return {{"state", shm::name_of(now.controller_state)},
            {"fault", shm::name_of(now.controller_fault)},
            {"message", events_.fault_message(now.controller_generation)},
            {"name", active->name},
            {"version", active->version},
            {"sha256", active->sha256},
            {"tick", now.controller_tick},
            {"generation", now.controller_generation},
            {"metrics", metrics_}};
}

// What was noted of the last one is put into words before the next takes its place.
Service::Json Service::load(const Json& request) {
    keep_house();
    // The first one is what ran before the interruption; whoever loads another has taken charge.
    may_resume_ = may_resume_ && !loaded_before_;
    loaded_before_ = true;
    return deployment_.load(request, state().mode);
}

Service::Json Service::unload() {
    may_resume_ = false;
    return deployment_.unload();
}

// What is told to be refused must not happen later: a request that nobody took is taken back.
template <typename Answered>
bool Service::answered_or_withdrawn(Request request, Answered answered) {
    if (poll_until(answered)) return true;
    return !exchange_.withdraw(request) && poll_until(answered);
}

Service::Json Service::arm() {
    if (const Mode mode = state().mode; shm::is_armed(mode) && mode != Mode::kPaused) return {{"ok", true}};
    const std::uint64_t before = exchange_.arm_answer.load(std::memory_order_acquire) >> 32;
    exchange_.request(Request::kArm);
    std::uint64_t answer = 0;
    const bool answered = answered_or_withdrawn(Request::kArm, [&] {
        answer = exchange_.arm_answer.load(std::memory_order_acquire);
        return answer >> 32 != before;
    });
    if (!answered) return refuse("arm: the loop does not answer; look at the log of holdfast-control");
    const auto blockers = static_cast<std::uint32_t>(answer);
    if (blockers == 0) return {{"ok", true}};
    if (has(blockers, Blocker::kDriveError)) exchange_.request(Request::kClearErrors);
    Json reply = refuse("");
    reply["reasons"] = blocker_texts(blockers);
    reply["error"] = "arm: " + joined(reply["reasons"].get<std::vector<std::string>>());
    return reply;
}

Service::Json Service::disarm() {
    may_resume_ = false;
    exchange_.request(Request::kDisarm);
    return {{"ok", true}};
}

Service::Json Service::change_state(Request request, ExecutionEvent event) {
    const std::uint64_t before = exchange_.answer.load(std::memory_order_acquire) >> 32;
    exchange_.request(request);
    std::uint64_t answer = 0;
    const bool answered = answered_or_withdrawn(request, [&] {
        answer = exchange_.answer.load(std::memory_order_acquire);
        return answer >> 32 != before;
    });
    if (!answered) return refuse(std::string(name_of(event)) + ": the loop does not answer; look at its log");
    if ((answer & 1u) != 0) return {{"ok", true}};
    return refuse(refusal(static_cast<Mode>(answer >> 8 & 0xFF), event));
}

Service::Json Service::simulate(const Json& request) {
    if (request.contains("speed")) {
        const Json& speed = request["speed"];
        const bool usable =
            speed.is_number() && speed.get<double>() >= 0.0 && speed.get<double>() <= kMaxSimSpeed;
        if (!usable) return refuse("sim: \"speed\" must be a number from 0 to 100");
    }
    if (request.contains("paused") && !request["paused"].is_boolean())
        return refuse("sim: \"paused\" must be true or false");
    if (request.contains("speed"))
        exchange_.sim_speed.store(request["speed"].get<double>(), std::memory_order_relaxed);
    if (request.contains("paused"))
        exchange_.sim_paused.store(request["paused"].get<bool>(), std::memory_order_relaxed);
    return {{"ok", true}, {"sim_time_ns", state().sim_time_ns}};
}

std::vector<std::string> Service::blocker_texts(std::uint32_t blockers) {
    const Status& status = exchange_.status.latest();
    std::vector<std::string> texts;
    const auto add = [&](Blocker blocker, const std::string& text) {
        if (has(blockers, blocker)) texts.push_back(text);
    };
    add(Blocker::kLatched,
        "an e-stop is latched (" + std::string(shm::name_of(status.latch_cause)) + "); reset it first");
    add(Blocker::kSafetySilent, "holdfast-safety gives no heartbeat; start it");
    add(Blocker::kNotPermitted,
        "holdfast-safety does not permit it: a required heartbeat is missing (start holdfast-worker), or "
        "what "
        "`holdfast robot status` says of its equipment and its stop record");
    add(Blocker::kNoController, "no controller is loaded; deploy one");
    add(Blocker::kControllerFaulted, "the controller has failed; load another or unload it");
    if (has(blockers, Blocker::kRealtime)) texts.insert(texts.end(), shortfalls_.begin(), shortfalls_.end());
    if (has(blockers, Blocker::kDriveError)) add_drive_texts(status, texts);
    if (has(blockers, Blocker::kDriveSilent)) add_silence_texts(status, texts);
    if (has(blockers, Blocker::kStateStale)) add_state_texts(status, texts);
    if (has(blockers, Blocker::kEstimate)) add_estimate_texts(status, texts);
    add(Blocker::kBusy, "the robot is armed or stopping; wait for standstill");
    add(Blocker::kPaused, "the robot is paused; resume it, or disarm it first");
    add(Blocker::kFault,
        "the core is in fault: a drive keeps its error although it was cleared; mend it, then `clear`");
    return texts;
}

void Service::add_drive_texts(const Status& status, std::vector<std::string>& texts) const {
    for (std::size_t d = 0; d < config_.drives.size(); ++d) {
        if (status.axis_error[d] == 0) continue;
        texts.push_back("drive " + config_.drives[d].name + " reports " +
                        describe_axis_error(config_.drives[d], status.axis_error[d]) +
                        "; mend it and arm again, which clears it");
    }
}

void Service::add_silence_texts(const Status& status, std::vector<std::string>& texts) const {
    for (std::size_t d = 0; d < config_.drives.size(); ++d) {
        if ((status.silent_drives >> d & 1u) == 0) continue;
        texts.push_back("drive " + config_.drives[d].name +
                        " sends no heartbeat; check its power, node and wiring, and link " +
                        config_.drives[d].link);
    }
}

void Service::add_state_texts(const Status& status, std::vector<std::string>& texts) const {
    for (std::size_t s = 0; s < config_.states.size(); ++s) {
        if ((status.stale_states >> s & 1u) == 0) continue;
        const StateChannel& channel = config_.states[s];
        const std::string source = channel.sensor ? "sensor " + config_.sensors[*channel.sensor].name
                                                  : "drive " + config_.drives[channel.drive].name;
        texts.push_back("state " + channel.name + " is stale; check " + source + " and its link");
    }
}

void Service::add_estimate_texts(const Status& status, std::vector<std::string>& texts) const {
    for (std::size_t c = 0; c < config_.commands.size(); ++c) {
        if ((status.untrusted_joints >> c & 1u) == 0) continue;
        texts.push_back("the estimate of joint " + config_.commands[c].name +
                        " does not fit its measurements; hold the joint still, and check its encoder, "
                        "turns_per_unit and [estimator]");
    }
}

void Service::keep_house() {
    events_.drain();
    deployment_.keep_house(state().mode, events_);
    keep_metrics();
    keep_resume_marker();
}

void Service::keep_metrics() {
    while (const auto metric = exchange_.metrics.pop()) metrics_.push_back(*metric);
    while (metrics_.size() > kMetricsShown) metrics_.pop_front();
}

void Service::keep_resume_marker() {
    if (config_.control.resume != ResumeMode::kAuto) return;
    const Mode mode = state().mode;
    // A pause is a person's wish; a power cut does not end it.
    const bool goes_on = shm::is_armed(mode) && mode != Mode::kPaused;
    if (const auto kept = resume_.set(goes_on); !kept && !marker_failed_) {
        marker_failed_ = true;
        log_warning("resume: " + kept.error().message);
    }
    if (!may_resume_) return;
    const std::uint32_t blockers = exchange_.status.latest().blockers;
    // Rule 3: a latched stop ends the right to arm by itself, and so does the first arming.
    if (shm::is_armed(mode) || has(blockers, Blocker::kLatched)) {
        may_resume_ = false;
    } else if (blockers == 0) {
        log_info("resume: arming by itself after an interruption, as [control] resume says");
        may_resume_ = false;
        (void)arm();
    }
}

}  // namespace holdfast::core
