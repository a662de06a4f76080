#include "tools/candor-sim/cluster/scenario.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "storage/model/toml_reader.hpp"

namespace candor::sim {

namespace {

constexpr std::string_view names[] = {
    "crash",
    "power_loss",
    "wipe",
    "pause",
    "isolate",
    "cut_one_way",
    "bridge",
    "cut_beacons",
    "slow_network",
    "slow_disk",
    "hang_disk",
    "full_disk",
    "cut_coordinator",
    "coordinator_down",
    "slow_coordinator",
    "lossy_coordinator",
    "post_away",
    "flip",
    "wall_clock",
    "drain",
};

/// Reads what is there, and remembers the first refusal.
class optional_reader {
public:
  explicit optional_reader(const model::toml_section& of)
    : of_{of} {}

  template <class T>
  void whole(std::string_view key, T& to, std::int64_t least, std::int64_t most) {
    if (of_.has(key) && !wrong_)
      take(of_.whole(key, least, most), to);
  }
  /// Given in thousandths.
  void share(std::string_view key, double& to) {
    auto thousandths = static_cast<std::int64_t>(to * 1000);
    whole(key, thousandths, 0, 1000);
    to = static_cast<double>(thousandths) / 1000;
  }
  void rate(std::string_view key, double& to) {
    auto per_second = static_cast<std::int64_t>(to);
    whole(key, per_second, 0, 1000);
    to = static_cast<double>(per_second);
  }
  void micros(std::string_view key, std::int64_t& to, std::int64_t unit) {
    auto n = to / unit;
    whole(key, n, -1'000'000, 100'000'000);
    if (of_.has(key))
      to = n * unit;
  }
  void text(std::string_view key, std::string& to) {
    if (!of_.has(key) || wrong_)
      return;
    if (auto read = of_.text(key))
      to = read->text;
    else
      wrong_ = read.error();
  }
  result<void> done() const {
    return wrong_ ? result<void>{tl::unexpected<error>{*wrong_}} : result<void>{};
  }

private:
  template <class T>
  void take(result<std::int64_t> read, T& to) {
    if (read)
      to = static_cast<T>(*read);
    else
      wrong_ = read.error();
  }
  const model::toml_section& of_;
  std::optional<error> wrong_;
};

template <class Read>
result<void> in_table(const model::toml_file& file, const model::toml_section& top,
                      std::string_view name, std::initializer_list<std::string_view> known,
                      Read read) {
  if (!top.has(name))
    return {};
  CANDOR_TRY(table, top.table(name));
  CANDOR_TRY(section, model::toml_section::open(file, *table, std::string{name}, known));
  optional_reader reader{section};
  read(reader);
  return reader.done();
}

constexpr std::int64_t ms = 1000, s = 1'000'000;

result<trouble> kind_of(const model::toml_section& section) {
  CANDOR_TRY(text, section.text("kind"));
  auto kind = trouble_from(text.text);
  if (!kind)
    return section.refuse("kind", "there is no such trouble");
  return *kind;
}

} // namespace

std::string_view name_of(trouble t) {
  return names[static_cast<std::size_t>(t)];
}

std::optional<trouble> trouble_from(std::string_view name) {
  auto found = std::ranges::find(names, name);
  if (found == std::end(names))
    return std::nullopt;
  return static_cast<trouble>(found - std::begin(names));
}

std::string to_string(const fault& f) {
  auto node = f.node == leader ? std::string{"leader"} : fmt::format("n{}", f.node + 1);
  return fmt::format("{} of {} (other n{}) at {:.3f} s for {:.3f} s", name_of(f.kind), node,
                     f.other + 1, static_cast<double>(f.at_us) / s,
                     static_cast<double>(f.for_us) / s);
}

result<scenario> load_scenario(const std::filesystem::path& path) {
  std::ifstream in{path};
  std::stringstream text;
  text << in.rdbuf();
  if (!in)
    return fail(errc::config_invalid, path.string() + " cannot be read");
  auto name = path.filename().string();
  model::toml_file file{name, errc::config_invalid, 64 * 1024};
  CANDOR_TRY(table, file.parse(text.str()));
  CANDOR_TRY(top, model::toml_section::open(file, table, "",
                                            {"about", "nodes", "shards", "replicas", "in_sync_min",
                                             "seconds", "starts_at", "log_kept_bytes", "load",
                                             "network", "coordinator", "post", "disk", "policy",
                                             "trouble", "fault"}));
  scenario made;
  made.name = path.stem().string();
  made.starts_at = *parse_time("2026-01-10T12:00:00Z");
  optional_reader reader{top};
  reader.text("about", made.about);
  reader.whole("nodes", made.nodes, 1, 9);
  reader.whole("shards", made.shards, 1, 64);
  reader.whole("replicas", made.replicas, 1, 9);
  reader.whole("in_sync_min", made.in_sync_min, 1, 9);
  reader.micros("seconds", made.load_us, s);
  reader.whole("log_kept_bytes", made.log_kept_bytes, 0, 1 << 30);
  CANDOR_TRY_VOID(reader.done());
  if (top.has("starts_at")) {
    CANDOR_TRY(at, top.time("starts_at"));
    made.starts_at = at;
  }
  CANDOR_TRY_VOID(in_table(file, top, "load",
                           {"persons", "late", "events_per_second", "assistant_share",
                            "sensitive_share", "reads_per_second", "inbox_per_second", "erasures",
                            "campaigns", "ads_per_second", "sessions_per_second", "repeated_share",
                            "old_share", "daily_micros", "rebalances_per_second"},
                           [&](auto& r) {
                             r.whole("persons", made.load.persons, 1, 1000);
                             r.whole("late", made.load.late, 0, 1000);
                             r.rate("events_per_second", made.load.events_per_second);
                             r.share("assistant_share", made.load.assistant_share);
                             r.share("sensitive_share", made.load.sensitive_share);
                             r.rate("reads_per_second", made.load.reads_per_second);
                             r.rate("inbox_per_second", made.load.inbox_per_second);
                             r.whole("erasures", made.load.erasures, 0, 1000);
                             r.whole("campaigns", made.load.campaigns, 0, 100);
                             r.rate("ads_per_second", made.load.ads_per_second);
                             r.rate("sessions_per_second", made.load.sessions_per_second);
                             r.share("repeated_share", made.load.repeated_share);
                             r.share("old_share", made.load.old_share);
                             r.micros("daily_micros", made.load.daily_micros, 1);
                             r.rate("rebalances_per_second", made.load.rebalances_per_second);
                           }));
  CANDOR_TRY_VOID(in_table(file, top, "network",
                           {"delay_least_us", "delay_most_us", "beacon_loss", "beacon_doubled"},
                           [&](auto& r) {
                             r.micros("delay_least_us", made.network.delay_least_us, 1);
                             r.micros("delay_most_us", made.network.delay_most_us, 1);
                             r.share("beacon_loss", made.network.beacon_loss);
                             r.share("beacon_doubled", made.network.beacon_doubled);
                           }));
  CANDOR_TRY_VOID(in_table(file, top, "coordinator",
                           {"delay_least_us", "delay_most_us", "request_lost", "reply_lost"},
                           [&](auto& r) {
                             r.micros("delay_least_us", made.coordinator.delay_least_us, 1);
                             r.micros("delay_most_us", made.coordinator.delay_most_us, 1);
                             r.share("request_lost", made.coordinator.request_lost);
                             r.share("reply_lost", made.coordinator.reply_lost);
                           }));
  CANDOR_TRY_VOID(in_table(file, top, "post", {"deferred", "reply_lost", "refused"}, [&](auto& r) {
    r.share("deferred", made.post.deferred);
    r.share("reply_lost", made.post.reply_lost);
    r.share("refused", made.post.refused);
  }));
  CANDOR_TRY_VOID(in_table(file, top, "disk", {"least_us", "most_us"}, [&](auto& r) {
    r.micros("least_us", made.disk_least_us, 1);
    r.micros("most_us", made.disk_most_us, 1);
  }));
  if (top.has("policy")) {
    CANDOR_TRY(all, top.tables("policy", 16));
    for (const auto* one : all) {
      CANDOR_TRY(section,
                 model::toml_section::open(file, *one, "policy",
                                           {"version", "effective_s", "excluded", "applied_s"}));
      policy_plan plan;
      optional_reader r{section};
      r.text("version", plan.version);
      r.micros("effective_s", plan.effective_us, s);
      if (section.has("applied_s"))
        r.micros("applied_s", plan.applied_us, s);
      CANDOR_TRY_VOID(r.done());
      if (section.has("excluded")) {
        CANDOR_TRY(excluded, section.texts("excluded", 64));
        for (auto& e : excluded)
          plan.excluded.push_back(e.text);
      }
      made.policies.push_back(std::move(plan));
    }
  }
  if (top.has("trouble")) {
    CANDOR_TRY(all, top.tables("trouble", 64));
    for (const auto* one : all) {
      CANDOR_TRY(section, model::toml_section::open(file, *one, "trouble",
                                                    {"kind", "most", "least_ms", "most_ms"}));
      CANDOR_TRY(kind, kind_of(section));
      fault_rule rule;
      rule.kind = kind;
      optional_reader r{section};
      r.whole("most", rule.most, 0, 100);
      r.micros("least_ms", rule.least_us, ms);
      r.micros("most_ms", rule.most_us, ms);
      CANDOR_TRY_VOID(r.done());
      made.rules.push_back(rule);
    }
  }
  if (top.has("fault")) {
    CANDOR_TRY(all, top.tables("fault", 64));
    for (const auto* one : all) {
      CANDOR_TRY(section, model::toml_section::open(file, *one, "fault",
                                                    {"kind", "at_ms", "for_ms", "node", "other"}));
      CANDOR_TRY(kind, kind_of(section));
      fault f;
      f.kind = kind;
      optional_reader r{section};
      r.micros("at_ms", f.at_us, ms);
      r.micros("for_ms", f.for_us, ms);
      r.whole("node", f.node, -1, 8);
      r.whole("other", f.other, 0, 8);
      CANDOR_TRY_VOID(r.done());
      made.fixed.push_back(f);
    }
  }
  if (made.policies.empty())
    made.policies.push_back({"2026-01-01.1", -s, {"GB"}, -1});
  return made;
}

result<std::vector<scenario>> load_scenarios(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code ec;
  for (std::filesystem::directory_iterator i{folder, ec}, end; !ec && i != end; i.increment(ec))
    if (i->path().extension() == ".toml")
      files.push_back(i->path());
  if (files.empty())
    return fail(errc::config_invalid, folder.string() + " has no scenarios");
  std::ranges::sort(files);
  std::vector<scenario> all;
  for (const auto& file : files) {
    CANDOR_TRY(one, load_scenario(file));
    all.push_back(std::move(one));
  }
  return all;
}

std::vector<fault> draw_faults(const scenario& of, std::uint64_t seed) {
  seeded_rng chance{seed ^ 0x5eed0f0fa0175};
  auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(chance.next() %
                                     static_cast<std::uint64_t>(std::max<std::int64_t>(n, 1)));
  };
  auto all = of.fixed;
  for (const auto& rule : of.rules) {
    auto count = below(rule.most + 1);
    for (std::int64_t i = 0; i < count; ++i) {
      fault f;
      f.kind = rule.kind;
      f.at_us = below(of.load_us);
      f.for_us = rule.least_us + below(rule.most_us - rule.least_us + 1);
      f.node = static_cast<int>(below(of.nodes + 1)) - 1;
      f.other = static_cast<int>(below(of.nodes));
      all.push_back(f);
    }
  }
  std::ranges::stable_sort(all, {}, &fault::at_us);
  return all;
}

} // namespace candor::sim
