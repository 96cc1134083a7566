#include "core/controller_store.hpp"

#include <utility>

#include "core/poll.hpp"

namespace holdfast::core {

Expected<std::uint64_t> ControllerStore::load(const std::filesystem::path& cwasm,
                                              ControllerIdentity identity) {
    auto controller = wasm::Controller::load(engine_, config_, cwasm);
    if (!controller) return tl::unexpected(controller.error());
    held_.push_back(std::make_unique<LoadedController>(std::move(*controller), ++generation_));
    active_ = std::move(identity);
    hand_over(held_.back().get());
    return generation_;
}

void ControllerStore::unload() {
    active_.reset();
    hand_over(nullptr);
}

void ControllerStore::hand_over(LoadedController* next) {
    exchange_.controller.store(next, std::memory_order_release);
    poll_until([&] { return exchange_.in_use.load(std::memory_order_acquire) == next; });
    collect();
}

// Only when the controller thread has taken over the newest can it not be about to take over an older one.
void ControllerStore::collect() {
    LoadedController* newest = exchange_.controller.load(std::memory_order_relaxed);
    if (exchange_.in_use.load(std::memory_order_acquire) != newest) return;
    std::erase_if(held_, [newest](const auto& held) { return held.get() != newest; });
}

std::string ControllerStore::trap_message(std::uint64_t generation) const {
    const LoadedController* active = exchange_.in_use.load(std::memory_order_acquire);
    return active != nullptr && active->generation == generation ? active->controller->trap_message() : "";
}

}  // namespace holdfast::core
