/// The inner loops of the index: which campaigns of a block no column excludes, and which of a few
/// rank highest. Compiled for every
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

inline constexpr std::size_t keys_max = 32;

/// Which of `n` keys stands where when they fall; equal ones as they came. `keys` has room for
/// keys_max, and what is behind the n may be overwritten. Each key's place is how many are higher,
/// counted without a branch: a sort that compares guesses wrong at every second of them.
void order_falling(std::uint64_t* keys, std::size_t n, std::uint8_t* order);

/// The choices on this machine, the best first; "scalar" is always the last.
std::vector<std::string> vector_targets();

/// Chooses one of them from now on, for all threads; for tests and comparisons. An empty name is
/// the best. False: there is no such choice here.
bool choose_vector_target(const std::string& name);

} // namespace candor::ad_matching::index
