// Copies between memory of one process and memory that others read meanwhile, word by word. Each word is a
// release store and an acquire load, so that whoever reads a word of a write under way also sees its odd
// sequence number afterwards; no fence is needed, and TSan understands it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace holdfast::shm {

using Word [[gnu::may_alias]] = std::uint64_t;

template <typename Data>
void store_words(Data& target, const Data& source) {
    static_assert(std::is_trivially_copyable_v<Data> && sizeof(Data) % sizeof(Word) == 0 &&
                  alignof(Data) == alignof(Word));
    auto* to = reinterpret_cast<Word*>(&target);
    const auto* from = reinterpret_cast<const Word*>(&source);
    for (std::size_t i = 0; i < sizeof(Data) / sizeof(Word); ++i)
        __atomic_store_n(to + i, from[i], __ATOMIC_RELEASE);
}

template <typename Data>
void load_words(Data& target, const Data& source) {
    auto* to = reinterpret_cast<Word*>(&target);
    const auto* from = reinterpret_cast<const Word*>(&source);
    for (std::size_t i = 0; i < sizeof(Data) / sizeof(Word); ++i)
        to[i] = __atomic_load_n(from + i, __ATOMIC_ACQUIRE);
}

}  // namespace holdfast::shm
