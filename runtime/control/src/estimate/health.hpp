#pragma once

#include <cstdint>

namespace holdfast {

// What an estimate is worth. Anything but kHealthy is not to be relied on.
enum class EstimateHealth : std::uint32_t {
    kNone = 0,       // nothing is estimated here
    kWaiting = 1,    // no usable sample yet, or none for too long
    kHealthy = 2,    // the measurements fit the estimate
    kUnhealthy = 3,  // too many in a row did not fit: started afresh, and not yet proved right
};

}  // namespace holdfast
