#include "actors/ad_matching/index/vector_kernel.hpp"

#include <algorithm>
#include <atomic>
#include <bit>

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

HWY_ATTR void count_higher_here(const std::uint64_t* keys, std::size_t n, std::uint8_t* higher) {
  const hn::CappedTag<std::uint64_t, keys_max> lanes;
  for (std::size_t i = 0; i < n; ++i) {
    auto key = hn::Set(lanes, keys[i]);
    std::size_t count = 0;
    for (std::size_t j = 0; j < n; j += hn::Lanes(lanes))
      count += hn::CountTrue(lanes, hn::Gt(hn::LoadU(lanes, keys + j), key));
    higher[i] = static_cast<std::uint8_t>(count);
  }
}

} // namespace candor::ad_matching::index::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace candor::ad_matching::index {

namespace {

HWY_EXPORT(mask_blocks_here);
HWY_EXPORT(count_higher_here);

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

void order_falling(std::uint64_t* keys, std::size_t n, std::uint8_t* order) {
  std::uint8_t higher[keys_max];
  if (scalar.load(std::memory_order_relaxed)) {
    for (std::size_t i = 0; i < n; ++i) {
      std::size_t count = 0;
      for (std::size_t j = 0; j < n; ++j)
        count += keys[j] > keys[i];
      higher[i] = static_cast<std::uint8_t>(count);
    }
  } else {
    std::fill(keys + n, keys + keys_max, 0); // higher than none
    HWY_DYNAMIC_DISPATCH(count_higher_here)(keys, n, higher);
  }
  std::uint64_t taken = 0; // by equals
  for (std::size_t i = 0; i < n; ++i) {
    auto place = higher[i] + std::countr_one(taken >> higher[i]);
    taken |= std::uint64_t{1} << place;
    order[place] = static_cast<std::uint8_t>(i);
  }
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
