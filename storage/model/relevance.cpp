#include "storage/model/relevance.hpp"

#include <algorithm>

namespace candor::model {

std::uint32_t relevance(const std::vector<topic_strength>& of, const interests& to) {
  std::uint32_t sum = 0;
  auto theirs = to.begin();
  for (const auto& ours : of) {
    while (theirs != to.end() && theirs->topic < ours.topic)
      ++theirs;
    if (theirs != to.end() && theirs->topic == ours.topic)
      sum += std::uint32_t{ours.weight} * theirs->weight;
  }
  return relevance_of(sum);
}

interests strengths_of(const std::vector<topic_used>& topics) {
  interests made;
  for (const auto& t : topics) {
    if (made.empty() || made.back().topic != t.topic)
      made.push_back({t.topic, 0});
    made.back().weight = static_cast<std::uint8_t>(std::min(255, made.back().weight + t.weight));
  }
  return made;
}

} // namespace candor::model
