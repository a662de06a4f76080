#include "storage/model/utterance.hpp"

#include <sodium.h>

namespace candor::model {

namespace {

void wipe_string(std::string& text) noexcept {
  text.resize(text.capacity()); // a short text after a longer one: the longer one's rest goes too
  sodium_memzero(text.data(), text.size());
  text.clear();
}

} // namespace

std::size_t raw_utterance::size() const noexcept {
  auto total = text_.size();
  for (const auto& turn : turns_)
    total += turn.size();
  return total;
}

void raw_utterance::wipe() noexcept {
  wipe_string(text_);
  for (auto& turn : turns_)
    wipe_string(turn);
  turns_.clear();
}

void raw_utterance::take_text(raw_utterance& heard) noexcept {
  wipe_string(text_);
  text_ = std::move(heard.text_);
  heard.wipe();
}

void raw_utterance::take(raw_utterance& other) noexcept {
  text_ = std::move(other.text_);
  turns_ = std::move(other.turns_);
  other.wipe(); // a short string was copied by the move, not moved
}

} // namespace candor::model
