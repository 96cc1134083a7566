// One line to stderr with the priority prefix of sd-daemon(3). Never called from a real-time thread.
#pragma once

#include <systemd/sd-daemon.h>

#include <cstdio>
#include <string>

namespace holdfast::core {

inline void log_error(const std::string& line) { std::fprintf(stderr, SD_ERR "%s\n", line.c_str()); }
inline void log_warning(const std::string& line) { std::fprintf(stderr, SD_WARNING "%s\n", line.c_str()); }
inline void log_info(const std::string& line) { std::fprintf(stderr, SD_INFO "%s\n", line.c_str()); }

}  // namespace holdfast::core
