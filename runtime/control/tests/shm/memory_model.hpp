// A memory that keeps every value ever stored. A load may give any of them that C++ allows: not older than
// what its thread has seen of that place, directly or through an acquire load of a release store. explore()
// tries all of them.
//
// One writer that reads nothing of the reader's: running it first, to where it is killed, loses no behaviour,
// because a reader may still see any older value. (There are no fences and no read-modify-writes here to
// model.)
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "shm/seqlock.hpp"

namespace holdfast::shm {

inline constexpr std::size_t kModelWords = 3;
inline constexpr std::size_t kPlaces = 1 + kModelWords;  // the sequence, then the words

// The newest value of each place that a thread must not fall behind.
using View = std::array<std::size_t, kPlaces>;

struct Message {
    Word value{};
    std::optional<View> released;  // what the writer had seen, if it was a release store
};

// The orders of one access each; the tests weaken them one at a time.
struct Orders {
    bool word_stores_release{true};
    bool word_loads_acquire{true};
    bool last_store_releases{true};
    bool first_load_acquires{true};
};

using History = std::array<std::vector<Message>, kPlaces>;

// The writer's side: its own view is always the newest. Ends (is killed) when `stores_left` are done.
class ModelWriter {
  public:
    ModelWriter(History& history, Orders orders, int stores_left)
        : history_(history), orders_(orders), stores_left_(stores_left) {}
    [[nodiscard]] Word load_sequence(std::memory_order /*order*/) const { return history_[0].back().value; }
    void store_sequence(Word value, std::memory_order order) {
        store(0, value, order == std::memory_order_release && orders_.last_store_releases);
    }
    void store_word(std::size_t i, Word value) { store(1 + i, value, orders_.word_stores_release); }
    [[nodiscard]] int stores() const { return stores_; }

  private:
    void store(std::size_t place, Word value, bool release) {
        if (stores_ == stores_left_) return;
        ++stores_;
        history_[place].push_back({value, std::nullopt});
        if (!release) return;
        View view{};
        for (std::size_t p = 0; p < kPlaces; ++p) view[p] = history_[p].size() - 1;
        history_[place].back().released = view;
    }
    History& history_;
    Orders orders_;
    int stores_left_;
    int stores_{0};
};

// One way through all choices; next() gives the one after it, as a clock counts.
class Choices {
  public:
    std::size_t choose(std::size_t count) {
        if (at_ == made_.size()) made_.push_back({0, count});
        return made_[at_++].taken;
    }
    [[nodiscard]] bool next() {
        at_ = 0;
        while (!made_.empty() && made_.back().taken + 1 == made_.back().count) made_.pop_back();
        if (made_.empty()) return false;
        ++made_.back().taken;
        return true;
    }

  private:
    struct Choice {
        std::size_t taken;
        std::size_t count;
    };
    std::vector<Choice> made_;
    std::size_t at_{0};
};

class ModelReader {
  public:
    ModelReader(const History& history, Orders orders, Choices& choices)
        : history_(history), orders_(orders), choices_(choices) {}
    [[nodiscard]] Word load_sequence(std::memory_order order) const {
        return load(0, order == std::memory_order_acquire && orders_.first_load_acquires);
    }
    [[nodiscard]] Word load_word(std::size_t i) const { return load(1 + i, orders_.word_loads_acquire); }

  private:
    Word load(std::size_t place, bool acquire) const {
        const std::size_t oldest = view_[place];
        const std::size_t chosen = oldest + choices_.choose(history_[place].size() - oldest);
        const Message& message = history_[place][chosen];
        view_[place] = chosen;
        if (acquire && message.released) {
            for (std::size_t p = 0; p < kPlaces; ++p) view_[p] = std::max(view_[p], (*message.released)[p]);
        }
        return message.value;
    }
    const History& history_;
    Orders orders_;
    Choices& choices_;
    mutable View view_{};
};

}  // namespace holdfast::shm
