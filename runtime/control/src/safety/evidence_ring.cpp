#include "safety/evidence_ring.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

#include "ipc/file_descriptor.hpp"
#include "shm/words.hpp"

namespace holdfast::safety {
namespace {

constexpr std::uint64_t kEvidenceMagic = 0x4449564553464B48;  // "HKFSEVID"
constexpr std::uint32_t kEvidenceVersion = 1;

bool is_ours(const EvidenceMemory& memory) {
    const shm::Header& header = memory.header;
    return header.magic == kEvidenceMagic && header.version == kEvidenceVersion &&
           header.size == sizeof(EvidenceMemory);
}

tl::unexpected<Error> failure(const std::filesystem::path& file, const char* step) {
    const bool full = errno == ENOSPC || errno == EDQUOT;
    return fail(file.string() + ": cannot " + step + ": " + std::generic_category().message(errno) + "; " +
                (full ? "free space in the run directory" : "make the run directory writable for this user"));
}

}  // namespace

Expected<EvidenceRing> EvidenceRing::open(const std::filesystem::path& file) {
    const FileDescriptor fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
    if (!fd) return failure(file, "be opened");
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0) return failure(file, "be looked at");
    if (status.st_size != sizeof(EvidenceMemory) &&
        (::ftruncate(fd.get(), 0) != 0 || ::ftruncate(fd.get(), sizeof(EvidenceMemory)) != 0))
        return failure(file, "be made large enough");
    // Hazard: a page of a file that is only long, on a file system that is full, kills who writes to it
    // (SIGBUS). So all of it is reserved; what it holds already stays.
    if (const int error = ::posix_fallocate(fd.get(), 0, sizeof(EvidenceMemory)); error != 0) {
        errno = error;
        return failure(file, "be given its memory");
    }
    void* memory = ::mmap(nullptr, sizeof(EvidenceMemory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                          fd.get(), 0);
    if (memory == MAP_FAILED) return failure(file, "be mapped");
    auto* ring = static_cast<EvidenceMemory*>(memory);
    if (!is_ours(*ring)) {
        ring = new (memory) EvidenceMemory{};
        ring->header = {kEvidenceMagic, kEvidenceVersion, sizeof(EvidenceMemory)};
    }
    return EvidenceRing(ring);
}

EvidenceRing::EvidenceRing(EvidenceRing&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}

EvidenceRing::~EvidenceRing() {
    if (memory_ != nullptr) ::munmap(memory_, sizeof(EvidenceMemory));
}

// The number goes to 0 first: a copy that meets a half-written entry sees a number that does not fit.
void EvidenceRing::push(EvidenceEntry& entry) {
    const std::uint64_t number = memory_->last.load(std::memory_order_relaxed) + 1;
    EvidenceEntry& slot = memory_->entries[number % kEvidenceEntries];
    __atomic_store_n(&slot.number, std::uint64_t{0}, __ATOMIC_RELAXED);
    entry.number = 0;
    shm::store_words(slot, entry);
    entry.number = number;
    __atomic_store_n(&slot.number, number, __ATOMIC_RELEASE);
    memory_->last.store(number, std::memory_order_release);
}

std::optional<EvidenceEntry> EvidenceRing::entry(std::uint64_t number) const {
    const EvidenceEntry& slot = memory_->entries[number % kEvidenceEntries];
    if (number == 0 || __atomic_load_n(&slot.number, __ATOMIC_ACQUIRE) != number) return std::nullopt;
    EvidenceEntry copy{};
    shm::load_words(copy, slot);
    if (__atomic_load_n(&slot.number, __ATOMIC_RELAXED) != number) return std::nullopt;
    copy.number = number;
    return copy;
}

}  // namespace holdfast::safety
