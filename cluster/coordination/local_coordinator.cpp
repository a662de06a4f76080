#include "cluster/coordination/coordinator.hpp"

#include <list>
#include <mutex>

#include "storage/base/limits.hpp"
#include "storage/engine/keys.hpp"

namespace candor::coordination {

namespace {

/// No shard has this number: the cluster has at most 32 768.
constexpr shard_id outside_shards = 0xffff;

/// A stored value: 8 bytes of version, then the value.
std::string pack(const versioned& x) {
  std::string bytes;
  engine::append_big_endian(bytes, x.version, 8);
  return bytes + x.value;
}

result<versioned> unpack(std::string_view bytes) {
  if (bytes.size() < 8)
    return fail(errc::corrupt, "a coordination record is too short");
  return versioned{std::string{bytes.substr(8)}, engine::read_big_endian(bytes, 8)};
}

class local_coordinator final : public coordinator {
public:
  explicit local_coordinator(engine::engine& db)
    : db_{db} {}

  result<std::optional<versioned>> get(std::string_view key) override {
    std::lock_guard guard{mutex_};
    return read(key);
  }

  result<bool> compare_and_swap(std::span<const change> changes) override {
    CANDOR_TRY_VOID(check_changes(changes));
    std::lock_guard guard{mutex_};
    engine::batch batch;
    std::vector<versioned> written;
    for (const auto& c : changes) {
      CANDOR_TRY(found, read(c.key));
      if ((found ? found->version : 0) != c.expected_version)
        return false;
      written.push_back({c.value, c.expected_version + 1});
      batch.push_back({engine::operation::what::put, engine::table::meta,
                       engine::named_key(outside_shards, c.key), pack(written.back())});
    }
    CANDOR_TRY_VOID(db_.write(batch, engine::sync::yes));
    std::lock_guard calling{watchers_->mutex};
    for (std::size_t i = 0; i < changes.size(); ++i)
      for (const auto& w : watchers_->all)
        if (changes[i].key.starts_with(w.prefix))
          w.call(changes[i].key, written[i]);
    return true;
  }

  result<std::vector<std::pair<std::string, versioned>>> list(std::string_view prefix) override {
    std::lock_guard guard{mutex_};
    std::vector<std::pair<std::string, versioned>> all;
    std::optional<error> wrong;
    const auto first = engine::named_key(outside_shards, prefix);
    const auto name_at = engine::named_key(outside_shards, "").size();
    CANDOR_TRY_VOID(
        db_.scan(engine::table::meta, first, engine::prefix_end(first), [&](auto key, auto bytes) {
          auto value = unpack(bytes);
          if (!value)
            wrong = value.error();
          else if (all.size() == limits::coordination_listed)
            wrong = error{errc::too_many, "more keys have this prefix than a listing holds"};
          else
            all.emplace_back(key.substr(name_at), std::move(*value));
          return !wrong;
        }));
    if (wrong)
      return tl::unexpected{*wrong};
    return all;
  }

  std::shared_ptr<void> watch(std::string prefix, watcher call) override {
    std::lock_guard guard{watchers_->mutex};
    auto it = watchers_->all.insert(watchers_->all.end(), {std::move(prefix), std::move(call)});
    // The handle may outlive the coordinator: it holds the watchers, not the coordinator.
    return {nullptr, [watchers = watchers_, it](void*) {
              std::lock_guard until_no_call_is_under_way{watchers->mutex};
              watchers->all.erase(it);
            }};
  }

private:
  struct watching {
    std::string prefix;
    watcher call;
  };
  struct watchers {
    std::mutex mutex; ///< held while they are called
    std::list<watching> all;
  };

  result<std::optional<versioned>> read(std::string_view key) {
    CANDOR_TRY(bytes, db_.get(engine::table::meta, engine::named_key(outside_shards, key)));
    if (!bytes)
      return std::nullopt;
    CANDOR_TRY(value, unpack(*bytes));
    return std::optional{std::move(value)};
  }

  engine::engine& db_;
  std::mutex mutex_;
  std::shared_ptr<watchers> watchers_ = std::make_shared<watchers>();
};

} // namespace

std::unique_ptr<coordinator> make_local_coordinator(engine::engine& db) {
  return std::make_unique<local_coordinator>(db);
}

} // namespace candor::coordination
