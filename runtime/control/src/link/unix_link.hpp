// `unix:PATH`: CAN frames as datagrams between a hub (the drives) and its clients. For hosts without CAN, and
// tests.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "link/link.hpp"

namespace holdfast::link {

[[nodiscard]] Expected<std::unique_ptr<Link>> open_unix_client(const std::filesystem::path& hub,
                                                               const std::string& local_name,
                                                               const std::filesystem::path& run_directory);
[[nodiscard]] Expected<std::unique_ptr<Link>> open_unix_hub(const std::filesystem::path& hub);

}  // namespace holdfast::link
