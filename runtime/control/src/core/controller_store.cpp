#include "core/controller_store.hpp"

#include <algorithm>
#include <utility>

#include "core/poll.hpp"

namespace holdfast::core {

Expected<std::uint64_t> ControllerStore::load(ControllerIdentity identity, Stage first_stage) {
    auto controller = wasm::Controller::load(engine_, config_, identity.cwasm);
    if (!controller) return tl::unexpected(controller.error());
    auto held = std::make_unique<Held>(
        Held{{std::move(*controller), ++generation_, first_stage}, std::move(identity)});
    LoadedController* next = &held->loaded;
    held_.push_back(std::move(held));
    hand_over(next);
    return generation_;
}

void ControllerStore::unload() { hand_over(nullptr); }

void ControllerStore::withdraw(std::uint64_t generation) {
    exchange_.withdrawn.store(generation, std::memory_order_release);
}

void ControllerStore::hand_over(LoadedController* next) {
    exchange_.controller.store(next, std::memory_order_release);
    poll_until([&] { return exchange_.taken.load(std::memory_order_acquire) == next; });
    collect();
}

// Only when the controller thread has taken the newest can it not be about to take an older one. The newest
// itself stays, used or not: its address tells the next hand-over from this one.
void ControllerStore::collect() {
    const LoadedController* newest = exchange_.controller.load(std::memory_order_relaxed);
    if (exchange_.taken.load(std::memory_order_acquire) != newest) return;
    const LoadedController* in_use = exchange_.in_use.load(std::memory_order_acquire);
    std::erase_if(held_,
                  [=](const auto& held) { return &held->loaded != newest && &held->loaded != in_use; });
}

const ControllerStore::Held* ControllerStore::find(std::uint64_t generation) const {
    const auto found = std::find_if(held_.begin(), held_.end(),
                                    [=](const auto& held) { return held->loaded.generation == generation; });
    return found == held_.end() ? nullptr : found->get();
}

std::optional<ControllerIdentity> ControllerStore::active() const {
    const LoadedController* in_use = exchange_.in_use.load(std::memory_order_acquire);
    return in_use == nullptr ? std::nullopt : identity(in_use->generation);
}

std::optional<ControllerIdentity> ControllerStore::identity(std::uint64_t generation) const {
    const Held* held = find(generation);
    return held == nullptr ? std::nullopt : std::optional(held->identity);
}

std::string ControllerStore::trap_message(std::uint64_t generation) const {
    const Held* held = find(generation);
    return held == nullptr ? "" : held->loaded.controller->trap_message();
}

}  // namespace holdfast::core
