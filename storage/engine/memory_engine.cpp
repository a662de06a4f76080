#include <array>
#include <map>
#include <mutex>
#include <shared_mutex>

#include <fmt/format.h>

#include "storage/engine/engine.hpp"

namespace candor::engine {

namespace {

using rows = std::map<std::string, std::string, std::less<>>;
using tables = std::array<rows, table_count>;

/// A copy: what memory holds is small.
class memory_snapshot final : public snapshot {
public:
  explicit memory_snapshot(tables all)
    : tables_{std::move(all)} {}

  result<void> scan(table from, std::string_view begin, std::string_view end,
                    const visitor& visit) const override {
    CANDOR_ASSERT(static_cast<std::size_t>(from) < table_count);
    auto& all = tables_[static_cast<std::size_t>(from)];
    for (auto i = all.lower_bound(begin); i != all.end() && i->first < end; ++i)
      if (!visit(i->first, i->second))
        break;
    return {};
  }

private:
  tables tables_;
};

class memory_engine final : public engine {
public:
  explicit memory_engine(std::uint64_t capacity_bytes)
    : capacity_bytes_{capacity_bytes} {}

  result<void> write(const batch& operations, sync) override {
    std::unique_lock lock{mutex_};
    if (failed_)
      return fail(errc::read_only, "a write failed before; resume first");
    std::uint64_t more = 0;
    for (auto& op : operations) {
      CANDOR_ASSERT(static_cast<std::size_t>(op.table) < table_count);
      if (op.kind == operation::what::put)
        more += op.key.size() + op.value.size();
    }
    // Judged before anything is applied, so that a batch is applied whole or not at all. What the
    // batch overwrites or erases is not counted against it: a disk needs room for the new before
    // the old goes, too.
    if (more > 0 && (more > capacity_bytes_ || size_ > capacity_bytes_ - more)) {
      failed_ = true;
      return fail(errc::disk_full, fmt::format("{} bytes are all there is", capacity_bytes_));
    }
    for (auto& op : operations)
      apply(tables_[static_cast<std::size_t>(op.table)], op);
    return {};
  }

  result<std::optional<std::string>> get(table from, std::string_view key) const override {
    std::shared_lock lock{mutex_};
    auto& all = rows_of(from);
    if (auto i = all.find(key); i != all.end())
      return i->second;
    return std::nullopt;
  }

  result<void> scan(table from, std::string_view begin, std::string_view end,
                    const visitor& visit) const override {
    // A copy, so that the visitor sees one state and may call back.
    std::vector<std::pair<std::string, std::string>> found;
    if (begin < end) {
      std::shared_lock lock{mutex_};
      auto& all = rows_of(from);
      found.assign(all.lower_bound(begin), all.lower_bound(end));
    }
    for (auto& [key, value] : found)
      if (!visit(key, value))
        break;
    return {};
  }

  std::unique_ptr<::candor::engine::snapshot> snapshot() const override {
    std::shared_lock lock{mutex_};
    return std::make_unique<memory_snapshot>(tables_);
  }

  result<std::optional<std::pair<std::string, std::string>>>
  last(table from, std::string_view begin, std::string_view end) const override {
    if (begin >= end)
      return std::nullopt;
    std::shared_lock lock{mutex_};
    auto& all = rows_of(from);
    auto i = all.lower_bound(end);
    if (i == all.begin() || (--i)->first < begin)
      return std::nullopt;
    return std::optional<std::pair<std::string, std::string>>{*i};
  }

  result<void> flush() override {
    std::shared_lock lock{mutex_};
    if (failed_)
      return fail(errc::read_only, "a write failed before; resume first");
    return {};
  }

  result<void> resume() override {
    std::unique_lock lock{mutex_};
    failed_ = false;
    return {};
  }

  result<void> checkpoint(const std::filesystem::path&) override {
    return fail(errc::unavailable, "the memory engine keeps nothing that could be copied");
  }

  result<void> verify() const override { return {}; }

  std::uint64_t size_bytes() const override {
    std::shared_lock lock{mutex_};
    return size_;
  }

private:
  const rows& rows_of(table from) const {
    CANDOR_ASSERT(static_cast<std::size_t>(from) < table_count);
    return tables_[static_cast<std::size_t>(from)];
  }

  void apply(rows& all, const operation& op) {
    switch (op.kind) {
      case operation::what::put: {
        auto [i, fresh] = all.try_emplace(op.key);
        size_ += op.value.size() + (fresh ? op.key.size() : 0) - i->second.size();
        i->second = op.value;
        break;
      }
      case operation::what::erase:
        if (auto i = all.find(op.key); i != all.end())
          erase(all, i);
        break;
      case operation::what::erase_range:
        for (auto i = all.lower_bound(op.key); i != all.end() && i->first < op.value;)
          i = erase(all, i);
        break;
    }
  }

  rows::iterator erase(rows& all, rows::iterator i) {
    size_ -= i->first.size() + i->second.size();
    return all.erase(i);
  }

  mutable std::shared_mutex mutex_;
  tables tables_;
  std::uint64_t capacity_bytes_;
  std::uint64_t size_ = 0;
  bool failed_ = false;
};

} // namespace

std::unique_ptr<engine> make_memory_engine(std::uint64_t capacity_bytes) {
  return std::make_unique<memory_engine>(capacity_bytes);
}

} // namespace candor::engine
