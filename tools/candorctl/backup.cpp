// `candorctl backup`: the whole cluster at one cut into a folder, and back into an empty cluster.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

#include "storage/backup/archive.hpp"
#include "storage/backup/check.hpp"
#include "storage/backup/rows.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/rng.hpp"
#include "tools/candorctl/session.hpp"

namespace candor::ctl {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr int cuts_max = 5;  ///< each after a shard's primary changed
constexpr int fills_max = 5; ///< of one shard, in a restore
constexpr auto keep_every = 60s;
constexpr auto again_every = 200ms;
constexpr auto patience = 60s; ///< with one request

/// A line on a terminal that says how far it is.
class progress {
public:
  explicit progress(const session& with)
    : shows_{with.as == output::text && is_terminal(STDERR_FILENO)} {}
  ~progress() {
    if (shown_)
      fmt::print(stderr, "\r\x1b[K");
  }
  void show(const std::string& what) {
    if (!shows_ || steady::now() - at_ < 200ms)
      return;
    at_ = steady::now();
    shown_ = true;
    fmt::print(stderr, "\r\x1b[K{}", what);
    std::fflush(stderr);
  }

private:
  bool shows_, shown_ = false;
  steady::time_point at_{};
};

/// May another try help, of a request that may be sent twice?
bool passes(const http_client::failure& why) {
  switch (why.why.code) {
    case errc::unavailable:
    case errc::timed_out:
    case errc::not_primary:
    case errc::overloaded:
    case errc::disk_full:
    case errc::outcome_unknown:
    case errc::io_failed:
      return true;
    default:
      return false;
  }
}

/// One connection that is kept; every verb here may be sent again.
class caller {
public:
  explicit caller(const session& with)
    : with_{with}
    , client_{with.connect()} {}

  http_client::outcome<json> call(std::string_view verb, const json& arguments) {
    auto until = steady::now() + patience;
    for (;;) {
      auto answer = client_.call("POST", "/v1/admin/" + http_client::escape(verb), arguments);
      if (answer || !passes(answer.error()) || steady::now() >= until)
        return answer;
      std::this_thread::sleep_for(again_every);
      client_ = with_.connect(); // the node may be gone
    }
  }

private:
  const session& with_;
  http_client::client client_;
};

template <class T>
using outcome = http_client::outcome<T>;

template <class T>
outcome<T> or_failure(result<T> r) {
  if (!r)
    return tl::unexpected{http_client::to_failure(r.error())};
  if constexpr (std::is_void_v<T>)
    return {};
  else
    return std::move(*r);
}

tl::unexpected<http_client::failure> refuse(errc code, std::string why) {
  return tl::unexpected{http_client::to_failure(error{code, std::move(why)})};
}

// -- create
// ----------------------------------------------------------------------------------------

struct create_options {
  std::string folder, keys_folder;
};

class creation {
public:
  creation(const session& with, const create_options& o)
    : with_{with}
    , o_{o}
    , node_{with}
    , progress_{with} {}

  int run() {
    auto made = make();
    if (!made)
      return with_.complain(made.error());
    json answer = {
        {"backup", data_.backup}, {"folder", o_.folder},  {"cut_at", format_time(data_.cut_at)},
        {"shards", data_.shards}, {"rows", count(data_)}, {"bytes", bytes(data_)}};
    if (!o_.keys_folder.empty())
      answer["keys"] = {{"folder", o_.keys_folder}, {"pages", count(keys_)}};
    with_.print(answer, [&](const json&) {
      fmt::print("backup {}: {} shards as of {}, {} rows, {} bytes in {}\n", data_.backup,
                 data_.shards, format_time(data_.cut_at), count(data_), bytes(data_), o_.folder);
      if (o_.keys_folder.empty()) {
        fmt::print("Without a key backup (--keys) nothing in it can be read.\n");
        return;
      }
      fmt::print("keys: {} pages in {}\n", count(keys_), o_.keys_folder);
      fmt::print(
          "They open with the cluster's master.key only, which is not there: keep data, keys "
          "and master.key\nin three places. This key backup replaces every earlier one: "
          "destroy those, since they may\nhold keys of persons who were erased since.\n");
    });
    return exit_fine;
  }

private:
  static std::uint64_t count(const backup::manifest& m) {
    std::uint64_t sum = 0;
    for (const auto& f : m.files)
      sum += f.rows;
    return sum;
  }
  static std::uint64_t bytes(const backup::manifest& m) {
    std::uint64_t sum = 0;
    for (const auto& f : m.files)
      sum += f.bytes;
    return sum;
  }

  outcome<void> make() {
    for (const auto& folder : {o_.folder, o_.keys_folder})
      if (!folder.empty())
        if (auto begun = or_failure(backup::begin_archive(folder)); !begun)
          return begun;
    for (int attempt = 1;; ++attempt) {
      auto read = cut_and_read();
      if (!read) {
        end();
        auto code = read.error().why.code;
        if ((code != errc::not_found && code != errc::conflict) || attempt == cuts_max)
          return read;
        if (with_.as == output::text)
          fmt::print(stderr, "a shard changed its primary ({}): a new cut is made\n",
                     read.error().why.detail);
        continue;
      }
      end();
      if (o_.keys_folder.empty())
        return or_failure(backup::write_manifest(o_.folder, data_));
      if (auto keys = read_keys(); !keys)
        return keys;
      if (auto written = or_failure(backup::write_manifest(o_.keys_folder, keys_)); !written)
        return written;
      return or_failure(backup::write_manifest(o_.folder, data_));
    }
  }

  outcome<void> cut_and_read() {
    auto random = make_system_rng();
    auto id = random_id(*random, "b-");
    data_ = {};
    data_.backup = id; // so that `end` knows it, whatever comes of the cut
    auto cut = node_.call("backup_cut", {{"backup", id}});
    if (!cut)
      return tl::unexpected{cut.error()};
    if (auto noted = note(*cut); !noted)
      return noted;
    kept_at_ = steady::now();
    for (auto& entry : data_.files)
      if (auto read = read_shard(o_.folder, data_, entry, false); !read)
        return read;
    return {};
  }

  outcome<void> note(const json& cut) {
    try {
      data_.cluster = cut.at("cluster").get<std::string>();
      data_.version = cut.at("version").get<std::string>();
      data_.secrets = cut.at("secrets").get<std::string>();
      data_.cut_at = *parse_time(cut.at("cut_at").get<std::string>());
      for (const auto& s : cut.at("shards")) {
        backup::shard_entry e;
        e.shard = s.at("shard").get<shard_id>();
        e.file = backup::file_name(e.shard, backup::content::data);
        e.seq = s.at("seq").get<std::uint64_t>();
        e.term = s.at("term").get<std::uint64_t>();
        e.chain = s.at("chain").get<std::string>();
        e.log_time = *parse_time(s.at("log_time").get<std::string>());
        e.audit_entries = s.at("audit_entries").get<std::uint64_t>();
        e.audit_hash = s.at("audit_hash").get<std::string>();
        data_.files.push_back(std::move(e));
      }
    } catch (const std::exception& e) {
      return refuse(errc::internal, std::string{"the node's answer: "} + e.what());
    }
    data_.shards = static_cast<std::uint16_t>(data_.files.size());
    return {};
  }

  /// Keys are those of now: never fewer than the data needs, but for persons erased meanwhile.
  outcome<void> read_keys() {
    keys_ = data_;
    keys_.kind = backup::content::keys;
    for (auto& entry : keys_.files) {
      entry = {entry.shard, backup::file_name(entry.shard, backup::content::keys),
               0,           0,
               {},          {},
               0,           {},
               0,           0,
               {}};
      if (auto read = read_shard(o_.keys_folder, keys_, entry, true); !read)
        return read;
    }
    return {};
  }

  outcome<void> read_shard(const fs::path& folder, const backup::manifest& of,
                           backup::shard_entry& entry, bool keys) {
    auto file = or_failure(backup::file_writer::create(folder / entry.file, of.kind));
    if (!file)
      return tl::unexpected{file.error()};
    std::string cursor;
    do {
      auto part = node_.call(
          "backup_part",
          {{"backup", data_.backup}, {"shard", entry.shard}, {"keys", keys}, {"cursor", cursor}});
      if (!part)
        return tl::unexpected{part.error()};
      auto bytes = or_failure(backup::from_base64(part->value("data", "")));
      if (!bytes)
        return tl::unexpected{bytes.error()};
      if (auto added = or_failure(file->add(*bytes)); !added)
        return added;
      entry.rows += part->value("count", std::uint64_t{0});
      cursor = part->value("next", "");
      read_bytes_ += bytes->size();
      progress_.show(fmt::format("{} of shard {} of {}, {:.1f} MB", keys ? "keys" : "rows",
                                 entry.shard, of.shards, static_cast<double>(read_bytes_) / 1e6));
      if (auto kept = keep(keys); !kept)
        return kept;
    } while (!cursor.empty());
    auto digest = or_failure(file->finish());
    if (!digest)
      return tl::unexpected{digest.error()};
    entry.blake2b = *digest;
    entry.bytes = file->bytes();
    return {};
  }

  /// The shards that wait for their turn must not let go of their snapshots.
  outcome<void> keep(bool keys) {
    if (keys || steady::now() - kept_at_ < keep_every)
      return {};
    kept_at_ = steady::now();
    // Where a shard that was read already has a new primary, nothing is lost.
    auto kept = node_.call("backup_keep", {{"backup", data_.backup}});
    if (!kept && kept.error().why.code != errc::not_found)
      return tl::unexpected{kept.error()};
    return {};
  }

  /// Nobody has to hear it: a snapshot that nobody asks for goes by itself.
  void end() { (void)with_.admin("backup_end", {{"backup", data_.backup}}); }

  const session& with_;
  create_options o_;
  caller node_;
  progress progress_;
  backup::manifest data_, keys_;
  std::uint64_t read_bytes_ = 0;
  steady::time_point kept_at_{};
};

// -- verify
// ----------------------------------------------------------------------------------------

struct all_checked {
  backup::manifest manifest;
  std::vector<backup::checked> shards;
  std::vector<error> wrong;

  template <class Count>
  std::uint64_t sum(Count count) const {
    std::uint64_t all = 0;
    for (const auto& s : shards)
      all += count(s);
    return all;
  }
};

result<all_checked> check_all(const session& with, const fs::path& folder) {
  CANDOR_TRY(manifest, backup::read_manifest(folder));
  all_checked all{std::move(manifest), {}, {}};
  progress shown{with};
  for (const auto& entry : all.manifest.files) {
    shown.show(fmt::format("verifying shard {} of {}", entry.shard, all.manifest.shards));
    auto checked = backup::check_shard(folder, all.manifest, entry);
    if (!checked)
      all.wrong.push_back(checked.error());
    all.shards.push_back(checked ? std::move(*checked) : backup::checked{});
  }
  return all;
}

int verify(const session& with, const std::string& folder) {
  auto all = check_all(with, folder);
  if (!all)
    return with.complain(all.error());
  auto is_data = all->manifest.kind == backup::content::data;
  json answer = {{"ok", all->wrong.empty()},
                 {"backup", all->manifest.backup},
                 {"kind", is_data ? "data" : "keys"},
                 {"cut_at", format_time(all->manifest.cut_at)},
                 {"shards", all->manifest.shards}};
  if (is_data) {
    answer["rows"] = all->sum([](const auto& s) { return s.rows; });
    answer["persons"] = all->sum([](const auto& s) { return s.persons; });
    answer["audit_entries"] = all->sum([](const auto& s) { return s.audit_entries; });
  } else {
    answer["pages"] = all->sum([](const auto& s) { return s.rows; });
  }
  answer["problems"] = json::array();
  for (const auto& e : all->wrong)
    answer["problems"].push_back(e.to_string());
  with.print(answer, [](const json& a) {
    for (const auto& problem : a.at("problems"))
      fmt::print("{}\n", plain(problem));
    if (a.at("ok") == false)
      return;
    if (a.at("kind") == "data")
      fmt::print("backup {} is whole: {} shards as of {}, {} rows, {} persons, {} audit entries\n",
                 field(a, "backup"), field(a, "shards"), field(a, "cut_at"), field(a, "rows"),
                 field(a, "persons"), field(a, "audit_entries"));
    else
      fmt::print("the keys of backup {} are whole: {} shards, {} pages\n", field(a, "backup"),
                 field(a, "shards"), field(a, "pages"));
  });
  return all->wrong.empty() ? exit_fine : exit_unhealthy;
}

// -- restore
// ---------------------------------------------------------------------------------------

struct restore_options {
  std::string folder, keys_folder;
  bool leave_out = false; ///< persons without a key
  bool resume = false;
};

class restoration {
public:
  restoration(const session& with, const restore_options& o)
    : with_{with}
    , o_{o}
    , node_{with}
    , progress_{with} {}

  int run() {
    auto done = restore();
    if (!done)
      return with_.complain(done.error());
    json answer = {{"backup", data_.manifest.backup},
                   {"shards", data_.manifest.shards},
                   {"persons", persons_ - std::min(persons_, left_out_)},
                   {"left_out", left_out_}};
    with_.print(answer, [&](const json& a) {
      fmt::print("backup {} is restored: {} shards as of {}, {} persons\n", data_.manifest.backup,
                 data_.manifest.shards, format_time(data_.manifest.cut_at), field(a, "persons"));
      if (left_out_ > 0)
        fmt::print("{} persons are left out: their keys are destroyed, or not in the key backup\n",
                   left_out_);
    });
    return exit_fine;
  }

private:
  outcome<void> restore() {
    if (auto ready = check_files(); !ready)
      return ready;
    choose_floor();
    // Nothing is changed before every shard was seen to be empty.
    std::vector<shard_id> to_do;
    for (const auto& entry : data_.manifest.files) {
      auto seen = step(entry, "look");
      if (!seen)
        return tl::unexpected{seen.error()};
      if (!seen->value("open", false))
        to_do.push_back(entry.shard);
      else if (!o_.resume)
        return refuse(errc::conflict,
                      fmt::format("shard {} was restored from this backup already; --resume goes "
                                  "on with a restore that was broken off",
                                  entry.shard));
    }
    // None serves before all are whole: restored shards would speak of money with empty ones.
    for (auto shard : to_do)
      if (auto begun = step(data_.manifest.files[shard], "begin"); !begun)
        return tl::unexpected{begun.error()};
    std::map<shard_id, std::uint64_t> parts;
    for (auto shard : to_do) {
      auto filled = fill(data_.manifest.files[shard]);
      if (!filled)
        return tl::unexpected{filled.error()};
      parts[shard] = *filled;
    }
    for (auto shard : to_do)
      if (auto ended = finish(data_.manifest.files[shard], parts[shard]); !ended)
        return ended;
    return {};
  }

  outcome<void> check_files() {
    auto data = or_failure(check_all(with_, o_.folder));
    if (!data)
      return tl::unexpected{data.error()};
    data_ = std::move(*data);
    if (!data_.wrong.empty())
      return tl::unexpected{http_client::to_failure(data_.wrong.front())};
    if (data_.manifest.kind != backup::content::data)
      return refuse(errc::bad_value, o_.folder + " is a key backup: give it with --keys");
    persons_ = data_.sum([](const auto& s) { return s.persons; });
    if (!o_.keys_folder.empty()) {
      auto keys = or_failure(check_all(with_, o_.keys_folder));
      if (!keys)
        return tl::unexpected{keys.error()};
      keys_ = std::move(*keys);
      if (!keys_.wrong.empty())
        return tl::unexpected{http_client::to_failure(keys_.wrong.front())};
      if (keys_.manifest.kind != backup::content::keys)
        return refuse(errc::bad_value, o_.keys_folder + " is no key backup");
      if (keys_.manifest.secrets != data_.manifest.secrets ||
          keys_.manifest.shards != data_.manifest.shards)
        return refuse(errc::conflict, "data and keys are of different clusters");
    }
    if (o_.leave_out)
      return {};
    std::size_t missing = 0;
    for (std::size_t s = 0; s < data_.shards.size(); ++s)
      for (const auto& [page, slots] : data_.shards[s].pages)
        if (s >= keys_.shards.size() || !keys_.shards[s].pages.contains(page))
          missing += slots.size();
    if (missing > 0)
      return refuse(
          errc::conflict,
          fmt::format("the keys of {} persons are not {}; --leave-out-unreadable restores "
                      "everything but them",
                      missing, o_.keys_folder.empty() ? "given (--keys)" : "in the key backup"));
    return {};
  }

  /// Above every term in which these keys may have sealed something, here or in another cluster
  /// that was restored from the same backup: a nonce holds the term.
  void choose_floor() {
    auto random = make_system_rng();
    std::uint64_t most = 0;
    for (const auto& entry : data_.manifest.files)
      most = std::max(most, entry.term);
    term_floor_ = most + limits::restore_term_gap + random->next() % (8 * limits::restore_term_gap);
  }

  outcome<json> step(const backup::shard_entry& entry, const char* name,
                     json more = json::object()) {
    more["backup"] = data_.manifest.backup;
    more["shard"] = entry.shard;
    more["step"] = name;
    if (name == std::string_view{"look"} || name == std::string_view{"begin"}) {
      more["secrets"] = data_.manifest.secrets;
      more["term_floor"] = term_floor_;
      more["log_time"] = format_time(entry.log_time);
      more["shards"] = data_.manifest.shards;
    }
    return node_.call("restore_step", more);
  }

  /// How many parts it took.
  outcome<std::uint64_t> fill(const backup::shard_entry& entry) {
    for (int attempt = 1;; ++attempt) {
      left_out_here_ = 0;
      auto filled = send_all(entry);
      if (filled || filled.error().why.code != errc::conflict || attempt == fills_max) {
        left_out_ += left_out_here_;
        return filled;
      }
      if (auto begun = step(entry, "begin"); !begun)
        return tl::unexpected{begun.error()};
    }
  }

  outcome<std::uint64_t> send_all(const backup::shard_entry& entry) {
    std::uint64_t index = 0;
    if (auto sent = send_keys(entry, index); !sent)
      return tl::unexpected{sent.error()};
    http_client::failure why;
    auto read = backup::read_file_of(o_.folder, entry, backup::content::data,
                                     [&](const std::string& part) -> result<void> {
                                       auto sent = send(entry, "rows", part, index);
                                       if (sent)
                                         return {};
                                       why = sent.error();
                                       return tl::unexpected{why.why};
                                     });
    if (!read)
      return tl::unexpected{of(read.error(), why)};
    return index;
  }

  /// What a node said, where it was that.
  static http_client::failure of(const error& e, const http_client::failure& said) {
    return said.why.code == e.code ? said : http_client::to_failure(e);
  }

  outcome<void> finish(const backup::shard_entry& entry, std::uint64_t parts) {
    auto until = steady::now() + patience;
    for (;;) {
      auto end = step(entry, "finish", {{"index", parts}});
      if (!end)
        return tl::unexpected{end.error()};
      if (end->value("open", false))
        return {};
      if (steady::now() >= until)
        return refuse(errc::timed_out, fmt::format("shard {} does not serve", entry.shard));
      progress_.show(
          fmt::format("shard {} of {} begins to serve", entry.shard, data_.manifest.shards));
      std::this_thread::sleep_for(20ms);
    }
  }

  /// Of each page the keys that the data names; pages of which it names none stay behind.
  outcome<void> send_keys(const backup::shard_entry& entry, std::uint64_t& index) {
    if (keys_.shards.empty())
      return {};
    const auto& living = data_.shards[entry.shard].pages;
    std::vector<backup::page> group;
    std::size_t bytes = 0;
    http_client::failure why;
    auto flush = [&]() -> result<void> {
      if (group.empty())
        return {};
      auto sent = send(entry, "keys", backup::encode(std::exchange(group, {})), index);
      bytes = 0;
      if (sent)
        return {};
      why = sent.error();
      return tl::unexpected{why.why};
    };
    auto read =
        backup::read_file_of(o_.keys_folder, keys_.manifest.files[entry.shard],
                             backup::content::keys, [&](const std::string& part) -> result<void> {
                               CANDOR_TRY(pages, backup::decode_pages(part));
                               for (auto& p : pages) {
                                 auto named = living.find(p.number);
                                 if (named == living.end())
                                   continue;
                                 p.living = named->second;
                                 bytes += p.bytes.size();
                                 group.push_back(std::move(p));
                                 if (bytes >= limits::backup_part_wanted)
                                   CANDOR_TRY_VOID(flush());
                               }
                               return {};
                             });
    if (read)
      read = flush();
    if (!read)
      return tl::unexpected{of(read.error(), why)};
    return {};
  }

  outcome<void> send(const backup::shard_entry& entry, const char* name, const std::string& part,
                     std::uint64_t& index) {
    json more = {
        {"index", index}, {"data", backup::to_base64(part)}, {"drop_unreadable", o_.leave_out}};
    auto answer = step(entry, name, std::move(more));
    if (!answer)
      return tl::unexpected{answer.error()};
    ++index;
    left_out_here_ = answer->value("left_out", left_out_here_);
    sent_bytes_ += part.size();
    progress_.show(fmt::format("shard {} of {}, {:.1f} MB", entry.shard, data_.manifest.shards,
                               static_cast<double>(sent_bytes_) / 1e6));
    return {};
  }

  const session& with_;
  restore_options o_;
  caller node_;
  progress progress_;
  all_checked data_, keys_;
  std::uint64_t term_floor_ = 0, persons_ = 0, left_out_ = 0, left_out_here_ = 0, sent_bytes_ = 0;
};

} // namespace

void add_backup(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "backup", "The whole cluster at one cut, into a folder and back");

  auto* create =
      add_command(*group, "create", "Write a backup of all shards as of one moment (audited)",
                  "  candorctl backup create /backups/2026-01-05 --keys /safe/keys-2026-01-05\n"
                  "  candorctl backup verify /backups/2026-01-05");
  auto c = std::make_shared<create_options>();
  create->add_option("DIR", c->folder, "an empty or absent folder, on this machine")->required();
  create
      ->add_option("--keys", c->keys_folder,
                   "write the keys of persons too, into another folder (audited)")
      ->type_name("DIR");
  create->callback([=, &with, &chosen] {
    chosen = [=, &with] { return creation{with, *c}.run(); };
  });

  auto* check = add_command(*group, "verify",
                            "Whether a backup is whole; needs no node and no keys; exits 10 if not",
                            "  candorctl backup verify /backups/2026-01-05");
  auto folder = std::make_shared<std::string>();
  check->add_option("DIR", *folder, "of data or of keys")->required();
  check->callback([=, &with, &chosen] { chosen = [=, &with] { return verify(with, *folder); }; });

  auto* back = add_command(
      *group, "restore", "Put a backup into a new, empty cluster with the same secrets (audited)",
      "  candorctl backup restore /backups/2026-01-05 --keys /safe/keys-2026-01-05");
  auto r = std::make_shared<restore_options>();
  back->add_option("DIR", r->folder, "what `backup create` wrote")->required();
  back->add_option("--keys", r->keys_folder, "the key backup")->type_name("DIR");
  back->add_flag("--leave-out-unreadable", r->leave_out,
                 "restore without the persons whose keys are not in the key backup");
  back->add_flag("--resume", r->resume, "go on with a restore of this backup that was broken off");
  back->callback([=, &with, &chosen] {
    chosen = [=, &with] { return restoration{with, *r}.run(); };
  });
}

} // namespace candor::ctl
