#include "shm/segment.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "shm/seqlock.hpp"

namespace holdfast::shm {
namespace {

constexpr int kReadAttempts = 16;

// Words of a segment's data, wherever they lie.
using SharedWord [[gnu::may_alias]] = Word;

template <typename Data>
constexpr std::size_t words_of() {
    static_assert(std::is_trivially_copyable_v<Data> && sizeof(Data) % sizeof(Word) == 0 &&
                  alignof(Data) == alignof(Word));
    return sizeof(Data) / sizeof(Word);
}

// What seqlock.hpp works on: a segment that this process maps, for writing or only for reading.
template <typename Segment>
class Writable {
  public:
    explicit Writable(Segment& segment)
        : sequence_(segment.sequence), words_(reinterpret_cast<SharedWord*>(&segment.data)) {}
    [[nodiscard]] Word load_sequence(std::memory_order order) const { return sequence_.load(order); }
    void store_sequence(Word value, std::memory_order order) { sequence_.store(value, order); }
    void store_word(std::size_t i, Word value) { __atomic_store_n(words_ + i, value, __ATOMIC_RELEASE); }

  private:
    std::atomic<Word>& sequence_;
    SharedWord* words_;
};

template <typename Segment>
class Readable {
  public:
    explicit Readable(const Segment& segment)
        : sequence_(segment.sequence), words_(reinterpret_cast<const SharedWord*>(&segment.data)) {}
    [[nodiscard]] Word load_sequence(std::memory_order order) const { return sequence_.load(order); }
    [[nodiscard]] Word load_word(std::size_t i) const {
        return __atomic_load_n(words_ + i, __ATOMIC_ACQUIRE);
    }

  private:
    const std::atomic<Word>& sequence_;
    const SharedWord* words_;
};

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
    Writable memory(*segment_);
    const auto* words = reinterpret_cast<const SharedWord*>(&data);
    seqlock_write(memory, words, words_of<decltype(Segment::data)>());
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
    const Readable memory(*segment_);
    auto* words = reinterpret_cast<SharedWord*>(&copy);
    if (!seqlock_read(memory, words, words_of<decltype(Segment::data)>(), kReadAttempts)) return false;
    data = copy;
    return true;
}

template class Writer<StateSegment>;
template class Writer<SafetySegment>;
template class Reader<StateSegment>;
template class Reader<SafetySegment>;

}  // namespace holdfast::shm
