#include "ipc/user.hpp"

#include <pwd.h>
#include <unistd.h>

namespace holdfast {

bool is_own_or(uid_t user, const char* name) {
    if (user == ::geteuid()) return true;
    const passwd* named = ::getpwnam(name);
    return named != nullptr && named->pw_uid == user;
}

}  // namespace holdfast
