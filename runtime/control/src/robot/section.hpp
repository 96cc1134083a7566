// Reading one table of robot.toml: every wrong or missing value becomes a problem with its place; none is
// fatal.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "robot/config.hpp"

namespace holdfast::robot {

// Where a value was written: a line of the file, or an environment variable.
struct Place {
    std::uint32_t line{};
    std::string variable;
};

class Problems {
  public:
    explicit Problems(std::string file) : file_(std::move(file)) {}
    // `what` says what is wrong and how to mend it.
    void add(const Place& place, const std::string& key, const std::string& what);
    [[nodiscard]] bool empty() const { return found_.empty(); }
    // One problem a line, in the order of the file.
    [[nodiscard]] std::string text() const;

  private:
    struct Problem {
        std::uint32_t line;
        std::string text;
    };
    std::string file_;
    std::vector<Problem> found_;
};

// HOLDFAST_<SECTION>__<KEY> of the environment; the section of HOLDFAST_AGENT__FALLBACK__URL is
// agent.fallback.
class Overrides {
  public:
    struct Value {
        std::string variable;
        std::string section;
        std::string key;
        std::string text;
    };
    [[nodiscard]] static Overrides from_environment();
    [[nodiscard]] const Value* find(std::string_view section, std::string_view key) const;
    [[nodiscard]] const std::vector<Value>& values() const { return values_; }

  private:
    std::vector<Value> values_;
};

class Section {
  public:
    // `table` may be null: then every key is missing. `line` is where the table starts.
    Section(Problems& problems, const toml::table* table, std::string path, std::uint32_t line,
            const Overrides* overrides = nullptr);

    // Each notes the key as known. Empty: missing, or wrong and noted as a problem.
    [[nodiscard]] std::optional<std::string> text(std::string_view key);
    [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key, std::int64_t min,
                                                      std::int64_t max);
    [[nodiscard]] std::optional<double> number(std::string_view key);
    [[nodiscard]] std::optional<double> positive(std::string_view key, double max);
    [[nodiscard]] std::optional<bool> boolean(std::string_view key);
    [[nodiscard]] std::optional<Range> range(std::string_view key);
    [[nodiscard]] std::optional<std::vector<double>> numbers(std::string_view key);
    [[nodiscard]] std::optional<std::vector<std::string>> texts(std::string_view key);
    [[nodiscard]] std::optional<std::int64_t> milliseconds_as_ns(std::string_view key, double max_ms);
    // One of `choices`, as its index.
    [[nodiscard]] std::optional<std::size_t> choice(std::string_view key,
                                                    const std::vector<std::string_view>& choices);

    void accept(std::string_view key) { known_.emplace(key); }
    [[nodiscard]] bool has(std::string_view key) const;
    void require(std::string_view key);
    // Notes a key that this kind of entry must not have.
    void forbid(std::string_view key, const std::string& why);
    void problem(std::string_view key, const std::string& what) const;
    void refuse_unknown_keys() const;
    [[nodiscard]] Place place_of(std::string_view key) const;

  private:
    [[nodiscard]] const toml::node* node(std::string_view key) const;
    [[nodiscard]] const Overrides::Value* override_of(std::string_view key) const;

    Problems* problems_;
    const toml::table* table_;
    std::string path_;
    std::uint32_t line_;
    const Overrides* overrides_;
    std::set<std::string, std::less<>> known_;
};

// One entry of an [[array]] with what is needed to refer to it from elsewhere.
struct Entry {
    Section section;
    std::string name;
};

}  // namespace holdfast::robot
