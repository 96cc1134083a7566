#include "plant/simulated_drive.hpp"

#include "plant/cansimple_axis.hpp"
#include "plant/cia402_axis.hpp"

namespace holdfast::plant {

std::unique_ptr<SimulatedDrive> make_simulated_drive(const RobotConfig& config, std::size_t drive) {
    if (config.drives[drive].profile == "cia402") return std::make_unique<Cia402Axis>(config, drive);
    return std::make_unique<CanSimpleAxis>(config, drive);
}

}  // namespace holdfast::plant
