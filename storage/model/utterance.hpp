/// What a person said. It lives in the memory of the node that received it, between the gateway and
/// the topic filter, and nowhere else. Guarantees: it cannot be copied, compared, printed,
/// formatted or encoded (there is no codec, and none may be written); only the topic filter can
/// read it; its bytes are wiped when it goes. Must never be given a codec, an operator<<, an
/// accessor without `reader`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace candor::topic_filter {
class filter;
} // namespace candor::topic_filter

namespace candor::model {

class raw_utterance {
public:
  /// Whoever holds one may read an utterance; only the topic filter can make one.
  class reader {
    friend class topic_filter::filter;
    reader() = default;
  };

  raw_utterance() = default;
  explicit raw_utterance(std::string text, std::vector<std::string> earlier_turns = {})
    : text_{std::move(text)}
    , turns_{std::move(earlier_turns)} {}
  ~raw_utterance() { wipe(); }
  raw_utterance(raw_utterance&& other) noexcept { take(other); }
  raw_utterance& operator=(raw_utterance&& other) noexcept {
    if (this != &other) {
      wipe();
      take(other);
    }
    return *this;
  }
  raw_utterance(const raw_utterance&) = delete;
  raw_utterance& operator=(const raw_utterance&) = delete;

  bool empty() const noexcept { return text_.empty() && turns_.empty(); }
  std::size_t size() const noexcept;

  std::string_view text(reader) const noexcept { return text_; }
  /// Earlier turns of the same conversation, judged with the text; never kept either.
  const std::vector<std::string>& earlier_turns(reader) const noexcept { return turns_; }

  /// What was heard becomes the text; earlier turns stay.
  void take_text(raw_utterance& heard) noexcept;

  /// Overwrites the bytes; the utterance is empty then.
  void wipe() noexcept;

private:
  void take(raw_utterance& other) noexcept;
  std::string text_;
  std::vector<std::string> turns_;
};

} // namespace candor::model
