/// The sides of the engine interface, so that every case of the suite runs on each.
#pragma once

#include <stdexcept>

#include "storage/engine/engine.hpp"
#include "tests/support/temporary_folder.hpp"

namespace candor::test {

enum class side { rocksdb, memory };

/// One engine, on a folder of its own where it needs one.
class engine_under_test {
public:
  explicit engine_under_test(side which, std::uint64_t capacity_bytes = ~std::uint64_t{0}) {
    if (which == side::memory) {
      engine_ = engine::make_memory_engine(capacity_bytes);
      return;
    }
    auto opened = engine::open_rocksdb(folder_ / "data");
    if (!opened)
      throw std::runtime_error{opened.error().to_string()};
    engine_ = std::move(*opened);
  }

  engine::engine& operator*() const { return *engine_; }
  engine::engine* operator->() const { return engine_.get(); }

private:
  temporary_folder folder_;
  std::unique_ptr<engine::engine> engine_;
};

inline engine::operation put(engine::table to, std::string key, std::string value) {
  return {engine::operation::what::put, to, std::move(key), std::move(value)};
}

inline engine::operation erase(engine::table from, std::string key) {
  return {engine::operation::what::erase, from, std::move(key), {}};
}

inline engine::operation erase_range(engine::table from, std::string begin, std::string end) {
  return {engine::operation::what::erase_range, from, std::move(begin), std::move(end)};
}

using rows = std::vector<std::pair<std::string, std::string>>;

/// All rows of [begin, end) of an engine or a snapshot; throws what it says instead.
template <class Scanned>
rows rows_between(const Scanned& db, engine::table from, std::string_view begin,
                  std::string_view end) {
  rows found;
  auto scanned = db.scan(from, begin, end, [&](std::string_view key, std::string_view value) {
    found.emplace_back(key, value);
    return true;
  });
  if (!scanned)
    throw std::runtime_error{scanned.error().to_string()};
  return found;
}

} // namespace candor::test
