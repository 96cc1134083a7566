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
                                    std::string& remark) {
    const std::uint64_t level = GPIO_V2_LINE_FLAG_INPUT | (stop_is_high ? GPIO_V2_LINE_FLAG_BIAS_PULL_UP
                                                                        : GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN);
    const std::uint64_t edges = GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING;
    auto taken = take(line, devices, request_for(line.offset, "holdfast-estop", level | edges));
    if (taken) return taken;
    auto polled = take(line, devices, request_for(line.offset, "holdfast-estop", level));
    if (!polled) return polled;
    remark = shown(line) + ": reports no edges, so it is only polled, once a period";
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
    : devices_(devices),
      stop_is_high_(config.estop_stop_is_high),
      estop_lines_(config.estop_lines),
      enable_line_(config.enable_line),
      estop_(estop_lines_.size()),
      estop_problems_(estop_lines_.size()) {
    take_missing();
}

GpioLines::~GpioLines() { static_cast<void>(set_enable(false)); }

// The enable line first: taking it is what makes it low.
void GpioLines::take_missing() {
    if (enable_line_ && !enable_) take_enable(*enable_line_);
    for (std::size_t i = 0; i < estop_.size(); ++i) {
        if (!estop_[i]) take_contact(i);
    }
}

void GpioLines::take_enable(const GpioLine& line) {
    auto taken = take_output(line, devices_);
    enable_problem_ = taken ? "" : "enable line " + taken.error().message;
    if (taken) enable_ = std::move(*taken);
}

void GpioLines::take_contact(std::size_t contact) {
    std::string remark;
    auto taken = take_input(estop_lines_[contact], devices_, stop_is_high_, remark);
    estop_problems_[contact] = taken ? remark : "e-stop line " + taken.error().message;
    if (taken) estop_[contact] = std::move(*taken);
}

bool GpioLines::complete() const {
    const auto taken = [](const FileDescriptor& line) { return static_cast<bool>(line); };
    return (!enable_line_ || enable_) && std::all_of(estop_.begin(), estop_.end(), taken);
}

std::vector<std::string> GpioLines::problems() const {
    std::vector<std::string> problems = estop_problems_;
    problems.push_back(enable_problem_);
    std::erase(problems, "");
    return problems;
}

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
    std::array<gpio_v2_line_event, kMaxEdges> edges{};
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
