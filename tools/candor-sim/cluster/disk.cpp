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

class disk_engine final : public engine::engine {
public:
  explicit disk_engine(disk& on)
    : on_{on} {}

  result<void> write(const batch& operations, sync durable) override {
    if (on_.failed_)
      return fail(errc::read_only, "a write failed before; resume first");
    if (on_.full_ && !operations.empty()) {
      on_.failed_ = true;
      return fail(errc::disk_full, "nothing is left of the simulated disk");
    }
    CANDOR_TRY_VOID(on_.present_->write(operations, durable));
    for (const auto& op : operations)
      on_.flipped_.erase({op.table, op.key});
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
      return fail(errc::corrupt, "a row's checksum does not fit");
    return on_.present_->get(from, key);
  }

  result<void> scan(table from, std::string_view begin, std::string_view end,
                    const visitor& visit) const override {
    auto flipped = false;
    CANDOR_TRY_VOID(on_.present_->scan(from, begin, end, [&](auto key, auto value) {
      flipped = !on_.flipped_.empty() && on_.flipped_.contains({from, std::string{key}});
      return !flipped && visit(key, value);
    }));
    return flipped ? fail(errc::corrupt, "a row's checksum does not fit") : result<void>{};
  }

  std::unique_ptr<::candor::engine::snapshot> snapshot() const override {
    return on_.present_->snapshot();
  }

  result<std::optional<std::pair<std::string, std::string>>>
  last(table from, std::string_view begin, std::string_view end) const override {
    CANDOR_TRY(found, on_.present_->last(from, begin, end));
    if (found && on_.flipped_.contains({from, found->first}))
      return fail(errc::corrupt, "a row's checksum does not fit");
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
  failed_ = false;
}

void disk::crash() {
  if (!unsynced_.empty()) {
    present_ = make_memory_engine();
    copy_all(*durable_, *present_);
    unsynced_.clear();
  }
  failed_ = false;
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
