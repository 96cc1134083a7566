#include "robot/section.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>
#include <utility>

namespace holdfast::robot {
namespace {

std::string joined(const std::vector<std::string_view>& words) {
    std::string text;
    for (const std::string_view word : words)
        text += (text.empty() ? "\"" : ", \"") + std::string(word) + "\"";
    return text;
}

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

std::string shown(double value) {
    std::ostringstream out;
    out << value;
    return out.str();
}

template <typename T>
std::optional<T> parse_whole(const std::string& text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

void Problems::add(const Place& place, const std::string& key, const std::string& what) {
    const std::string where =
        place.variable.empty() ? file_ + ":" + std::to_string(place.line) : place.variable;
    found_.push_back({place.line, where + ": " + (key.empty() ? "" : key + ": ") + what});
}

std::string Problems::text() const {
    std::vector<Problem> sorted = found_;
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const Problem& a, const Problem& b) { return a.line < b.line; });
    std::string all;
    for (const Problem& problem : sorted) all += (all.empty() ? "" : "\n") + problem.text;
    return all;
}

Overrides Overrides::from_environment() {
    constexpr std::string_view kPrefix = "HOLDFAST_";
    Overrides overrides;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const std::size_t equals = text.find('=');
        const std::string_view name = text.substr(0, equals);
        const std::size_t split = name.rfind("__");
        if (!name.starts_with(kPrefix) || split == name.npos || split < kPrefix.size()) continue;
        std::string section = lower(name.substr(kPrefix.size(), split - kPrefix.size()));
        if (const std::size_t nested = section.find("__"); nested != section.npos)
            section.replace(nested, 2, ".");
        overrides.values_.push_back({std::string(name), section, lower(name.substr(split + 2)),
                                     std::string(text.substr(equals + 1))});
    }
    return overrides;
}

const Overrides::Value* Overrides::find(std::string_view section, std::string_view key) const {
    for (const Value& value : values_) {
        if (value.section == section && value.key == key) return &value;
    }
    return nullptr;
}

Section::Section(Problems& problems, const toml::table* table, std::string path, std::uint32_t line,
                 const Overrides* overrides)
    : problems_(&problems), table_(table), path_(std::move(path)), line_(line), overrides_(overrides) {}

const toml::node* Section::node(std::string_view key) const {
    return table_ == nullptr ? nullptr : table_->get(key);
}

const Overrides::Value* Section::override_of(std::string_view key) const {
    return overrides_ == nullptr ? nullptr : overrides_->find(path_, key);
}

bool Section::has(std::string_view key) const { return node(key) != nullptr || override_of(key) != nullptr; }

Place Section::place_of(std::string_view key) const {
    if (const auto* value = override_of(key)) return {0, value->variable};
    const toml::node* found = node(key);
    return {found == nullptr ? line_ : found->source().begin.line, {}};
}

void Section::problem(std::string_view key, const std::string& what) const {
    problems_->add(place_of(key), path_ + "." + std::string(key), what);
}

void Section::require(std::string_view key) {
    accept(key);
    if (!has(key)) problem(key, "is missing; add it");
}

void Section::forbid(std::string_view key, const std::string& why) {
    accept(key);
    if (has(key)) problem(key, why + "; remove it");
}

std::optional<std::string> Section::text(std::string_view key) {
    accept(key);
    if (!has(key)) return std::nullopt;
    std::optional<std::string> value;
    if (const auto* changed = override_of(key)) {
        value = changed->text;
    } else {
        value = node(key)->value_exact<std::string>();
    }
    if (!value) {
        problem(key, "must be a string; put it in quotes");
    } else if (value->empty()) {
        problem(key, "is empty; give it a value");
        value.reset();
    }
    return value;
}

std::optional<std::int64_t> Section::integer(std::string_view key, std::int64_t min, std::int64_t max) {
    accept(key);
    if (!has(key)) return std::nullopt;
    const auto* changed = override_of(key);
    const auto value = changed != nullptr ? parse_whole<std::int64_t>(changed->text)
                                          : node(key)->value_exact<std::int64_t>();
    if (!value) {
        problem(key, "must be a whole number");
        return std::nullopt;
    }
    if (*value < min || *value > max) {
        problem(key, std::to_string(*value) + " is not between " + std::to_string(min) + " and " +
                         std::to_string(max) + "; choose a value in that range");
        return std::nullopt;
    }
    return value;
}

std::optional<double> Section::number(std::string_view key) {
    accept(key);
    if (!has(key)) return std::nullopt;
    std::optional<double> value;
    if (const auto* changed = override_of(key)) {
        value = parse_whole<double>(changed->text);
    } else if (node(key)->is_number()) {
        value = node(key)->value<double>();
    }
    if (!value) {
        problem(key, "must be a number");
        return std::nullopt;
    }
    if (!std::isfinite(*value)) {
        problem(key, "must be a finite number, not " + shown(*value));
        return std::nullopt;
    }
    return value;
}

std::optional<double> Section::positive(std::string_view key, double max) {
    const auto value = number(key);
    if (value && (*value <= 0.0 || *value > max)) {
        problem(key, shown(*value) + " is not above 0 and at most " + shown(max) +
                         "; choose a value in that range");
        return std::nullopt;
    }
    return value;
}

std::optional<bool> Section::boolean(std::string_view key) {
    accept(key);
    if (!has(key)) return std::nullopt;
    std::optional<bool> value;
    if (const auto* changed = override_of(key)) {
        if (changed->text == "true" || changed->text == "false") value = changed->text == "true";
    } else {
        value = node(key)->value_exact<bool>();
    }
    if (!value) problem(key, "must be true or false");
    return value;
}

std::optional<Range> Section::range(std::string_view key) {
    accept(key);
    if (!has(key)) return std::nullopt;
    const toml::array* pair = node(key)->as_array();
    if (pair == nullptr || pair->size() != 2 || !pair->get(0)->is_number() || !pair->get(1)->is_number()) {
        problem(key, "must be two numbers; write [min, max]");
        return std::nullopt;
    }
    const double none = std::numeric_limits<double>::quiet_NaN();
    const Range range{pair->get(0)->value_or(none), pair->get(1)->value_or(none)};
    if (!std::isfinite(range.min) || !std::isfinite(range.max)) {
        problem(key, "must be finite numbers, not [" + shown(range.min) + ", " + shown(range.max) + "]");
        return std::nullopt;
    }
    if (range.min >= range.max) {
        problem(key,
                "min " + shown(range.min) + " is not below max " + shown(range.max) + "; write [min, max]");
        return std::nullopt;
    }
    return range;
}

std::optional<std::vector<double>> Section::numbers(std::string_view key) {
    accept(key);
    if (!has(key)) return std::nullopt;
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    std::vector<double> values;
    const toml::array* list = node(key)->as_array();
    if (list != nullptr) {
        for (const toml::node& entry : *list) {
            const double value = entry.is_number() ? entry.value<double>().value_or(kNone) : kNone;
            if (std::isfinite(value)) values.push_back(value);
        }
    }
    if (list == nullptr || values.size() != list->size()) {
        problem(key, "must be a list of finite numbers");
        return std::nullopt;
    }
    return values;
}

std::optional<std::vector<std::string>> Section::texts(std::string_view key) {
    accept(key);
    if (!has(key)) return std::nullopt;
    std::vector<std::string> values;
    if (const auto* changed = override_of(key)) {  // an environment variable has commas in place of a list
        std::istringstream words(changed->text);
        for (std::string word; std::getline(words, word, ',');) values.push_back(word);
        return values;
    }
    const toml::array* list = node(key)->as_array();
    if (list != nullptr) {
        for (const toml::node& entry : *list) {
            if (const auto value = entry.value_exact<std::string>()) values.push_back(*value);
        }
    }
    if (list == nullptr || values.size() != list->size()) {
        problem(key, "must be a list of strings");
        return std::nullopt;
    }
    return values;
}

std::optional<std::int64_t> Section::milliseconds_as_ns(std::string_view key, double max_ms) {
    const auto value = positive(key, max_ms);
    if (!value) return std::nullopt;
    return std::llround(*value * 1e6);
}

std::optional<std::size_t> Section::choice(std::string_view key,
                                           const std::vector<std::string_view>& choices) {
    const auto value = text(key);
    if (!value) return std::nullopt;
    const auto found = std::find(choices.begin(), choices.end(), *value);
    if (found == choices.end()) {
        problem(key, "\"" + *value + "\" is not known; choose one of " + joined(choices));
        return std::nullopt;
    }
    return static_cast<std::size_t>(found - choices.begin());
}

void Section::refuse_unknown_keys() const {
    if (table_ == nullptr) return;
    for (const auto& [key, value] : *table_) {
        if (known_.contains(key.str())) continue;
        problems_->add({key.source().begin.line, {}}, path_ + "." + std::string(key.str()),
                       "is not a known key; remove it or correct its spelling");
    }
}

}  // namespace holdfast::robot
