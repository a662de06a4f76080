/// The people of one shard with everything beneath them real (the filter, the group commit,
/// sealing, the key store) on the memory engine, and a clock that moves when told.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "actors/profile/user_table.hpp"
#include "actors/topic_filter/filter.hpp"
#include "cluster/coordination/coordinator.hpp"
#include "storage/base/time.hpp"
#include "tests/support/local_log.hpp"
#include "tests/support/temporary_folder.hpp"

namespace candor::test {

timestamp at(std::string_view text);
user_id user(std::string_view id);

/// What the shipped configuration says.
model::region_table shipped_regions();
std::string shipped_policy();

class shard {
public:
  /// `policy`: the text that is applied first; empty for none.
  explicit shard(timestamp now, std::string policy = shipped_policy());

  /// Makes the decided entry durable, if there is one.
  template <class Answer>
  Answer commit(result<profile::decided<Answer>> outcome) {
    if (!outcome)
      throw std::runtime_error{outcome.error().to_string()};
    if (outcome->entry)
      append(std::move(*outcome->entry));
    return std::move(outcome->answer);
  }
  std::vector<replication::committed> append(replication::draft entry);

  /// As after a restart: everything in memory is read back.
  void reopen();

  /// Both steps, with the real filter between them: "hiking" speaks of outdoors, "cooking" of food,
  /// "church" is sensitive.
  model::verdict say(std::string id, const std::string& who, timestamp when, std::string text,
                     std::uint32_t import_run = 0);
  model::verdict like(std::string id, const std::string& who, timestamp when, model::topic_id topic,
                      std::uint32_t import_run = 0);
  model::verdict send(model::event e, std::uint32_t import_run = 0);

  /// Puts the person in `region` since 2020 and records that the reference policy's notice reached
  /// them at `told`.
  void introduce(const std::string& who, std::string_view region, timestamp told);
  void move(const std::string& who, std::string_view region, timestamp since);

  /// The ids of everything in the person's inbox; empty where they are not known.
  std::vector<std::string> inbox_of(const std::string& who);

  /// Durable, as the room's shell does it.
  profile::tombstone erase(const std::string& who);

  /// Sweeps until a round changes nothing.
  void sweep();

  /// The weight of an interest now, 0 where there is none.
  std::int64_t weight(const std::string& who, model::topic_id topic, model::source from);

  manual_clock time;
  temporary_folder folder;
  std::unique_ptr<engine::engine> db = engine::make_memory_engine();
  stores::node_secrets secrets;
  std::unique_ptr<stores::user_keys> keys;
  std::unique_ptr<coordination::coordinator> coordinator;
  std::unique_ptr<local_log> log;
  std::unique_ptr<topic_filter::filter> filter;
  model::region_table regions = shipped_regions();
  seeded_rng random{7};
  std::unique_ptr<profile::user_table> people;

private:
  std::uint64_t appended_ = 0;
};

inline constexpr model::topic_id food = 9, outdoors = 15;

} // namespace candor::test
