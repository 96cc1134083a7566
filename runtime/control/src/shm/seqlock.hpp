// The seqlock of layout.hpp, without the memory under it: a mapped segment in production, and in the tests a
// memory that may do all that C++ lets a compiler and a processor do (tests/shm/seqlock_model_test.cpp).
//
// A memory has load_sequence and store_sequence with their order, and load_word (acquire) and store_word
// (release): whoever reads a word of a write under way also sees its odd sequence number afterwards. No fence
// is needed, and ThreadSanitizer understands it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace holdfast::shm {

using Word = std::uint64_t;

// Wait-free: one store a word and two more. One writer; Tier-1 calls it.
template <typename Memory, typename Source>
void seqlock_write(Memory& memory, const Source* words, std::size_t count) {
    const Word sequence = memory.load_sequence(std::memory_order_relaxed);
    memory.store_sequence(sequence + 1, std::memory_order_relaxed);
    for (std::size_t i = 0; i < count; ++i) memory.store_word(i, words[i]);
    memory.store_sequence(sequence + 2, std::memory_order_release);
}

// False after `attempts` tries, each met by a write: `words` then holds nothing of use.
template <typename Memory, typename Target>
[[nodiscard]] bool seqlock_read(const Memory& memory, Target* words, std::size_t count, int attempts) {
    for (int attempt = 0; attempt < attempts; ++attempt) {
        const Word before = memory.load_sequence(std::memory_order_acquire);
        if (before % 2 != 0) continue;
        for (std::size_t i = 0; i < count; ++i) words[i] = memory.load_word(i);
        if (memory.load_sequence(std::memory_order_relaxed) == before) return true;
    }
    return false;
}

}  // namespace holdfast::shm
