/// How often this thread has asked for memory: candor-bench counts `operator new`, so that "it
/// allocates nothing" is a figure. What libraries take by malloc alone is not seen.
#pragma once

#include <cstdint>

namespace candor::bench {

std::uint64_t allocations_so_far() noexcept;

} // namespace candor::bench
