/// The inner loop of the index: which campaigns of a block no column excludes. Compiled for every
/// instruction set that the compiler knows (Google Highway), chosen when the program starts.
/// Guarantees: every choice gives the same bits. Must never read past the blocks that it is given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace candor::ad_matching::index {

inline constexpr std::size_t block_slots = 512;
inline constexpr std::size_t block_words = block_slots / 64;

/// Bitmaps by their first word. A slot passes if it is in each of `every`, and in one of each group
/// of `any`.
struct mask_plan {
  std::vector<const std::uint64_t*> every;
  std::vector<const std::uint64_t*> any;
  std::vector<std::uint32_t> group_ends; ///< in `any`
};

/// `into` gets `block_words` words for each of `blocks`.
void mask_blocks(const mask_plan& plan, std::span<const std::uint32_t> blocks, std::uint64_t* into);

/// The choices on this machine, the best first; "scalar" is always the last.
std::vector<std::string> vector_targets();

/// Chooses one of them from now on, for all threads; for tests and comparisons. An empty name is
/// the best. False: there is no such choice here.
bool choose_vector_target(const std::string& name);

} // namespace candor::ad_matching::index
