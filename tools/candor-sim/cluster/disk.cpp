#include "tools/candor-sim/cluster/disk.hpp"

#include "storage/engine/keys.hpp"

namespace candor::sim {

namespace {

using namespace engine;

void copy_all(const engine::engine& from, engine::engine& to) {
  batch all;
  for (std::size_t t = 0; t < table_count; ++t)
    (void)from.scan(static_cast<table>(t), "", std::string(64, '\xff'), [&](auto key, auto value) {
      all.push_back(
          {operation::what::put, static_cast<table>(t), std::string{key}, std::string{value}});
      return true;
    });
  (void)to.write(all, sync::no);
}

} // namespace

/// Of the rows as they were; what flipped since is flipped here too.
class disk_snapshot final : public engine::snapshot {
public:
  explicit disk_snapshot(const disk& on)
    : on_{on}
    , state_{on.present_->snapshot()} {}

  result<void> scan(table from, std::string_view begin, std::string_view end,
                    const visitor& visit) const override {
    return on_.scan_good(state_.get(), from, begin, end, visit);
  }

private:
  const disk& on_;
  std::unique_ptr<engine::snapshot> state_;
};

class disk_engine final : public engine::engine {
public:
  explicit disk_engine(disk& on)
    : on_{on} {}

  result<void> write(const batch& operations, sync durable) override {
    if (on_.failed_)
      return fail(errc::read_only, "a write failed before; resume first");
    if (on_.compaction_failed_) {
      on_.failed_ = true;
      return on_.corrupt();
    }
    if (on_.full_ && !operations.empty()) {
      on_.failed_ = true;
      return fail(errc::disk_full, "nothing is left of the simulated disk");
    }
    CANDOR_TRY_VOID(on_.present_->write(operations, durable));
    for (const auto& op : operations)
      on_.unflip(op);
    on_.unsynced_.insert(on_.unsynced_.end(), operations.begin(), operations.end());
    if (durable == sync::yes) {
      ++on_.syncs_;
      CANDOR_TRY_VOID(on_.durable_->write(on_.unsynced_, sync::yes));
      on_.unsynced_.clear();
    }
    return {};
  }

  result<std::optional<std::string>> get(table from, std::string_view key) const override {
    if (on_.flipped_.contains({from, std::string{key}}))
      return on_.corrupt();
    return on_.present_->get(from, key);
  }

  result<void> scan(table from, std::string_view begin, std::string_view end,
                    const visitor& visit) const override {
    return on_.scan_good(nullptr, from, begin, end, visit);
  }

  std::unique_ptr<::candor::engine::snapshot> snapshot() const override {
    return std::make_unique<disk_snapshot>(on_);
  }

  result<std::optional<std::pair<std::string, std::string>>>
  last(table from, std::string_view begin, std::string_view end) const override {
    CANDOR_TRY(found, on_.present_->last(from, begin, end));
    if (found && on_.flipped_.contains({from, found->first}))
      return on_.corrupt();
    return std::move(found);
  }

  result<void> flush() override { return {}; }

  result<void> resume() override {
    if (on_.full_)
      return fail(errc::disk_full, "nothing is left of the simulated disk");
    on_.failed_ = false;
    return {};
  }

  result<void> checkpoint(const std::filesystem::path&) override {
    return fail(errc::unavailable, "the simulated disk has no files");
  }

  result<void> verify() const override {
    return on_.flipped_.empty() ? result<void>{} : fail(errc::corrupt, "a checksum does not fit");
  }

  std::uint64_t size_bytes() const override { return on_.present_->size_bytes(); }

private:
  disk& on_;
};

disk::disk() {
  wipe();
}

void disk::wipe() {
  durable_ = make_memory_engine();
  present_ = make_memory_engine();
  unsynced_.clear();
  flipped_.clear();
  failed_ = compaction_failed_ = false;
}

void disk::crash() {
  if (!unsynced_.empty()) {
    present_ = make_memory_engine();
    copy_all(*durable_, *present_);
    unsynced_.clear();
    std::erase_if(flipped_, [&](const row& r) {
      auto there = present_->get(r.first, r.second);
      return !there || !*there;
    });
  }
  failed_ = compaction_failed_ = false;
}

std::unique_ptr<engine::engine> disk::open() {
  return std::make_unique<disk_engine>(*this);
}

bool disk::flip(table table, const std::string& key) {
  auto there = present_->get(table, key);
  if (!there || !*there)
    return false;
  flipped_.insert({table, key});
  return true;
}

bool disk::flip_some(std::uint64_t which) {
  std::vector<row> all;
  auto first = which % table_count;
  for (std::size_t i = 0; i < table_count && all.empty(); ++i) {
    auto from = static_cast<table>((first + i) % table_count);
    (void)present_->scan(from, "", std::string(64, '\xff'), [&](auto key, auto) {
      all.emplace_back(from, std::string{key});
      return true;
    });
  }
  if (all.empty())
    return false;
  flipped_.insert(all[which / table_count % all.size()]);
  return true;
}

void disk::compact() {
  compaction_failed_ = spoilt();
}

tl::unexpected<error> disk::corrupt() const {
  if (on_corrupt)
    on_corrupt();
  return fail(errc::corrupt, "a row's checksum does not fit");
}

result<void> disk::scan_good(const snapshot* state, table from, std::string_view begin,
                             std::string_view end, const visitor& visit) const {
  auto flipped = false;
  auto good = [&](std::string_view key, std::string_view value) {
    flipped = !flipped_.empty() && flipped_.contains({from, std::string{key}});
    return !flipped && visit(key, value);
  };
  CANDOR_TRY_VOID(state ? state->scan(from, begin, end, good)
                        : present_->scan(from, begin, end, good));
  return flipped ? corrupt() : result<void>{};
}

void disk::unflip(const operation& written) {
  if (written.kind != operation::what::erase_range) {
    flipped_.erase({written.table, written.key});
    return;
  }
  std::erase_if(flipped_, [&](const row& r) {
    return r.first == written.table && r.second >= written.key && r.second < written.value;
  });
}

std::uint64_t digest_of(const engine::engine& db, std::uint16_t shard) {
  std::uint64_t hash = 0xcbf29ce484222325;
  auto add = [&](std::string_view bytes) {
    for (unsigned char c : bytes)
      hash = (hash ^ c) * 0x100000001b3;
    hash = (hash ^ bytes.size()) * 0x100000001b3;
  };
  for (std::size_t t = 1; t < table_count; ++t) { // 0: the log
    (void)db.scan(static_cast<table>(t), shard_begin(shard), shard_end(shard),
                  [&](auto key, auto value) {
                    add(key);
                    add(value);
                    return true;
                  });
    add("/");
  }
  return hash;
}

} // namespace candor::sim
