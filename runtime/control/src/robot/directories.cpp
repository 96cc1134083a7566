#include <cstdlib>

#include "robot/config.hpp"

namespace holdfast {
namespace {

std::filesystem::path directory(const char* variable, const char* otherwise) {
    const char* value = std::getenv(variable);
    return value != nullptr && *value != '\0' ? value : otherwise;
}

}  // namespace

std::filesystem::path run_directory() { return directory("HOLDFAST_RUN_DIR", "/run/holdfast"); }
std::filesystem::path state_directory() { return directory("HOLDFAST_STATE_DIR", "/var/lib/holdfast"); }

}  // namespace holdfast
