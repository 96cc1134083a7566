// The wires on a GPIO character device (linux/gpio.h, version 2 of its interface). Each input is asked for
// its level in each period, and for the edges in between. Its bias pulls towards "stop", so that a broken
// wire reads as an open contact. Lines of a chip behind a slow bus (I2C) would block the loop: use the
// processor's own.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "error.hpp"
#include "ipc/file_descriptor.hpp"
#include "robot/config.hpp"
#include "safety/lines.hpp"

namespace holdfast::safety {

class GpioLines final : public Lines {
  public:
    // A line that is not to be had reads as unreadable, or takes nothing; problems() says why.
    explicit GpioLines(const SafetyConfig& config, const std::filesystem::path& devices = "/dev");
    // In good order: without power. A process that is killed leaves that to its successor and to the
    // pull-down (docs/decisions/0031-two-wires-in-one-out.md).
    ~GpioLines() override;
    GpioLines(const GpioLines&) = delete;
    GpioLines& operator=(const GpioLines&) = delete;

    [[nodiscard]] EstopReading read_estop() override;
    [[nodiscard]] bool set_enable(bool high) override;
    // Tries again each line that is not there yet: its chip may come after this daemon. Before the loop runs.
    void take_missing();
    [[nodiscard]] bool complete() const;
    [[nodiscard]] bool has_enable_line() const { return static_cast<bool>(enable_); }
    [[nodiscard]] std::vector<std::string> problems() const;

  private:
    void take_enable(const GpioLine& line);
    void take_contact(std::size_t contact);
    [[nodiscard]] bool read_contact(int line, bool& open) const;

    const std::filesystem::path devices_;
    const bool stop_is_high_;
    const std::vector<GpioLine> estop_lines_;
    const std::optional<GpioLine> enable_line_;
    std::vector<FileDescriptor> estop_;  // of estop_lines_
    FileDescriptor enable_;
    std::vector<std::string> estop_problems_;  // of estop_lines_; "": none
    std::string enable_problem_;
};

// The device of a chip that is named by its device or its label.
[[nodiscard]] Expected<std::filesystem::path> find_gpio_chip(const std::string& name,
                                                             const std::filesystem::path& devices);

}  // namespace holdfast::safety
