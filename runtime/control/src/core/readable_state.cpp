#include "core/readable_state.hpp"

#include <algorithm>
#include <limits>

namespace holdfast::core {

std::span<const double> ReadableState::of(const StateSnapshot& snapshot, const InputSamples& inputs,
                                          std::int64_t now_ns, Counters& counters) {
    const std::size_t states = config_.states.size();
    std::copy_n(snapshot.state.begin(), states, values_.begin());
    for (std::size_t i = 0; i < config_.inputs.size(); ++i) {
        const bool fresh =
            inputs.mono_ns[i] != 0 && now_ns - inputs.mono_ns[i] <= config_.inputs[i].max_age_ns;
        values_[states + i] = fresh ? inputs.value[i] : std::numeric_limits<double>::quiet_NaN();
        if (!fresh) counters.add(shm::Counter::kInputStale);
    }
    return std::span(values_).first(config_.readable_count());
}

}  // namespace holdfast::core
