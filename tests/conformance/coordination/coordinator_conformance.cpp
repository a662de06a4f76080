/// One suite for every side of the coordinator.

#include <catch2/catch.hpp>

#include <thread>

#include "cluster/coordination/coordinator.hpp"
#include "storage/engine/engine.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::coordination;

namespace {

/// A side, with whatever it needs beneath it.
struct side {
  std::string name;
  std::unique_ptr<engine::engine> db;
  std::unique_ptr<coordinator> it;
};

side on_memory() {
  side s{"local on memory", engine::make_memory_engine(), nullptr};
  s.it = make_local_coordinator(*s.db);
  return s;
}

side on_rocksdb(const std::filesystem::path& folder) {
  auto db = engine::open_rocksdb(folder);
  REQUIRE(db);
  side s{"local on RocksDB", std::move(*db), nullptr};
  s.it = make_local_coordinator(*s.db);
  return s;
}

bool swap(coordinator& c, std::vector<change> changes) {
  auto done = c.compare_and_swap(changes);
  REQUIRE(done);
  return *done;
}

template <class Test>
void on_every_side(Test test) {
  test::temporary_folder folder;
  for (auto make : {0, 1}) {
    auto s = make == 0 ? on_memory() : on_rocksdb(folder.path() / "db");
    INFO(s.name);
    test(*s.it);
  }
}

} // namespace

TEST_CASE("what does not exist is nothing, and not an error", "[coordination]") {
  on_every_side([](coordinator& c) {
    auto found = c.get("shards/0001");
    REQUIRE(found);
    CHECK(!*found);
  });
}

TEST_CASE("a key is created only where it does not exist", "[coordination]") {
  on_every_side([](coordinator& c) {
    CHECK(swap(c, {{"a", 0, "one"}}));
    CHECK(!swap(c, {{"a", 0, "two"}}));
    CHECK(**c.get("a") == versioned{"one", 1});
  });
}

TEST_CASE("a swap with an old version changes nothing", "[coordination]") {
  on_every_side([](coordinator& c) {
    CHECK(swap(c, {{"a", 0, "one"}}));
    CHECK(swap(c, {{"a", 1, "two"}}));
    CHECK(!swap(c, {{"a", 1, "three"}}));
    CHECK(**c.get("a") == versioned{"two", 2});
  });
}

TEST_CASE("a swap of several keys is whole or not at all", "[coordination]") {
  on_every_side([](coordinator& c) {
    CHECK(swap(c, {{"a", 0, "one"}}));
    CHECK(!swap(c, {{"b", 0, "new"}, {"a", 7, "wrong"}}));
    CHECK(!*c.get("b"));
    CHECK(swap(c, {{"b", 0, "new"}, {"a", 1, "two"}}));
    CHECK(**c.get("b") == versioned{"new", 1});
  });
}

TEST_CASE("more changes than fit are refused", "[coordination]") {
  on_every_side([](coordinator& c) {
    std::vector<change> many;
    for (std::size_t i = 0; i <= changes_max; ++i)
      many.push_back({std::to_string(i), 0, "x"});
    auto done = c.compare_and_swap(many);
    REQUIRE(!done);
    CHECK(done.error().code == errc::too_many);
    CHECK(!*c.get("0"));
  });
}

TEST_CASE("a watch tells of its prefix and ends with its handle", "[coordination]") {
  on_every_side([](coordinator& c) {
    std::vector<std::string> seen;
    auto handle = c.watch("shards/", [&](std::string_view key, const versioned& now) {
      seen.push_back(std::string{key} + "=" + now.value);
    });
    swap(c, {{"shards/1", 0, "x"}, {"nodes/1", 0, "y"}});
    handle.reset();
    swap(c, {{"shards/1", 1, "z"}});
    CHECK(seen == std::vector<std::string>{"shards/1=x"});
  });
}

TEST_CASE("of many that swap at once, each version has one winner", "[coordination]") {
  on_every_side([](coordinator& c) {
    CHECK(swap(c, {{"n", 0, "0"}}));
    constexpr int threads = 4, rounds = 50;
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t)
      all.emplace_back([&c] {
        for (int done = 0; done < rounds;) {
          auto now = c.get("n");
          change next{"n", (*now)->version, std::to_string(std::stoi((*now)->value) + 1)};
          done += *c.compare_and_swap({&next, 1}) ? 1 : 0;
        }
      });
    for (auto& t : all)
      t.join();
    CHECK((*c.get("n"))->value == std::to_string(threads * rounds));
  });
}

TEST_CASE("what was agreed survives a restart", "[coordination]") {
  test::temporary_folder folder;
  {
    auto s = on_rocksdb(folder.path());
    CHECK(swap(*s.it, {{"a", 0, "one"}}));
  }
  auto s = on_rocksdb(folder.path());
  CHECK(**s.it->get("a") == versioned{"one", 1});
}
