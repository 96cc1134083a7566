// Compiles the controllers of the corpus into a folder of its own and loads them, with the epoch advancing.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "wasm/controller.hpp"
#include "wasm/epoch_timer.hpp"

namespace holdfast::wasm {

inline std::string read_text(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    EXPECT_TRUE(stream) << file;
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
}

class Workshop : public ::testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = (std::filesystem::temp_directory_path() / "holdfast-wasm-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder = pattern;
        auto created = Engine::create();
        ASSERT_TRUE(created) << created.error().message;
        engine = *created;
        timer = std::make_unique<EpochTimer>(engine);
    }
    void TearDown() override { std::filesystem::remove_all(folder); }

    // "endless_loop" of the corpus, "good/odd_requests", "examples/sine".
    static std::filesystem::path source_of(const std::string& name) {
        constexpr std::string_view kExamples = "examples/";
        if (name.starts_with(kExamples)) {
            return std::filesystem::path(HOLDFAST_EXAMPLES) / (name.substr(kExamples.size()) + ".wat");
        }
        return std::filesystem::path(HOLDFAST_CONTROLLERS) / (name + ".wat");
    }

    Expected<std::unique_ptr<Controller>> load_source(std::string_view source, const RobotConfig& config) {
        const auto compiled = compile(*engine, source);
        if (!compiled) return tl::unexpected(compiled.error());
        const auto file = folder / ("controller-" + std::to_string(++files) + ".cwasm");
        std::ofstream(file, std::ios::binary) << *compiled;
        return Controller::load(engine, config, file);
    }
    Expected<std::unique_ptr<Controller>> load(const std::string& name, const RobotConfig& config) {
        return load_source(read_text(source_of(name)), config);
    }

    std::filesystem::path folder;
    std::shared_ptr<Engine> engine;
    std::unique_ptr<EpochTimer> timer;
    int files{};
};

}  // namespace holdfast::wasm
