// Any file as the record of the latched stop: intact as it was written, or a stop is assumed. Never a crash:
// the daemon would restart into it for ever.
#include "fuzz.hpp"
#include "safety/record.hpp"

namespace {

using namespace holdfast;
using fuzz::claim;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz::InputFile file(fuzz::text_of(data, size));
    const safety::LoadedRecord loaded = safety::load_record(file.path());
    const safety::LatchRecord& record = loaded.record;
    if (loaded.damage) {
        claim(!loaded.damage->empty(), "damage is explained");
        claim(record.last_sequence > 1'000'000'000, "after damage no number is used twice");
    } else {
        claim(record.latch_sequence <= record.last_sequence, "no latched stop that never was");
        claim((record.latch_sequence != 0) == (record.cause != shm::StopCause::kNone),
              "a latched stop has a cause");
    }
    return 0;
}
