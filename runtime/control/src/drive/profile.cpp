#include "drive/profile.hpp"

#include "drive/cansimple_profile.hpp"
#include "drive/cia402_profile.hpp"

namespace holdfast {

std::unique_ptr<DriveProfile> make_drive_profile(const Drive& drive, ChannelKind kind) {
    if (drive.profile == "cia402") return std::make_unique<cia402::Profile>(drive, kind);
    return std::make_unique<cansimple::Profile>(drive, kind);
}

std::string describe_axis_error(const Drive& drive, std::uint32_t error) {
    return drive.profile == "cia402" ? cia402::describe_error(error) : cansimple::describe_error(error);
}

}  // namespace holdfast
