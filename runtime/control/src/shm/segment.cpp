#include "shm/segment.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "shm/words.hpp"

namespace holdfast::shm {
namespace {

constexpr int kReadAttempts = 16;

template <typename Segment>
struct Identity;
template <>
struct Identity<StateSegment> {
    static constexpr std::uint64_t kMagic = kStateMagic;
    static constexpr const char* kName = "holdfast-state";
};
template <>
struct Identity<SafetySegment> {
    static constexpr std::uint64_t kMagic = kSafetyMagic;
    static constexpr const char* kName = "holdfast-safety";
};

std::string system_text(const char* name, const char* what) {
    return std::string(name) + ": " + what + ": " + std::strerror(errno);
}

}  // namespace

template <typename Segment>
Expected<Writer<Segment>> Writer<Segment>::create() {
    constexpr const char* kName = Identity<Segment>::kName;
    Writer writer;
    writer.fd_ = FileDescriptor(::memfd_create(kName, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!writer.fd_ || ::ftruncate(writer.fd(), sizeof(Segment)) != 0) {
        return fail(system_text(kName, "cannot create shared memory"));
    }
    void* memory =
        ::mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, writer.fd(), 0);
    if (memory == MAP_FAILED) return fail(system_text(kName, "cannot map shared memory"));
    writer.segment_ = new (memory) Segment{};
    writer.segment_->header = {Identity<Segment>::kMagic, kLayoutVersion, sizeof(Segment)};
    constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    if (::fcntl(writer.fd(), F_ADD_SEALS, kSeals) != 0)
        return fail(system_text(kName, "cannot seal shared memory"));
    return writer;
}

template <typename Segment>
Writer<Segment>::Writer(Writer&& other) noexcept
    : fd_(std::move(other.fd_)), segment_(std::exchange(other.segment_, nullptr)) {}

template <typename Segment>
Writer<Segment>& Writer<Segment>::operator=(Writer&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(segment_, other.segment_);
    return *this;
}

template <typename Segment>
Writer<Segment>::~Writer() {
    if (segment_ != nullptr) ::munmap(segment_, sizeof(Segment));
}

template <typename Segment>
void Writer<Segment>::publish(const decltype(Segment::data)& data) {
    const std::uint64_t sequence = segment_->sequence.load(std::memory_order_relaxed);
    segment_->sequence.store(sequence + 1, std::memory_order_relaxed);
    store_words(segment_->data, data);
    segment_->sequence.store(sequence + 2, std::memory_order_release);
}

template <typename Segment>
Expected<Reader<Segment>> Reader<Segment>::map(FileDescriptor fd) {
    const std::string name = Identity<Segment>::kName;
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0)
        return fail(system_text(name.c_str(), "not a shared-memory segment"));
    // Without this seal the writer could shrink the file, and reading it would end this process.
    const int seals = ::fcntl(fd.get(), F_GET_SEALS);
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
        return fail(name + ": the descriptor is not a sealed shared-memory segment");
    }
    if (status.st_size != static_cast<off_t>(sizeof(Segment))) {
        return fail(name + ": segment has " + std::to_string(status.st_size) + " bytes, expected " +
                    std::to_string(sizeof(Segment)) + "; run the same Holdfast version everywhere");
    }
    void* memory = ::mmap(nullptr, sizeof(Segment), PROT_READ, MAP_SHARED | MAP_POPULATE, fd.get(), 0);
    if (memory == MAP_FAILED) return fail(system_text(name.c_str(), "cannot map shared memory"));
    Reader reader;
    reader.segment_ = static_cast<const Segment*>(memory);
    const Header& header = reader.segment_->header;
    if (header.magic != Identity<Segment>::kMagic)
        return fail(name + ": wrong magic number; this is another segment");
    if (header.version != kLayoutVersion) {
        return fail(name + ": layout version " + std::to_string(header.version) + ", expected " +
                    std::to_string(kLayoutVersion) + "; run the same Holdfast version everywhere");
    }
    if (header.size != sizeof(Segment)) {
        return fail(name + ": header says " + std::to_string(header.size) + " bytes, expected " +
                    std::to_string(sizeof(Segment)) + "; run the same Holdfast version everywhere");
    }
    return reader;
}

template <typename Segment>
Reader<Segment>::Reader(Reader&& other) noexcept : segment_(std::exchange(other.segment_, nullptr)) {}

template <typename Segment>
Reader<Segment>& Reader<Segment>::operator=(Reader&& other) noexcept {
    std::swap(segment_, other.segment_);
    return *this;
}

template <typename Segment>
Reader<Segment>::~Reader() {
    if (segment_ != nullptr) ::munmap(const_cast<Segment*>(segment_), sizeof(Segment));
}

template <typename Segment>
bool Reader<Segment>::read(decltype(Segment::data)& data) const {
    decltype(Segment::data) copy;
    for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
        const std::uint64_t before = segment_->sequence.load(std::memory_order_acquire);
        if (before % 2 != 0) continue;
        load_words(copy, segment_->data);
        if (segment_->sequence.load(std::memory_order_relaxed) != before) continue;
        data = copy;
        return true;
    }
    return false;
}

template class Writer<StateSegment>;
template class Writer<SafetySegment>;
template class Reader<StateSegment>;
template class Reader<SafetySegment>;

}  // namespace holdfast::shm
