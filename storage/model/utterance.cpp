#include "storage/model/utterance.hpp"

#include "storage/base/wipe.hpp"

namespace candor::model {

std::size_t raw_utterance::size() const noexcept {
  auto total = text_.size();
  for (const auto& turn : turns_)
    total += turn.size();
  return total;
}

void raw_utterance::wipe() noexcept {
  candor::wipe(text_);
  for (auto& turn : turns_)
    candor::wipe(turn);
  turns_.clear();
}

void raw_utterance::take_text(raw_utterance& heard) noexcept {
  candor::wipe(text_);
  text_ = std::move(heard.text_);
  heard.wipe();
}

void raw_utterance::take(raw_utterance& other) noexcept {
  text_ = std::move(other.text_);
  turns_ = std::move(other.turns_);
  other.wipe(); // a short string was copied by the move, not moved
}

} // namespace candor::model
