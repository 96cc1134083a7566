#include "core/deployment.hpp"

#include <algorithm>

#include "core/log.hpp"
#include "shm/names.hpp"
#include "wasm/output_problem.hpp"

namespace holdfast::core {
namespace {

using nlohmann::json;

json refuse(const std::string& why) { return {{"ok", false}, {"error", why}}; }

const char* name_of(Stage stage) {
    switch (stage) {
        case Stage::kShadow:
            return "shadow";
        case Stage::kCanary:
            return "canary";
        case Stage::kActive:
            break;
    }
    return "active";
}

const char* name_of(Verdict verdict) {
    switch (verdict) {
        case Verdict::kActivated:
            return "active";
        case Verdict::kRejected:
            return "rejected";
        case Verdict::kWithdrawn:
            return "withdrawn";
        case Verdict::kNone:
            break;
    }
    return "none";
}

const char* name_of(Ground ground) {
    switch (ground) {
        case Ground::kTrap:
            return "trap";
        case Ground::kOverrun:
            return "overrun";
        case Ground::kNotFinite:
            return "not_finite";
        case Ground::kNoChannel:
            return "no_channel";
        case Ground::kOutsideLimits:
            return "outside_limits";
        case Ground::kEstopRequest:
            return "estop_request";
        case Ground::kStarved:
            return "starved";
        case Ground::kStopped:
            return "stopped";
        case Ground::kActiveFailed:
            return "active_failed";
        case Ground::kAsked:
            return "asked";
        case Ground::kSuperseded:
            return "superseded";
        case Ground::kNone:
            break;
    }
    return "none";
}

json described(const ControllerIdentity& identity) {
    return {{"name", identity.name}, {"version", identity.version}, {"sha256", identity.sha256}};
}

}  // namespace

Deployment::Json Deployment::load(const Json& request, shm::Mode mode) {
    Json refusal;
    auto identity = read_identity(request, refusal);
    if (!identity) return refusal;
    const Stage stage = first_stage(mode);
    if (stage != Stage::kActive) {
        if (const std::string obstacle = trial_obstacle(mode); !obstacle.empty())
            return refuse("load: " + obstacle);
    }
    const std::string title = identity->name + " " + identity->version;
    const auto loaded = store_.load(std::move(*identity), stage);
    if (!loaded) return refuse(loaded.error().message);
    rolled_back_ = nullptr;
    log_info("controller: loaded " + title +
             (stage == Stage::kActive ? "" : ", staged as " + std::string(name_of(stage))));
    return {{"ok", true}, {"generation", *loaded}, {"stage", name_of(stage)}};
}

std::optional<ControllerIdentity> Deployment::read_identity(const Json& request, Json& refusal) const {
    const std::string op = request["op"].get<std::string>() + ": ";
    for (const char* key : {"cwasm", "name", "version", "sha256"}) {
        if (request.contains(key) && request[key].is_string()) continue;
        refusal = refuse(op + "\"" + key + "\" must be a string");
        return std::nullopt;
    }
    ControllerIdentity identity{request["name"], request["version"], request["sha256"],
                                request["cwasm"].get<std::string>()};
    if (identity.cwasm.is_absolute()) return identity;
    refusal = refuse(op + identity.cwasm.string() + " is not an absolute path");
    return std::nullopt;
}

Stage Deployment::first_stage(shm::Mode mode) const {
    const bool runs = shm::is_armed(mode) && store_.active();
    if (runs && config_.control.shadow_ticks > 0) return Stage::kShadow;
    return runs && config_.control.canary_ticks > 0 ? Stage::kCanary : Stage::kActive;
}

std::string Deployment::trial_obstacle(shm::Mode mode) const {
    if (mode == shm::Mode::kPaused) {
        return "the robot is paused, and a controller is tried beside one that runs; resume the robot, or "
               "disarm "
               "it: then nothing is tried";
    }
    if (config_.tick_budget_ns() <= wasm::kMinSharedNs) {
        return "at controller_hz " + std::to_string(config_.control.controller_hz) +
               " a period has no room for two controllers; disarm the robot first, or set shadow_ticks and "
               "canary_ticks of [control] to 0";
    }
    return "";
}

Deployment::Json Deployment::unload() {
    store_.unload();
    log_info("controller: unloaded");
    return {{"ok", true}};
}

Deployment::Json Deployment::withdraw(const Json& request) {
    const std::uint64_t candidate = exchange_.lifecycle.latest().candidate;
    if (candidate == 0) return refuse("withdraw: no controller is staged");
    if (request.contains("generation") && request["generation"] != candidate)
        return refuse("withdraw: generation " + request["generation"].dump() + " is not staged; " +
                      std::to_string(candidate) + " is");
    store_.withdraw(candidate);
    return {{"ok", true}, {"generation", candidate}};
}

Deployment::Json Deployment::remember_good(const Json& request) {
    Json refusal;
    auto identity = read_identity(request, refusal);
    if (!identity) return refusal;
    store_.remember_good(std::move(*identity));
    return {{"ok", true}};
}

void Deployment::keep_house(shm::Mode mode, EventLog& events) {
    lifecycle_ = exchange_.lifecycle.latest();
    note_outcome();
    note_proof();
    if (mode == shm::Mode::kDisarmed && failed_in_watch()) roll_back(events);
    store_.collect();
}

void Deployment::note_outcome() {
    const StagingOutcome& outcome = lifecycle_.outcome;
    if (outcome.generation == outcome_generation_) return;
    outcome_generation_ = outcome.generation;
    const auto problem = wasm::output_problem(outcome.output, config_);
    const bool by_output = outcome.verdict == Verdict::kRejected && problem;
    outcome_ = described(store_.identity(outcome.generation).value_or(ControllerIdentity{}));
    outcome_.update({{"generation", outcome.generation},
                     {"result", name_of(outcome.verdict)},
                     {"stage", name_of(outcome.stage)},
                     {"reason", name_of(outcome.ground)},
                     {"tick", outcome.tick},
                     {"channel", by_output && problem->channel ? Json(*problem->channel) : Json()},
                     {"value", by_output && problem->value ? Json(*problem->value) : Json()},
                     {"message", explain(outcome)}});
    const std::string text = "controller: " + outcome_["name"].get<std::string>() + ": ";
    if (outcome.verdict == Verdict::kActivated) return log_info(text + "active after its trial");
    log_warning(text + outcome_["message"].get<std::string>());
}

std::string Deployment::explain(const StagingOutcome& outcome) const {
    const std::string place = std::string(name_of(outcome.stage)) + ": ";
    const std::string at = place + "tick " + std::to_string(outcome.tick) + ": ";
    switch (outcome.ground) {
        case Ground::kTrap:
        case Ground::kOverrun:
            return at + store_.trap_message(outcome.generation);
        case Ground::kNotFinite:
        case Ground::kNoChannel:
        case Ground::kOutsideLimits:
        case Ground::kEstopRequest: {
            const auto problem = wasm::output_problem(outcome.output, config_);
            return at + (problem ? problem->text : "");
        }
        case Ground::kStarved:
            return at +
                   "the active controller leaves no time for a second one in its period; deploy this one "
                   "while the "
                   "robot is disarmed";
        case Ground::kStopped:
            return place +
                   "withdrawn, because the robot was stopped while it was tried; deploy it again (at once "
                   "active "
                   "while the robot is disarmed)";
        case Ground::kActiveFailed:
            return place + "withdrawn, because the active controller failed or was unloaded; deploy it again";
        case Ground::kAsked:
            return place + "withdrawn on request";
        case Ground::kSuperseded:
            return place + "withdrawn, because another controller was loaded";
        case Ground::kNone:
            break;
    }
    return "";
}

void Deployment::note_proof() {
    if (!lifecycle_.proved || lifecycle_.active == proved_generation_) return;
    proved_generation_ = lifecycle_.active;
    auto identity = store_.identity(lifecycle_.active);
    if (!identity) return;
    log_info("controller: " + identity->name + " ran through its watch; it is the last known good one");
    store_.remember_good(std::move(*identity));
}

// NaN and a request for an e-stop latch: what follows is a person's to decide (rule 3).
bool Deployment::failed_in_watch() const {
    // What was loaded since has taken the place of the one that failed.
    const auto* in_use = exchange_.in_use.load(std::memory_order_acquire);
    if (in_use == nullptr || in_use->generation != lifecycle_.active) return false;
    const bool stops =
        lifecycle_.fault == shm::ControllerFault::kTrap || lifecycle_.fault == shm::ControllerFault::kOverrun;
    return stops && lifecycle_.watched < config_.control.watch_ticks &&
           lifecycle_.active != settled_generation_;
}

void Deployment::roll_back(EventLog& events) {
    settled_generation_ = lifecycle_.active;
    const auto failed = store_.identity(lifecycle_.active);
    const auto good = store_.last_known_good();
    if (!failed || !good || good->sha256 == failed->sha256) return;
    Json record = described(*failed);
    record.update({{"generation", lifecycle_.active},
                   {"tick", lifecycle_.watched},
                   {"fault", shm::name_of(lifecycle_.fault)},
                   {"message", events.fault_message(lifecycle_.active)},
                   {"to", good->sha256}});
    if (const auto loaded = store_.load(*good, Stage::kActive); !loaded) {
        return log_error("controller: " + good->name +
                         ", the last known good one, cannot be loaded again: " + loaded.error().message);
    }
    rolled_back_ = std::move(record);
    exchange_.counters.add(shm::Counter::kRollbacks);
    log_warning("controller: " + failed->name + " failed in its watch; " + good->name +
                ", the last known good one, is loaded again and moves when somebody arms");
}

Deployment::Json Deployment::describe() const {
    const auto& good = store_.last_known_good();
    const std::uint64_t of = config_.control.watch_ticks;
    return {{"candidate", describe_candidate()},
            {"outcome", outcome_},
            {"watch", lifecycle_.active == 0 ? Json()
                                             : Json{{"generation", lifecycle_.active},
                                                    {"ticks", std::min(lifecycle_.watched, of)},
                                                    {"of", of}}},
            {"last_known_good", good ? described(*good) : Json()},
            {"rolled_back", rolled_back_}};
}

Deployment::Json Deployment::describe_candidate() const {
    const auto identity = store_.identity(lifecycle_.candidate);
    if (lifecycle_.candidate == 0 || !identity) return nullptr;
    const bool shadow = lifecycle_.stage == Stage::kShadow;
    Json found = described(*identity);
    found.update({{"generation", lifecycle_.candidate},
                  {"stage", name_of(lifecycle_.stage)},
                  {"ticks", lifecycle_.stage_ticks},
                  {"of", shadow ? config_.control.shadow_ticks : config_.control.canary_ticks}});
    return found;
}

}  // namespace holdfast::core
