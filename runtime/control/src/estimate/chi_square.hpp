// Upper bounds of the chi-square distribution: the gate of an innovation. At configuration time only.
#pragma once

namespace holdfast::estimate {

// The value that a chi-square variable with 1 or 3 degrees of freedom exceeds with `probability` (0 to 1,
// exclusive).
[[nodiscard]] double chi_square_bound_1(double probability);
[[nodiscard]] double chi_square_bound_3(double probability);

}  // namespace holdfast::estimate
