#include "ipc/user.hpp"

#include <pwd.h>
#include <unistd.h>

namespace holdfast {

std::optional<uid_t> user_named(const char* name) {
    const passwd* user = ::getpwnam(name);
    return user == nullptr ? std::nullopt : std::optional(user->pw_uid);
}

bool is_own_or(uid_t user, const char* name) { return user == ::geteuid() || user == user_named(name); }

}  // namespace holdfast
