/// The simulated mail server: one for all nodes. It remembers each mail that it took, by
/// Message-ID and address. It may refuse for a while, take a mail and lose the connection before it
/// says so, or be away. Must never be asked by a node what it took: only the checks look.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/notification/mail.hpp"
#include "tools/candor-sim/cluster/stage.hpp"

namespace candor::sim {

struct post_quality {
  double deferred = 0.0;   ///< answered with 4xx
  double reply_lost = 0.0; ///< taken, and the sender hears nothing
  double refused = 0.0;    ///< answered with 5xx
};

class post_office {
public:
  post_office(stage& on, post_quality quality)
    : on_{on}
    , quality_{quality} {}

  struct taken {
    std::string address;
    std::vector<std::int64_t> at_us;
    std::size_t replies_lost = 0;
  };

  std::unique_ptr<notification::mailer> connect();
  void set_away(bool away) { away_ = away; }
  void set_quality(post_quality quality) { quality_ = quality; }

  /// By Message-ID.
  const std::map<std::string, taken>& all() const { return all_; }

  /// Told of each mail that is taken, at its moment.
  std::function<void(const std::string& id, const std::string& address)> on_taken;

private:
  friend class post_counter;
  notification::outcome take(const notification::mail& what);

  stage& on_;
  post_quality quality_;
  bool away_ = false;
  std::map<std::string, taken> all_;
};

} // namespace candor::sim
