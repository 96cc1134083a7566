#include "core/safety_attachment.hpp"

#include "core/log.hpp"
#include "ipc/user.hpp"

namespace holdfast::core {
namespace {

constexpr auto kRetry = std::chrono::milliseconds(200);
constexpr int kReplyMs = 500;

}  // namespace

void SafetyAttachment::maintain() {
    unmap_retired();
    if (client_ && client_->is_open()) return;
    if (client_) log_warning("safety: holdfast-safety is gone; attaching again");
    client_.reset();
    const auto now = std::chrono::steady_clock::now();
    if (now < next_try_) return;
    next_try_ = now + kRetry;
    if (const auto attached = attach(); !attached) {
        client_.reset();
        complain(attached.error().message);
        return;
    }
    last_complaint_.clear();
    log_info("safety: attached to holdfast-safety");
}

Expected<void> SafetyAttachment::attach() {
    auto client = ipc::Client::connect(socket_);
    if (!client) return tl::unexpected(client.error());
    client_ = std::move(*client);
    // Hazard: before the daemon listens, others of the group could: the core would take their word that no
    // stop stands.
    if (const auto user = client_->server_user(); !user || !is_own_or(*user, "holdfast-safety"))
        return fail(socket_.string() + ": not holdfast-safety listens there (uid " +
                    (user ? std::to_string(*user) : "unknown") +
                    "); end that process and restart holdfast-safety");
    // Hazard: a daemon that was killed before it could write the stop that stands comes back without it.
    const std::uint64_t latch = segment_ ? segment_->segment().stop.load(std::memory_order_acquire) : 0;
    auto reply =
        client_->request({{"op", "attach"}, {"role", "core"}, {"latch", latch}}, {state_fd_}, kReplyMs);
    if (!reply) return tl::unexpected(reply.error());
    if (!reply->body.value("ok", false)) return fail(reply->body.value("error", "refused without a reason"));
    if (reply->descriptors.size() != 1) return fail("the reply to attach carries no segment");
    auto mapped = shm::Reader<shm::SafetySegment>::map(std::move(reply->descriptors.front()));
    if (!mapped) return tl::unexpected(mapped.error());
    auto segment = std::make_unique<shm::Reader<shm::SafetySegment>>(std::move(*mapped));
    exchange_.safety.store(segment.get(), std::memory_order_release);
    if (segment_) retired_.push_back({std::move(segment_), exchange_.cycles.load(std::memory_order_acquire)});
    segment_ = std::move(segment);
    return {};
}

// Tier-1 may still be in the cycle that reads the old segment, and one more may have begun.
void SafetyAttachment::unmap_retired() {
    const std::uint64_t cycle = exchange_.cycles.load(std::memory_order_acquire);
    std::erase_if(retired_, [cycle](const Retired& retired) { return cycle >= retired.cycle + 2; });
}

void SafetyAttachment::complain(const std::string& why) {
    if (why == last_complaint_) return;
    last_complaint_ = why;
    log_warning("safety: not attached to holdfast-safety: " + why);
}

void SafetyAttachment::detach() {
    if (!client_ || !client_->is_open()) return;
    if (const auto reply = client_->request({{"op", "detach"}}, {}, kReplyMs); !reply) {
        log_warning("safety: could not detach: " + reply.error().message);
    }
    client_.reset();
}

}  // namespace holdfast::core
