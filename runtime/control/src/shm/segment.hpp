// Creating, passing and reading the shared-memory segments of layout.hpp.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "error.hpp"
#include "ipc/file_descriptor.hpp"
#include "shm/layout.hpp"

namespace holdfast::shm {

// A segment that this process writes: an anonymous memfd, mapped read-write here, sealed against resizing and
// (F_SEAL_FUTURE_WRITE) against every later writable mapping.
template <typename Segment>
class Writer {
  public:
    [[nodiscard]] static Expected<Writer> create();
    Writer(Writer&&) noexcept;
    Writer& operator=(Writer&&) noexcept;
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    ~Writer();
    [[nodiscard]] Segment& segment() { return *segment_; }
    [[nodiscard]] int fd() const { return fd_.get(); }
    // Publishes the data under the seqlock. Wait-free; Tier-1 calls it.
    void publish(const decltype(Segment::data)& data);

  private:
    Writer() = default;
    FileDescriptor fd_;
    Segment* segment_{nullptr};
};

// A segment that another process writes, mapped read-only. Refuses a wrong magic, version or size with a
// sentence.
template <typename Segment>
class Reader {
  public:
    [[nodiscard]] static Expected<Reader> map(FileDescriptor fd);
    Reader(Reader&&) noexcept;
    Reader& operator=(Reader&&) noexcept;
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader();
    [[nodiscard]] const Segment& segment() const { return *segment_; }
    // Copies a consistent sample into `data`. False after a bounded number of tries: `data` is then
    // unchanged.
    [[nodiscard]] bool read(decltype(Segment::data)& data) const;

  private:
    Reader() = default;
    const Segment* segment_{nullptr};
};

// Both segments: {"state": {"size": n, "magic": m, "version": v, "fields":
// [{"name","dtype","offset","shape"}...]}, "safety": {...}, "enums": {...}}.
[[nodiscard]] nlohmann::json describe_layout();

}  // namespace holdfast::shm
