#include "tools/candor-sim/cluster/post.hpp"

namespace candor::sim {

using notification::mail;
using notification::outcome;

class post_counter final : public notification::mailer {
public:
  explicit post_counter(post_office& at)
    : at_{at} {}
  outcome send(const mail& what) override { return at_.take(what); }

private:
  post_office& at_;
};

std::unique_ptr<notification::mailer> post_office::connect() {
  return std::make_unique<post_counter>(*this);
}

outcome post_office::take(const mail& what) {
  using enum outcome::kind;
  if (away_)
    return {deferred, 0, "no connection"};
  if (on_.happens(quality_.deferred))
    return {deferred, 450, "later"};
  if (on_.happens(quality_.refused))
    return {refused, 550, "no such mailbox"};
  constexpr std::string_view header = "Message-ID: <";
  auto from = what.message.find(header) + header.size();
  auto id = what.message.substr(from, what.message.find('@', from) - from);
  auto& mine = all_[id];
  mine.address = what.to;
  mine.at_us.push_back(on_.now_us());
  on_.mix(id);
  if (on_taken)
    on_taken(id, what.to);
  if (on_.happens(quality_.reply_lost)) {
    ++mine.replies_lost;
    return {deferred, 0, "the connection was lost"};
  }
  return {accepted, 250, "taken"};
}

} // namespace candor::sim
