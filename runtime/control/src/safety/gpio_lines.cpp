#include "safety/gpio_lines.hpp"

#include <fcntl.h>
#include <linux/gpio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

namespace holdfast::safety {
namespace {

namespace fs = std::filesystem;

// Edges taken from one line in one period. More than these wait for the next one; the level is read anyway.
constexpr std::size_t kMaxEdges = 16;

std::string system_text(int error) { return std::generic_category().message(error); }

std::string shown(const GpioLine& line) { return line.chip + ":" + std::to_string(line.offset); }

std::string label_of(const fs::path& device) {
    const FileDescriptor chip(::open(device.c_str(), O_RDONLY | O_CLOEXEC));
    gpiochip_info info{};
    if (!chip || ::ioctl(chip.get(), GPIO_GET_CHIPINFO_IOCTL, &info) != 0) return "";
    return {info.label, strnlen(info.label, sizeof info.label)};
}

gpio_v2_line_request request_for(std::uint32_t offset, std::string_view consumer, std::uint64_t flags) {
    gpio_v2_line_request request{};
    request.offsets[0] = offset;
    request.num_lines = 1;
    request.config.flags = flags;
    consumer.copy(request.consumer, sizeof request.consumer - 1);
    return request;
}

Expected<FileDescriptor> take(const GpioLine& line, const fs::path& devices, gpio_v2_line_request request) {
    const auto device = find_gpio_chip(line.chip, devices);
    if (!device) return tl::unexpected(device.error());
    const FileDescriptor chip(::open(device->c_str(), O_RDWR | O_CLOEXEC));
    if (!chip)
        return fail(shown(line) + ": " + device->string() + " cannot be opened: " + system_text(errno) +
                    "; give the safety daemon's user access to it");
    if (::ioctl(chip.get(), GPIO_V2_GET_LINE_IOCTL, &request) != 0)
        return fail(shown(line) + ": cannot be taken: " + system_text(errno) +
                    "; look at it with gpioinfo: it must be free and able to do this");
    FileDescriptor taken(request.fd);
    if (::fcntl(taken.get(), F_SETFL, O_NONBLOCK) != 0 || ::fcntl(taken.get(), F_SETFD, FD_CLOEXEC) != 0)
        return fail(shown(line) + ": cannot be made non-blocking: " + system_text(errno));
    return taken;
}

// Without interrupts a line has its level only: an opening shorter than a period may go unseen.
Expected<FileDescriptor> take_input(const GpioLine& line, const fs::path& devices, bool stop_is_high,
                                    std::vector<std::string>& problems) {
    const std::uint64_t level = GPIO_V2_LINE_FLAG_INPUT | (stop_is_high ? GPIO_V2_LINE_FLAG_BIAS_PULL_UP
                                                                        : GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN);
    const std::uint64_t edges = GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING;
    auto taken = take(line, devices, request_for(line.offset, "holdfast-estop", level | edges));
    if (taken) return taken;
    auto polled = take(line, devices, request_for(line.offset, "holdfast-estop", level));
    if (!polled) return polled;
    problems.push_back(shown(line) + ": reports no edges, so it is only polled each millisecond");
    return polled;
}

Expected<FileDescriptor> take_output(const GpioLine& line, const fs::path& devices) {
    gpio_v2_line_request request = request_for(line.offset, "holdfast-enable", GPIO_V2_LINE_FLAG_OUTPUT);
    request.config.num_attrs = 1;
    request.config.attrs[0].attr.id = GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES;
    request.config.attrs[0].attr.values = 0;
    request.config.attrs[0].mask = 1;
    return take(line, devices, request);
}

}  // namespace

Expected<fs::path> find_gpio_chip(const std::string& name, const fs::path& devices) {
    if (fs::path device = devices / name; name.starts_with("gpiochip") && fs::exists(device)) return device;
    std::vector<fs::path> found;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(devices, error)) {
        const bool is_chip = entry.path().filename().string().starts_with("gpiochip");
        if (is_chip && label_of(entry.path()) == name) found.push_back(entry.path());
    }
    if (found.empty())
        return fail("there is no GPIO chip \"" + name + "\"; gpiodetect lists those there are");
    if (found.size() > 1)
        return fail("more than one GPIO chip has the label \"" + name + "\"; name it by its device");
    return found.front();
}

GpioLines::GpioLines(const SafetyConfig& config, const fs::path& devices)
    : stop_is_high_(config.estop_stop_is_high) {
    for (const GpioLine& line : config.estop_lines) {
        auto taken = take_input(line, devices, stop_is_high_, problems_);
        if (!taken) problems_.push_back("e-stop line " + taken.error().message);
        estop_.push_back(taken ? std::move(*taken) : FileDescriptor());
    }
    if (!config.enable_line) return;
    auto taken = take_output(*config.enable_line, devices);
    if (!taken) problems_.push_back("enable line " + taken.error().message);
    if (taken) enable_ = std::move(*taken);
}

GpioLines::~GpioLines() { static_cast<void>(set_enable(false)); }

EstopReading GpioLines::read_estop() {
    EstopReading reading{};
    for (std::size_t i = 0; i < std::min(estop_.size(), kEstopChannels); ++i) {
        reading.readable = read_contact(estop_[i].get(), reading.open[i]) && reading.readable;
    }
    return reading;
}

bool GpioLines::read_contact(int line, bool& open) const {
    gpio_v2_line_values level{.bits = 0, .mask = 1};
    if (::ioctl(line, GPIO_V2_LINE_GET_VALUES_IOCTL, &level) != 0) return false;
    open = ((level.bits & 1u) != 0) == stop_is_high_;
    std::array<gpio_v2_line_event, kMaxEdges> edges;
    const ssize_t size = ::read(line, edges.data(), sizeof edges);
    if (size < 0) return errno == EAGAIN;
    const auto opening = static_cast<std::uint32_t>(stop_is_high_ ? GPIO_V2_LINE_EVENT_RISING_EDGE
                                                                  : GPIO_V2_LINE_EVENT_FALLING_EDGE);
    const std::size_t count = static_cast<std::size_t>(size) / sizeof edges[0];
    for (std::size_t i = 0; i < count; ++i) open = open || edges[i].id == opening;
    return true;
}

bool GpioLines::set_enable(bool high) {
    if (!enable_) return false;
    gpio_v2_line_values level{.bits = high ? 1u : 0u, .mask = 1};
    return ::ioctl(enable_.get(), GPIO_V2_LINE_SET_VALUES_IOCTL, &level) == 0;
}

}  // namespace holdfast::safety
