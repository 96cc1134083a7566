// robot_toml_verdicts FILE...: one line a file, "taken" or "refused: why".
#include <algorithm>
#include <cstdio>
#include <span>
#include <string>

#include "robot/config.hpp"

int main(int argc, char** argv) {
    for (const char* file : std::span(argv, static_cast<std::size_t>(argc)).subspan(1)) {
        const auto config = holdfast::load_robot_config(file);
        std::string why = config ? "" : config.error().message;
        std::replace(why.begin(), why.end(), '\n', ' ');
        std::printf("%s%s\n", config ? "taken" : "refused: ", why.c_str());
    }
    return 0;
}
