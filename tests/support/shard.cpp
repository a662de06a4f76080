#include "tests/support/shard.hpp"

#include <fstream>
#include <iterator>
#include <stdexcept>

namespace candor::test {

namespace {

/// Every event of these tests goes to this shard, whatever its key says.
constexpr shard_id number = 0;

template <class T>
T value(result<T> outcome) {
  if (!outcome)
    throw std::runtime_error{outcome.error().to_string()};
  return std::move(*outcome);
}

void check(result<void> outcome) {
  if (!outcome)
    throw std::runtime_error{outcome.error().to_string()};
}

std::string read(const std::string& path) {
  std::ifstream from{CANDOR_SOURCE_DIR "/" + path};
  if (!from)
    throw std::runtime_error{path + " cannot be read"};
  return {std::istreambuf_iterator<char>{from}, {}};
}

void write(const std::filesystem::path& file, std::string_view text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream{file} << text;
}

std::unique_ptr<topic_filter::filter> small_filter(const std::filesystem::path& folder) {
  write(folder / "sensitive/religion.en.txt", "[hard]\nchurch\n");
  write(folder / "topics/outdoors.en.txt", "hiking\n");
  write(folder / "topics/food_drink.en.txt", "cooking\n");
  return value(topic_filter::filter::load(folder));
}

} // namespace

timestamp at(std::string_view text) {
  return value(parse_time(text));
}
user_id user(std::string_view id) {
  return value(user_id::parse(id));
}

model::region_table shipped_regions() {
  return value(model::region_table::parse(read("configs/regions.toml"), "regions.toml"));
}

std::string shipped_policy() {
  return read("configs/policies/ai-interactions-2025-12-16.1.toml");
}

shard::shard(timestamp now, std::string policy)
  : time{now} {
  secrets = value(stores::load_or_make_secrets(folder.path() / "keys"));
  keys = value(stores::open_user_keys(folder.path() / "keys", secrets));
  filter = small_filter(folder.path() / "lexicon");
  coordinator = coordination::make_local_coordinator(*db);
  reopen();
  if (!policy.empty())
    commit(people->apply_policy(policy, "test"));
}

void shard::reopen() {
  log = std::make_unique<local_log>(*db, *keys, *coordinator, time,
                                    replication::replicator_options{{"n1", "d1"}, {2}});
  profile::user_table::surroundings around{*db, *keys, secrets, regions, time, random};
  people = std::make_unique<profile::user_table>(number, around);
  appended_ = 0;
  check(people->open(log->opening(number).value()));
}

std::vector<replication::committed> shard::append(replication::draft entry) {
  replication::append_request request{number, log->opening(number).value().epoch, {}};
  request.drafts.push_back(std::move(entry));
  people->appended(++appended_);
  auto committed = value(log->commit(request));
  people->settled(appended_);
  return committed;
}

model::verdict shard::send(model::event e, std::uint32_t import_run) {
  model::admission header{e.id, e.user.value(), e.at, time.now(), e.kind, e.region, import_run};
  auto admitted = commit(people->admit(header));
  if (admitted.status != model::status::accepted)
    return admitted;
  auto signal = filter->sanitize(header, e);
  if (!signal)
    return model::verdict::withheld(model::reason::sensitive);
  return commit(people->learn(*signal));
}

model::verdict shard::say(std::string id, const std::string& who, timestamp when, std::string text,
                          std::uint32_t import_run) {
  model::event e{std::move(id), user(who), when};
  e.lang = "en";
  e.utterance = model::raw_utterance{std::move(text)};
  return send(std::move(e), import_run);
}

model::verdict shard::like(std::string id, const std::string& who, timestamp when,
                           model::topic_id topic, std::uint32_t import_run) {
  model::event e{std::move(id), user(who), when, model::event_kind::engagement};
  e.object_id = "page";
  e.object_topics = {topic};
  return send(std::move(e), import_run);
}

void shard::move(const std::string& who, std::string_view region, timestamp since) {
  model::user_details details;
  details.region = value(regions.find(region));
  details.region_since = since;
  commit(people->put(user(who), details));
}

void shard::introduce(const std::string& who, std::string_view region, timestamp told) {
  move(who, region, at("2020-01-01T00:00:00Z"));
  commit(people->record_notice(user(who), {"ai-interactions", 1, model::channel::in_app, told},
                               "test"));
}

std::vector<std::string> shard::inbox_of(const std::string& who) {
  std::vector<std::string> ids;
  if (auto read = people->inbox(user(who), {}))
    for (const auto& n : read->answer.notices)
      ids.push_back(n.id);
  return ids;
}

profile::tombstone shard::erase(const std::string& who) {
  auto decided = value(people->erase(user(who), "test"));
  if (decided.entry)
    people->erased(user(who), decided.answer.grave, append(std::move(*decided.entry)).front().seq);
  return std::move(decided.answer.grave);
}

void shard::sweep() {
  for (auto rounds = 0; rounds < 100; ++rounds) {
    auto entries = value(people->sweep(4, log->core().destroyed_everywhere(number)));
    for (auto& entry : entries)
      append(std::move(entry));
    if (rounds > 8 && entries.empty())
      return;
  }
}

std::int64_t shard::weight(const std::string& who, model::topic_id topic, model::source from) {
  auto seen = people->read(user(who));
  if (seen)
    for (const auto& i : seen->interests)
      if (i.interest.topic == topic && i.interest.source == from)
        return i.weight_now;
  return 0;
}

} // namespace candor::test
