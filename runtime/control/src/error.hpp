// Errors as values: what went wrong, where, and how to mend it, in one sentence each.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace holdfast {

struct Error {
    std::string message;
};

template <typename T>
using Expected = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(std::string message) { return tl::unexpected(Error{std::move(message)}); }

}  // namespace holdfast
