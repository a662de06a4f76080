/// Tells people: goes round the shards for whoever has to be told, within the policy's rate; sends
/// the mails whose intents are durable, outside quiet hours, again with a growing wait where a
/// server defers; renders the inbox. Where it stands: beside the flow. The shards hold the ledger
/// and decide who is told; this room only asks, renders, sends and reports. Guarantees: a mail is
/// sent only when its intent is durable, and recorded only with the server's answer; after a crash
/// the same mail goes out under the same Message-ID. In a cluster the node that leads the first shard
/// goes round for all: a policy's rate is one for all of them. Must never send what the ledger does
/// not hold.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "actors/messages/messages.hpp"
#include "actors/notification/mail.hpp"
#include "storage/base/clock.hpp"
#include "storage/model/policy/policy.hpp"

namespace candor::notification {

struct surroundings {
  std::shared_ptr<const shard_directory> shards;
  policy_handle policy;
  const model::region_table& regions;
  const clock& time;
  std::function<shard_id(const user_id&)> shard_of;
  std::filesystem::path templates; ///< the folder beneath which a policy's `templates` lies
  std::string app;                 ///< how a notice names the platform where a record names none
  std::string link;                ///< where people see, correct and erase
  notification::sender sender;
  /// Makes the door through which mail leaves, one for each sending thread; empty: mails wait as
  /// intents.
  std::function<std::unique_ptr<mailer>()> make_mailer;
};

notification_handle spawn_notification_actor(caf::actor_system& system, surroundings around);

} // namespace candor::notification
