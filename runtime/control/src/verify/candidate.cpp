#include "verify/candidate.hpp"

#include "verify/source_file.hpp"
#include "verify/staged_file.hpp"
#include "wasm/epoch_timer.hpp"

namespace holdfast::verify {
namespace {

using nlohmann::json;

// Not the controller's fault: the configuration, a file or the disk.
Report unusable(const Error& error) {
    return {ExitCode::kUnusable, {{"ok", false}, {"error", error.message}}};
}

Report rejected(const Rejection& rejection) {
    json body{{"ok", false}, {"stage", rejection.stage}, {"error", rejection.error}};
    if (rejection.tick) body["tick"] = *rejection.tick;
    if (rejection.channel) body["channel"] = *rejection.channel;
    if (rejection.value) body["value"] = *rejection.value;  // JSON writes what is not finite as null
    if (rejection.state) body["state"] = *rejection.state;
    return {ExitCode::kRejected, std::move(body)};
}

Report accepted(const Accepted& result) {
    return {ExitCode::kAccepted,
            {{"ok", true},
             {"ticks", result.ticks},
             {"states", result.states},
             {"max_tick_us", result.max_tick_us},
             {"shield",
              {{"rate_limited", result.shield.rate_limited},
               {"stopping_distance", result.shield.stopping_distance},
               {"conflict", result.shield.conflict},
               {"coupling", result.shield.coupling},
               {"workspace", result.shield.workspace},
               {"zone_slow", result.shield.zone_slow},
               {"zone_stop", result.shield.zone_stop}}}}};
}

}  // namespace

Report examine(const Request& request) {
    const auto config = load_robot_config(request.config);
    if (!config) return unusable(config.error());
    const auto trace = request.trace ? read_trace(*request.trace, *config) : Expected<Trace>{};
    if (!trace) return unusable(trace.error());
    const auto source = read_source(request.source);
    if (!source) return unusable(source.error());
    const auto engine = wasm::Engine::create();
    if (!engine) return unusable(engine.error());

    const auto compiled = wasm::compile(**engine, *source);
    if (!compiled) return rejected(rejection_of(compiled.error()));
    auto staged = StagedFile::write(request.out, *compiled);
    if (!staged) return unusable(staged.error());
    const wasm::EpochTimer timer(*engine);
    const auto sets = state_sets(*config, request.ticks, request.seed, *trace);
    const auto result = verify(*engine, *config, staged->path(), sets);
    if (!result) return rejected(result.error());
    if (const auto published = staged->publish(); !published) return unusable(published.error());
    return accepted(*result);
}

}  // namespace holdfast::verify
