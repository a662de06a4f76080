/// One suite for every side of the coordinator.

#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "cluster/coordination/etcd_coordinator.hpp"
#include "storage/base/limits.hpp"
#include "storage/engine/engine.hpp"
#include "tests/support/etcd_cluster.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::coordination;
using namespace std::chrono_literals;

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

/// One cluster of each size serves all of these tests, each under a prefix of its own.
side on_etcd(std::size_t members) {
  static test::etcd_cluster one{1};
  static test::etcd_cluster three{3};
  static int cases = 0;
  auto& cluster = members == 1 ? one : three;
  auto options = cluster.options("candor/case-" + std::to_string(++cases) + "/");
  options.deadline = 20s; // what is tested here is not time, and the machine may be busy
  auto made = make_etcd_coordinator(options);
  REQUIRE(made);
  return {"etcd of " + std::to_string(members), nullptr, std::move(*made)};
}

bool swap(coordinator& c, std::vector<change> changes) {
  auto done = c.compare_and_swap(changes);
  REQUIRE(done);
  return *done;
}

template <class Test>
void on_every_side(Test test) {
  test::temporary_folder folder;
  std::vector<std::function<side()>> sides{on_memory,
                                           [&] { return on_rocksdb(folder.path() / "db"); }};
  if (test::etcd_cluster::is_installed()) {
    sides.push_back([] { return on_etcd(1); });
    sides.push_back([] { return on_etcd(3); });
  } else {
    WARN("no etcd is installed (tools/setup): its sides are skipped");
  }
  for (const auto& make : sides) {
    auto s = make();
    INFO(s.name);
    test(*s.it);
  }
}

/// What a watch told, from whichever thread.
class told {
public:
  watcher listen() {
    return [this](std::string_view key, const versioned& now) {
      std::lock_guard guard{mutex_};
      all_.insert(std::string{key} + "=" + now.value);
    };
  }
  std::set<std::string> all() const {
    std::lock_guard guard{mutex_};
    return all_;
  }
  /// Watches are hints and come when they come; that they come at all is what is waited for.
  bool comes_to_hold(const std::string& what) const {
    for (const auto until = std::chrono::steady_clock::now() + 60s;
         std::chrono::steady_clock::now() < until; std::this_thread::sleep_for(2ms))
      if (all().contains(what))
        return true;
    return false;
  }

private:
  mutable std::mutex mutex_;
  std::set<std::string> all_;
};

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

TEST_CASE("keys and values too large, and a key named twice, are refused", "[coordination]") {
  on_every_side([](coordinator& c) {
    const auto refused = [&](std::vector<change> changes) {
      auto done = c.compare_and_swap(changes);
      REQUIRE(!done);
      return done.error().code;
    };
    const std::string key_most(limits::coordination_key_bytes, 'k');
    const std::string value_most(limits::coordination_value_bytes, 'v');
    CHECK(refused({{key_most + "k", 0, ""}}) == errc::too_large);
    CHECK(refused({{"a", 0, value_most + "v"}}) == errc::too_large);
    CHECK(refused({{"a", 0, "1"}, {"a", 0, "2"}}) == errc::bad_value);
    std::vector<change> heavy;
    for (std::size_t i = 0; i < 17; ++i)
      heavy.push_back({std::to_string(i), 0, value_most});
    CHECK(refused(heavy) == errc::too_large);
    CHECK(c.list("")->empty());

    heavy.resize(15);
    CHECK(swap(c, heavy));
    CHECK(swap(c, {{key_most, 0, value_most}}));
    CHECK(**c.get(key_most) == versioned{value_most, 1});
  });
}

TEST_CASE("no changes are no expectation that fails", "[coordination]") {
  on_every_side([](coordinator& c) { CHECK(swap(c, {})); });
}

TEST_CASE("keys and values are bytes", "[coordination]") {
  on_every_side([](coordinator& c) {
    const std::string odd{"\0\xff/\"\n", 5};
    for (const auto& value : {std::string{}, std::string{"x"}, std::string{"xy"}, odd}) {
      const auto key = odd + std::to_string(value.size());
      CHECK(swap(c, {{key, 0, value}}));
      CHECK(**c.get(key) == versioned{value, 1});
    }
    CHECK(c.list(odd)->size() == 4);
  });
}

TEST_CASE("a list is what begins with the prefix, in order", "[coordination]") {
  on_every_side([](coordinator& c) {
    CHECK(c.list("shards/")->empty());
    CHECK(
        swap(c, {{"shards/2", 0, "b"}, {"shards/1", 0, "a"}, {"shards0", 0, "x"}, {"s", 0, "y"}}));
    CHECK(swap(c, {{"shards/2", 1, "c"}}));
    using listed = std::vector<std::pair<std::string, versioned>>;
    CHECK(*c.list("shards/") == listed{{"shards/1", {"a", 1}}, {"shards/2", {"c", 2}}});
    CHECK(c.list("")->size() == 4);
  });
}

TEST_CASE("a list of more than a page is whole", "[coordination]") {
  on_every_side([](coordinator& c) {
    constexpr auto keys = 2 * limits::coordination_page_keys + 1;
    const auto name = [](std::size_t i) { return "shards/" + std::to_string(10'000 + i); };
    for (std::size_t i = 0; i < keys;) {
      std::vector<change> some;
      for (; some.size() < changes_max && i < keys; ++i)
        some.push_back({name(i), 0, std::to_string(i)});
      CHECK(swap(c, some));
    }
    const auto all = c.list("shards/");
    REQUIRE(all);
    REQUIRE(all->size() == keys);
    for (std::size_t i = 0; i < keys; ++i)
      CHECK((*all)[i] == std::pair{name(i), versioned{std::to_string(i), 1}});
  });
}

TEST_CASE("a list of more than a page shows one moment", "[coordination]") {
  on_every_side([](coordinator& c) {
    // Two keys on different pages that always change together.
    constexpr auto keys = limits::coordination_page_keys + 1;
    const auto name = [](std::size_t i) { return std::to_string(10'000 + i); };
    for (std::size_t i = 0; i < keys;) {
      std::vector<change> some;
      for (; some.size() < changes_max && i < keys; ++i)
        some.push_back({name(i), 0, "0"});
      CHECK(swap(c, some));
    }
    std::atomic<bool> enough = false;
    std::atomic<int> wrong = 0;
    std::thread writer{[&] {
      for (std::uint64_t v = 1; !enough; ++v) {
        const auto value = std::to_string(v);
        const change both[] = {{name(0), v, value}, {name(keys - 1), v, value}};
        wrong += c.compare_and_swap(both).value_or(false) ? 0 : 1;
      }
    }};
    for (int i = 0; i < 20; ++i) {
      const auto all = c.list("");
      CHECK((all && all->size() == keys && all->front().second == all->back().second));
    }
    enough = true;
    writer.join();
    CHECK(wrong == 0);
  });
}

TEST_CASE("a watch tells of its prefix and ends with its handle", "[coordination]") {
  on_every_side([](coordinator& c) {
    told seen;
    auto handle = c.watch("shards/", seen.listen());
    CHECK(swap(c, {{"shards/1", 0, "x"}, {"nodes/1", 0, "y"}}));
    CHECK(seen.comes_to_hold("shards/1=x"));
    CHECK(swap(c, {{"shards/1", 1, "y"}}));
    CHECK(seen.comes_to_hold("shards/1=y"));
    handle.reset();
    CHECK(swap(c, {{"shards/1", 2, "z"}}));
    CHECK(seen.all() == std::set<std::string>{"shards/1=x", "shards/1=y"});
  });
}

TEST_CASE("no call comes after a watch was released", "[coordination]") {
  on_every_side([](coordinator& c) {
    std::atomic<bool> enough = false;
    std::thread writer{[&] {
      for (std::uint64_t v = 0; !enough; ++v)
        if (!c.compare_and_swap(std::vector<change>{{"n", v, "x"}}))
          break;
    }};
    std::atomic<int> late = 0, calls = 0;
    for (int i = 0; i < 20; ++i) {
      auto released = std::make_shared<std::atomic<bool>>(false);
      auto handle = c.watch("n", [&, released](std::string_view, const versioned&) {
        ++calls;
        std::this_thread::sleep_for(1ms);
        late += *released ? 1 : 0;
      });
      std::this_thread::sleep_for(10ms);
      handle.reset();
      *released = true;
    }
    enough = true;
    writer.join();
    CHECK(late == 0);
    CHECK(calls > 0);
  });
}

TEST_CASE("a watch may outlive its coordinator", "[coordination]") {
  test::temporary_folder folder;
  std::vector<std::shared_ptr<void>> handles;
  on_every_side([&](coordinator& c) {
    handles.push_back(c.watch("n", [](std::string_view, const versioned&) {}));
    CHECK(swap(c, {{"n", 0, "x"}}));
  });
  handles.clear();
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
