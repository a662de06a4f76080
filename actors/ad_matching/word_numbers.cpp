#include "actors/ad_matching/word_numbers.hpp"

#include <bit>
#include <functional>

namespace candor::ad_matching {

using model::targeting::attribute;

word_numbers::word_numbers()
  : places_(1024) {}

/// Where the word stands, or would.
std::size_t word_numbers::place_of(attribute a, std::string_view text) const noexcept {
  auto mask = places_.size() - 1;
  auto hash = std::hash<std::string_view>{}(text) + static_cast<std::size_t>(a);
  for (auto i = hash & mask;; i = (i + 1) & mask) {
    const auto* w = places_[i].load(std::memory_order_acquire);
    if (w == nullptr || (w->of == a && w->text == text))
      return i;
  }
}

std::optional<std::int64_t> word_numbers::find(attribute a, std::string_view text) const noexcept {
  const auto* w = places_[place_of(a, text)].load(std::memory_order_acquire);
  return w == nullptr ? std::nullopt : std::optional{w->number};
}

std::optional<std::int64_t> word_numbers::number_of(attribute a, std::string_view text) {
  if (auto known = find(a, text))
    return known;
  if (2 * (words_.size() + 1) > places_.size()) {
    if (open_)
      return std::nullopt;
    grow(2 * places_.size());
  }
  auto& count = counts_.at(static_cast<std::size_t>(a));
  const auto& made = words_.emplace_back(word{a, std::string{text}, count++});
  places_[place_of(a, text)].store(&made, std::memory_order_release);
  return made.number;
}

void word_numbers::grow(std::size_t places) {
  places_ = std::vector<std::atomic<const word*>>(places);
  for (const auto& w : words_)
    places_[place_of(w.of, w.text)].store(&w, std::memory_order_relaxed);
}

void word_numbers::open(std::size_t more) {
  if (auto wanted = std::bit_ceil(2 * (words_.size() + more + 1)); wanted > places_.size())
    grow(wanted);
  open_ = true;
}

} // namespace candor::ad_matching
