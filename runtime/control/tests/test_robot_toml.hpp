// The robot of test_robot.hpp as a file, for real executables. No real-time is demanded of the machine that
// tests.
#pragma once

namespace holdfast {

inline constexpr const char* kTestRobotToml = R"([robot]
id = "test-01"
model = "test"

[control]
tier1_hz = 1000
controller_hz = 100
realtime = "prefer"

[safety]
priority = 95
core_timeout_ms = 250.0
worker_timeout_ms = 5000.0
worker_required = false

[[command]]
name = "joint"
kind = "position"
unit = "rad"
limits = [-3.0, 3.0]
max_rate = 2.0
max_accel = 10.0
position_state = "joint.position"

[[command]]
name = "spindle"
kind = "velocity"
unit = "rad/s"
limits = [-20.0, 20.0]
default = 0.0
max_accel = 40.0

[[command]]
name = "gripper"
kind = "effort"
unit = "N"
limits = [-2.0, 2.0]
default = 0.0
max_rate = 20.0

[[state]]
name = "joint.position"
drive = "joint"
quantity = "position"
unit = "rad"
limits = [-3.2, 3.2]
max_age_ms = 20.0

[[state]]
name = "spindle.velocity"
drive = "spindle"
quantity = "velocity"
unit = "rad/s"
limits = [-25.0, 25.0]
max_age_ms = 20.0

[[drive]]
name = "joint"
link = "unix:plant.sock"
profile = "odrive-cansimple"
node = 1
turns_per_unit = 2.0
channels = ["joint"]

[[drive]]
name = "spindle"
link = "unix:plant.sock"
profile = "odrive-cansimple"
node = 2
turns_per_unit = 2.0
channels = ["spindle"]

[[drive]]
name = "gripper"
link = "unix:plant.sock"
profile = "odrive-cansimple"
node = 3
turns_per_unit = 2.0
channels = ["gripper"]
)";

}  // namespace holdfast
