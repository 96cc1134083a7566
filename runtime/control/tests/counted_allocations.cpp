#include "counted_allocations.hpp"

#include <malloc.h>

#include <cerrno>
#include <cstdlib>

// NOLINTBEGIN(bugprone-reserved-identifier, readability-identifier-naming): glibc's own names
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* memory);
}
// NOLINTEND(bugprone-reserved-identifier, readability-identifier-naming)

namespace {

constinit thread_local std::uint64_t allocation_count = 0;
constinit thread_local std::uint64_t deallocation_count = 0;

}  // namespace

extern "C" {
void* malloc(std::size_t size) noexcept {
    ++allocation_count;
    return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
    ++allocation_count;
    return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) noexcept {
    ++allocation_count;
    return __libc_realloc(old, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
    ++allocation_count;
    return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept { return memalign(alignment, size); }
int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
    *result = memalign(alignment, size);
    return *result == nullptr ? ENOMEM : 0;
}
void free(void* memory) noexcept {
    if (memory != nullptr) ++deallocation_count;
    __libc_free(memory);
}
}

namespace holdfast {

std::uint64_t allocations() { return allocation_count; }
std::uint64_t deallocations() { return deallocation_count; }

}  // namespace holdfast
