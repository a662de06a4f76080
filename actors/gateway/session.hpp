/// The header by which a session names what it has seen, so that no later read of it goes back:
/// `Candor-Session: 12.0.345, 40.0.7`, each shard.generation.seq (docs/replication.md). Pure values
/// and their text. More shards than the header holds are told as `*`: read strongly.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "actors/messages/messages.hpp"

namespace candor::gateway {

class session_seen {
public:
  /// Error: `bad_value` (not such a list), `too_many`.
  static result<session_seen> parse(std::string_view header);

  void add(const session_token& token) {
    if (token.seq > 0)
      join(tokens_.try_emplace(token.shard, token).first->second, token);
  }
  void add(const std::vector<session_token>& tokens) {
    for (const auto& t : tokens)
      add(t);
  }

  /// It has seen more than it can name.
  bool is_anything() const noexcept { return anything_; }
  /// What it has seen of a shard.
  session_token of(shard_id shard) const;
  /// Empty: nothing.
  std::string to_header() const;

private:
  std::map<shard_id, session_token> tokens_;
  bool anything_ = false;
};

} // namespace candor::gateway
