#include "tripwire/documented_calls.hpp"

#include <fstream>
#include <regex>

namespace holdfast::tripwire {
namespace {

constexpr const char* kTable = "| link | system calls of a cycle |";
constexpr const char* kEvery = "every link";

// | `unix:` | `recvfrom`, `sendto` |
struct Row {
    std::string link;
    std::set<std::string> calls;
};

Row row_of(const std::string& line) {
    static const std::regex cells(R"(\|([^|]*)\|([^|]*)\|.*)");
    static const std::regex quoted("`([a-z_0-9]+):?`");
    std::smatch found;
    if (!std::regex_match(line, found, cells)) return {};
    const std::string link = found[1];
    const std::string calls = found[2];
    Row row;
    std::smatch name;
    row.link = std::regex_search(link, name, quoted) ? name[1].str() : std::string(kEvery);
    if (link.find(kEvery) == std::string::npos && name.empty()) return {};
    for (auto at = std::sregex_iterator(calls.begin(), calls.end(), quoted); at != std::sregex_iterator();
         ++at)
        row.calls.insert((*at)[1]);
    return row;
}

}  // namespace

Expected<std::set<std::string>> documented_calls(const std::filesystem::path& document,
                                                 const std::set<std::string>& links) {
    std::ifstream file(document);
    std::string line;
    while (std::getline(file, line) && line != kTable) {
    }
    if (!file) return fail(document.string() + ": has no table that begins with \"" + kTable + "\"; add it");
    std::set<std::string> calls;
    std::set<std::string> missing = links;
    missing.insert(kEvery);
    while (std::getline(file, line) && line.starts_with("|")) {
        const Row row = row_of(line);
        if (missing.erase(row.link) > 0) calls.insert(row.calls.begin(), row.calls.end());
    }
    if (missing.empty()) return calls;
    return fail(document.string() + ": the system calls of \"" + *missing.begin() +
                "\" are not listed; add a row");
}

}  // namespace holdfast::tripwire
