#include "tripwire/system_calls.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>

// long tripwire_gate(long number, const long arguments[6]): the one place from which a call reaches the
// kernel.
extern "C" long tripwire_gate(long number, const long* arguments);
// NOLINTNEXTLINE(readability-identifier-naming): a label in the assembly below
extern "C" const char tripwire_gate_return[];

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
asm(R"(
.text
.globl tripwire_gate
.type tripwire_gate, @function
tripwire_gate:
    mov %rdi, %rax
    mov %rsi, %r11
    mov 0(%r11), %rdi
    mov 8(%r11), %rsi
    mov 16(%r11), %rdx
    mov 24(%r11), %r10
    mov 32(%r11), %r8
    mov 40(%r11), %r9
    syscall
.globl tripwire_gate_return
tripwire_gate_return:
    ret
.size tripwire_gate, . - tripwire_gate
)");
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
asm(R"(
.text
.globl tripwire_gate
.type tripwire_gate, %function
tripwire_gate:
    mov x8, x0
    mov x9, x1
    ldp x0, x1, [x9]
    ldp x2, x3, [x9, #16]
    ldp x4, x5, [x9, #32]
    svc #0
.globl tripwire_gate_return
tripwire_gate_return:
    ret
.size tripwire_gate, . - tripwire_gate
)");
#else
#error "the tripwire knows x86-64 and aarch64"
#endif

namespace holdfast::tripwire {
namespace {

constexpr std::size_t kMaxNumber = 1024;
std::array<std::atomic<std::uint64_t>, kMaxNumber> counts{};
std::atomic<bool> counting{false};

struct Name {
    long number;
    const char* name;
};
// What a loop might do; anything else is told by its number.
constexpr std::array kNames{
    Name{SYS_read, "read"},
    Name{SYS_write, "write"},
    Name{SYS_readv, "readv"},
    Name{SYS_writev, "writev"},
    Name{SYS_recvfrom, "recvfrom"},
    Name{SYS_sendto, "sendto"},
    Name{SYS_recvmsg, "recvmsg"},
    Name{SYS_sendmsg, "sendmsg"},
    Name{SYS_recvmmsg, "recvmmsg"},
    Name{SYS_sendmmsg, "sendmmsg"},
    Name{SYS_ioctl, "ioctl"},
    Name{SYS_fcntl, "fcntl"},
    Name{SYS_ppoll, "ppoll"},
    Name{SYS_futex, "futex"},
    Name{SYS_clock_gettime, "clock_gettime"},
    Name{SYS_nanosleep, "nanosleep"},
    Name{SYS_mmap, "mmap"},
    Name{SYS_clock_nanosleep, "clock_nanosleep"},
    Name{SYS_munmap, "munmap"},
    Name{SYS_madvise, "madvise"},
    Name{SYS_mprotect, "mprotect"},
    Name{SYS_brk, "brk"},
    Name{SYS_openat, "openat"},
    Name{SYS_close, "close"},
    Name{SYS_fsync, "fsync"},
    Name{SYS_getppid, "getppid"},
    Name{SYS_sched_yield, "sched_yield"},
    Name{SYS_connect, "connect"},
    Name{SYS_socket, "socket"},
    Name{SYS_tgkill, "tgkill"},
    Name{SYS_getrandom, "getrandom"},
    Name{SYS_membarrier, "membarrier"},
};

std::string name_of(std::size_t number) {
    for (const Name& known : kNames) {
        if (known.number == static_cast<long>(number)) return known.name;
    }
    return "system call " + std::to_string(number);
}

// Of the interrupted thread: number and arguments of its call, and where its answer goes.
struct Interrupted {
    explicit Interrupted(void* context) : registers_(static_cast<ucontext_t*>(context)->uc_mcontext) {}
#if defined(__x86_64__)
    [[nodiscard]] long number() const { return registers_.gregs[REG_RAX]; }
    [[nodiscard]] std::array<long, 6> arguments() const {
        const auto& r = registers_.gregs;
        return {r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]};
    }
    void answer(long value) { registers_.gregs[REG_RAX] = value; }
#else
    [[nodiscard]] long number() const { return static_cast<long>(registers_.regs[8]); }
    [[nodiscard]] std::array<long, 6> arguments() const {
        std::array<long, 6> values{};
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<long>(registers_.regs[i]);
        return values;
    }
    void answer(long value) { registers_.regs[0] = static_cast<unsigned long>(value); }
#endif

  private:
    mcontext_t& registers_;
};

void on_call(int /*signal*/, siginfo_t* information, void* context) {
    Interrupted thread(context);
    const auto number = static_cast<std::size_t>(information->si_syscall);
    if (counting.load(std::memory_order_relaxed) && number < kMaxNumber)
        counts[number].fetch_add(1, std::memory_order_relaxed);
    const std::array<long, 6> arguments = thread.arguments();
    thread.answer(tripwire_gate(information->si_syscall, arguments.data()));
}

bool install_handler() {
    struct sigaction action{};
    action.sa_sigaction = on_call;
    // A call that the handler makes never raises a second one: the gate passes.
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    return sigaction(SIGSYS, &action, nullptr) == 0;
}

bool install_filter() {
    const auto gate = reinterpret_cast<std::uint64_t>(&tripwire_gate_return[0]);
    constexpr std::uint32_t kLow = offsetof(seccomp_data, instruction_pointer);
    std::array<sock_filter, 10> program{{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 0, 7),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        // The way back from the handler itself.
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 4, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kLow),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(gate), 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kLow + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(gate >> 32), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    }};
    const sock_fprog filter{.len = program.size(), .filter = program.data()};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

}  // namespace

bool trap_system_calls() { return install_handler() && install_filter(); }

void begin_counting() { counting.store(true, std::memory_order_relaxed); }
void end_counting() { counting.store(false, std::memory_order_relaxed); }

std::map<std::string, std::uint64_t> counted_calls() {
    std::map<std::string, std::uint64_t> named;
    for (std::size_t number = 0; number < kMaxNumber; ++number) {
        if (const std::uint64_t count = counts[number].load(); count > 0) named[name_of(number)] += count;
    }
    return named;
}

}  // namespace holdfast::tripwire
