#include "actors/ad_matching/index/vector_kernel.hpp"

#include <atomic>

// Highway includes this file once for each instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "actors/ad_matching/index/vector_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace candor::ad_matching::index::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

HWY_ATTR void mask_blocks_here(const mask_plan& plan, const std::uint32_t* blocks,
                               std::size_t block_count, std::uint64_t* into) {
  const hn::CappedTag<std::uint64_t, block_words> lanes;
  constexpr auto step = hn::MaxLanes(lanes);
  const auto* every = plan.every.data();
  const auto* any = plan.any.data();
  const auto every_count = plan.every.size();
  for (std::size_t b = 0; b < block_count; ++b, into += block_words) {
    for (std::size_t part = 0; part < block_words; part += step) {
      auto at = std::size_t{blocks[b]} * block_words + part;
      auto passing = hn::Load(lanes, every[0] + at);
      for (std::size_t i = 1; i < every_count; ++i)
        passing = hn::And(passing, hn::Load(lanes, every[i] + at));
      std::size_t i = 0;
      for (auto end : plan.group_ends) {
        auto one = hn::Load(lanes, any[i] + at);
        for (++i; i < end; ++i)
          one = hn::Or(one, hn::Load(lanes, any[i] + at));
        passing = hn::And(passing, one);
      }
      hn::Store(passing, lanes, into + part);
    }
  }
}

} // namespace candor::ad_matching::index::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace candor::ad_matching::index {

namespace {

HWY_EXPORT(mask_blocks_here);

std::atomic<bool> scalar{false};

std::uint64_t load(const std::uint64_t* word) {
  // A live bit is read before what it stands for is.
  return std::atomic_ref{*const_cast<std::uint64_t*>(word)}.load(std::memory_order_acquire);
}

void mask_blocks_scalar(const mask_plan& plan, const std::uint32_t* blocks, std::size_t block_count,
                        std::uint64_t* into) {
  for (std::size_t b = 0; b < block_count; ++b)
    for (std::size_t word = 0; word < block_words; ++word) {
      auto at = std::size_t{blocks[b]} * block_words + word;
      auto passing = load(plan.every[0] + at);
      for (std::size_t i = 1; i < plan.every.size() && passing != 0; ++i)
        passing &= load(plan.every[i] + at);
      std::size_t i = 0;
      for (auto end : plan.group_ends) {
        std::uint64_t one = 0;
        for (; i < end; ++i)
          one |= load(plan.any[i] + at);
        passing &= one;
      }
      *into++ = passing;
    }
}

#if defined(__SANITIZE_THREAD__)
// Vector loads race with a writer's words by design (each word is whole on every machine that is
// built for); the sanitizer is shown the atomic loads.
constexpr bool only_scalar = true;
#else
constexpr bool only_scalar = false;
#endif

} // namespace

void mask_blocks(const mask_plan& plan, std::span<const std::uint32_t> blocks,
                 std::uint64_t* into) {
  if (only_scalar || scalar.load(std::memory_order_relaxed))
    return mask_blocks_scalar(plan, blocks.data(), blocks.size(), into);
  HWY_DYNAMIC_DISPATCH(mask_blocks_here)(plan, blocks.data(), blocks.size(), into);
}

std::vector<std::string> vector_targets() {
  std::vector<std::string> names;
  hwy::SetSupportedTargetsForTest(0);
  for (auto target : hwy::SupportedAndGeneratedTargets())
    names.emplace_back(hwy::TargetName(target));
  names.emplace_back("scalar");
  return names;
}

bool choose_vector_target(const std::string& name) {
  hwy::SetSupportedTargetsForTest(0);
  auto found = name.empty() || name == "scalar";
  for (auto target : hwy::SupportedAndGeneratedTargets())
    if (name == hwy::TargetName(target)) {
      hwy::SetSupportedTargetsForTest(target);
      found = true;
      break;
    }
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  scalar = name == "scalar";
  return found;
}

} // namespace candor::ad_matching::index

#endif
