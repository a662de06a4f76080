#include <atomic>
#include <chrono>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include <catch2/catch.hpp>
#include <csignal>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/base/limits.hpp"
#include "storage/base/rng.hpp"
#include "storage/stores/user_keys.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::stores;
using test::temporary_folder;
namespace fs = std::filesystem;

namespace {

constexpr shard_id shard = 7;

node_secrets secrets_of(std::uint8_t first) {
  node_secrets secrets;
  secrets.master_key.fill(first);
  secrets.cluster_secret.fill(static_cast<std::uint8_t>(first + 1));
  return secrets;
}

std::unique_ptr<user_keys> open(const fs::path& folder, std::uint8_t master = 1) {
  auto keys = open_user_keys(folder, secrets_of(master));
  INFO((keys ? "" : keys.error().to_string()));
  REQUIRE(keys);
  return std::move(*keys);
}

key_ref allocate(user_keys& keys, key_ref after = {}) {
  auto key = keys.allocate(shard, after);
  INFO((key ? "" : key.error().to_string()));
  REQUIRE(key);
  return *key;
}

std::array<std::uint8_t, 24> nonce_of(std::uint8_t number) {
  std::array<std::uint8_t, 24> nonce{};
  nonce[23] = number;
  return nonce;
}

std::string seal(user_keys& keys, key_ref key, std::string_view plain) {
  auto sealed = keys.seal(key, nonce_of(1), "whose", plain);
  INFO((sealed ? "" : sealed.error().to_string()));
  REQUIRE(sealed);
  return *sealed;
}

/// "open", or the slug of the error.
std::string outcome(user_keys& keys, key_ref key, std::string_view sealed) {
  auto opened = keys.open(key, "whose", sealed);
  return opened ? "open" : std::string{info(opened.error().code).slug};
}

std::string content(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  REQUIRE(in);
  return {std::istreambuf_iterator<char>{in}, {}};
}

void replace(const fs::path& file, std::string_view bytes) {
  std::ofstream out{file, std::ios::binary | std::ios::trunc};
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  REQUIRE(out);
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (auto& file : fs::directory_iterator{folder})
    names.insert(file.path().filename());
  return names;
}

/// Waits for what another thread does, for ten seconds at most.
template <class Condition>
bool comes_true(Condition condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition())
      return true;
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
  return false;
}

} // namespace

// ---- sealing ------------------------------------------------------------------------------------

TEST_CASE("what was sealed opens with the same key, and after a new start", "[keys]") {
  temporary_folder folder;
  key_ref key;
  std::string sealed;
  {
    auto keys = open(folder / "keys");
    key = allocate(*keys);
    sealed = seal(*keys, key, "a profile");
    CHECK(sealed.size() == 24 + 9 + 16);
    CHECK(sealed.substr(0, 24) ==
          std::string_view{reinterpret_cast<const char*>(nonce_of(1).data()), 24});
    CHECK(sealed.find("profile") == std::string::npos);
    CHECK(keys->open(key, "whose", sealed).value() == "a profile");
  }
  CHECK(open(folder / "keys")->open(key, "whose", sealed).value() == "a profile");
}

TEST_CASE("an empty value can be sealed", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  auto key = allocate(*keys);
  CHECK(keys->open(key, "whose", seal(*keys, key, "")).value() == "");
}

TEST_CASE("nothing opens under another key, for another person, or changed", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  auto key = allocate(*keys);
  auto other = allocate(*keys, key);
  auto sealed = seal(*keys, key, "a profile");
  CHECK(keys->open(other, "whose", sealed).error().code == errc::crypto_failed);
  CHECK(keys->open(key, "hers", sealed).error().code == errc::crypto_failed);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    auto bad = sealed;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    CHECK(keys->open(key, "whose", bad).error().code == errc::crypto_failed);
    CHECK(keys->open(key, "whose", sealed.substr(0, i)).error().code == errc::crypto_failed);
  }
}

TEST_CASE("a key that cannot be is corrupt, not another one", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  auto key = allocate(*keys);
  for (key_ref bad : {key_ref{}, key_ref{key.page, limits::keys_per_page}, key_ref{key.page + 1, 0},
                      key_ref{1, 0}}) {
    CHECK(keys->seal(bad, nonce_of(1), "whose", "x").error().code == errc::corrupt);
    CHECK(keys->tag(bad, "x").error().code == errc::corrupt);
    CHECK_FALSE(keys->destroy(bad));
  }
}

TEST_CASE("a tag is the same for the same data and key, and differs for others", "[keys]") {
  temporary_folder folder;
  key_ref key, other;
  std::array<std::uint8_t, 16> tag;
  {
    auto keys = open(folder / "keys");
    key = allocate(*keys);
    other = allocate(*keys, key);
    tag = keys->tag(key, "event-1").value();
    CHECK(keys->tag(key, "event-1").value() == tag);
    CHECK(keys->tag(key, "event-2").value() != tag);
    CHECK(keys->tag(other, "event-1").value() != tag);
  }
  auto keys = open(folder / "keys");
  CHECK(keys->tag(key, "event-1").value() == tag);
  REQUIRE(keys->destroy(key));
  CHECK(keys->tag(key, "event-1").error().code == errc::key_destroyed);
}

// ---- allocation ---------------------------------------------------------------------------------

TEST_CASE("keys come in order, each once, over several pages", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  std::pair<std::uint64_t, std::uint16_t> before{};
  std::set<std::string> seals;
  key_ref key;
  for (std::size_t i = 0; i < 3 * limits::keys_per_page; ++i) {
    key =
        allocate(*keys, i % 2 ? key : key_ref{}); // whether or not the caller says what it recorded
    CHECK(key.page == (std::uint64_t{shard} << 48 | (1 + i / limits::keys_per_page)));
    CHECK(key.slot == i % limits::keys_per_page);
    REQUIRE(std::pair{key.page, key.slot} > before);
    before = {key.page, key.slot};
    seals.insert(seal(*keys, key, "the same"));
  }
  CHECK(seals.size() == 3 * limits::keys_per_page); // so every key is another
}

TEST_CASE("pages of different shards are apart", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  std::set<std::uint64_t> pages;
  for (shard_id s : {0, 1, 65535}) {
    auto key = keys->allocate(s, {});
    REQUIRE(key);
    pages.insert(key->page);
    CHECK(key->page >> 48 == s);
    CHECK(keys->allocate(static_cast<shard_id>(s ^ 2), *key).error().code == errc::bad_value);
  }
  CHECK(pages.size() == 3);
  CHECK(names_in(folder / "keys" / "pages") ==
        std::set<std::string>{"0-1.page", "1-1.page", "65535-1.page"});
}

TEST_CASE("the next page is made before the present one is used up", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  auto next_page = folder / "keys" / "pages" / "7-2.page";
  key_ref key;
  for (std::size_t i = 0; i < limits::keys_per_page * 3 / 4; ++i)
    key = allocate(*keys, key);
  std::this_thread::sleep_for(std::chrono::milliseconds{20});
  CHECK_FALSE(fs::exists(next_page));
  key = allocate(*keys, key);
  CHECK(comes_true([&] { return fs::exists(next_page); }));
}

TEST_CASE("after a new start allocation goes on after the last one recorded", "[keys]") {
  temporary_folder folder;
  key_ref recorded;
  {
    auto keys = open(folder / "keys");
    for (int i = 0; i < 10; ++i)
      recorded = allocate(*keys, recorded);
  }
  auto keys = open(folder / "keys");
  CHECK(allocate(*keys, recorded) == key_ref{recorded.page, 10});
  CHECK(allocate(*keys, recorded) == key_ref{recorded.page, 11});
}

TEST_CASE("a key beyond every page there is leads to a page that nobody has used", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  key_ref lost{std::uint64_t{shard} << 48 | 9, 3}; // the log remembers pages that this folder lost
  auto key = allocate(*keys, lost);
  CHECK(key.page > lost.page);
  CHECK(key.slot == 0);
  seal(*keys, key, "usable");
}

TEST_CASE("threads that allocate at a time get different keys", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  std::mutex mutex;
  std::set<std::pair<std::uint64_t, std::uint16_t>> given;
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        auto key = keys->allocate(shard, {});
        if (!key) {
          ++failed;
          continue;
        }
        std::lock_guard lock{mutex};
        given.emplace(key->page, key->slot);
      }
    });
  for (auto& thread : threads)
    thread.join();
  CHECK(failed == 0);
  CHECK(given.size() == 800);
}

TEST_CASE("more pages are in use than the memory keeps", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  std::vector<std::pair<key_ref, std::string>> all;
  for (std::size_t i = 0; i < limits::key_pages_cached + 50; ++i) {
    auto key = keys->allocate(static_cast<shard_id>(i), {});
    REQUIRE(key);
    all.emplace_back(*key, seal(*keys, *key, std::to_string(i)));
  }
  for (std::size_t i = 0; i < all.size(); i += 7)
    CHECK(keys->open(all[i].first, "whose", all[i].second).value() == std::to_string(i));
}

// ---- destroying ---------------------------------------------------------------------------------

TEST_CASE("a destroyed key opens nothing, now and after a new start; its neighbours stay",
          "[keys]") {
  temporary_folder folder;
  key_ref key, neighbour;
  std::string sealed, kept;
  {
    auto keys = open(folder / "keys");
    key = allocate(*keys);
    neighbour = allocate(*keys, key);
    sealed = seal(*keys, key, "secret");
    kept = seal(*keys, neighbour, "kept");
    REQUIRE(keys->destroy(key));
    CHECK(outcome(*keys, key, sealed) == "key_destroyed");
    CHECK(keys->seal(key, nonce_of(2), "whose", "x").error().code == errc::key_destroyed);
    CHECK(keys->destroy(key)); // idempotent
    CHECK(outcome(*keys, neighbour, kept) == "open");
    CHECK(allocate(*keys, neighbour).slot == 2);
  }
  auto keys = open(folder / "keys");
  CHECK(outcome(*keys, key, sealed) == "key_destroyed");
  CHECK(outcome(*keys, neighbour, kept) == "open");
  CHECK(keys->destroy(key));
  // allocation never gives a destroyed key
  CHECK(allocate(*keys).slot == 1);
}

TEST_CASE("the old page's bytes are overwritten before they are freed", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  auto key = allocate(*keys);
  auto page = folder / "keys" / "pages" / "7-1.page";
  auto old = content(page);
  fs::create_hard_link(page, folder / "watch"); // the same bytes on disk, under a name that stays
  REQUIRE(keys->destroy(key));
  auto left = content(folder / "watch");
  REQUIRE(left.size() == old.size());
  std::size_t same = 0;
  for (std::size_t i = 0; i < old.size(); ++i)
    same += left[i] == old[i];
  CHECK(same < old.size() / 50); // 1 in 256 by chance
  auto now = content(page);
  CHECK(now.substr(0, 20) == old.substr(0, 20));   // the header
  CHECK(now.substr(20, 72) != old.substr(20, 72)); // another page key
  CHECK(names_in(folder / "keys" / "pages") == std::set<std::string>{"7-1.page"});
}

TEST_CASE("after destroying, the page itself holds zeros where the key was", "[keys]") {
  temporary_folder folder;
  auto page = folder / "keys" / "pages" / "7-1.page";
  auto keys = open(folder / "keys");
  auto key = allocate(*keys, allocate(*keys));
  // as whoever holds the folder and the master key would read it; the layout stands in
  // user_keys.cpp
  auto slots_of = [&] {
    auto file = content(page);
    auto bytes = reinterpret_cast<const unsigned char*>(file.data());
    auto open_part = [&](std::size_t begin, std::size_t size, const unsigned char* under) {
      std::string plain(size - 40, '\0');
      REQUIRE(crypto_aead_xchacha20poly1305_ietf_decrypt(
                  reinterpret_cast<unsigned char*>(plain.data()), nullptr, nullptr,
                  bytes + begin + 24, size - 24, bytes, 20, bytes + begin, under) == 0);
      return plain;
    };
    auto page_key = open_part(20, 72, secrets_of(1).master_key.data());
    return open_part(92, 40 + 256 * 33, reinterpret_cast<const unsigned char*>(page_key.data()));
  };
  auto key_in = [&](const std::string& slots) { return slots.substr(256 + key.slot * 32u, 32); };
  auto before = slots_of();
  CHECK(before[key.slot] == 1);
  CHECK(key_in(before) != std::string(32, '\0'));
  REQUIRE(keys->destroy(key));
  auto after = slots_of();
  CHECK(after[key.slot] == 0);
  CHECK(key_in(after) == std::string(32, '\0'));
  CHECK(after.find(key_in(before)) == std::string::npos);
  // and every other key is what it was
  auto rest = before;
  rest[key.slot] = 0;
  rest.replace(256 + key.slot * 32u, 32, 32, '\0');
  CHECK(after == rest);
}

TEST_CASE("whatever step a crash stopped it at, destroying is finished or undone", "[keys]") {
  temporary_folder folder;
  auto page = folder / "keys" / "pages" / "7-1.page";
  auto made = fs::path{page.string() + ".tmp"};
  auto dying = fs::path{page.string() + ".dying"};
  key_ref key, neighbour;
  std::string sealed, kept, before, after;
  {
    auto keys = open(folder / "keys");
    key = allocate(*keys);
    neighbour = allocate(*keys, key);
    sealed = seal(*keys, key, "secret");
    kept = seal(*keys, neighbour, "kept");
    before = content(page);
    REQUIRE(keys->destroy(key));
    after = content(page);
  }
  std::string expected;
  SECTION("the new page half written") {
    replace(page, before);
    replace(made, after.substr(0, 1000));
    expected = "open";
  }
  SECTION("the new page written") {
    replace(page, before);
    replace(made, after);
    expected = "open";
  }
  SECTION("the old page has its second name") {
    replace(page, before);
    replace(made, after);
    fs::create_hard_link(page, dying);
    expected = "open";
  }
  SECTION("the old page has its second name, and the new one was shredded by the next start") {
    replace(page, before);
    fs::create_hard_link(page, dying);
    expected = "open";
  }
  SECTION("the new page took the name") {
    replace(dying, before);
    expected = "key_destroyed";
  }
  SECTION("the old page half overwritten") {
    auto half = before;
    std::fill_n(half.begin(), half.size() / 2, '\x5a');
    replace(dying, half);
    expected = "key_destroyed";
  }
  SECTION("the old page emptied") {
    replace(dying, "");
    expected = "key_destroyed";
  }
  if (fs::exists(made))
    fs::create_hard_link(made, folder / "watch");
  else if (fs::exists(dying) && !fs::equivalent(dying, page))
    fs::create_hard_link(dying, folder / "watch");
  auto watched = fs::exists(folder / "watch") ? content(folder / "watch") : "";

  auto keys = open(folder / "keys");
  CHECK(names_in(folder / "keys" / "pages") == std::set<std::string>{"7-1.page"});
  CHECK(outcome(*keys, key, sealed) == expected);
  CHECK(outcome(*keys, neighbour, kept) == "open");
  if (!watched.empty())
    CHECK(content(folder / "watch") != watched); // what is thrown away is overwritten
  // and it can be done (again)
  REQUIRE(keys->destroy(key));
  CHECK(outcome(*keys, key, sealed) == "key_destroyed");
  CHECK(outcome(*keys, neighbour, kept) == "open");
  CHECK(names_in(folder / "keys" / "pages") == std::set<std::string>{"7-1.page"});
}

TEST_CASE("a page that was never finished is no page", "[keys]") {
  temporary_folder folder;
  open(folder / "keys");
  replace(folder / "keys" / "pages" / "7-1.page.tmp", "half a page");
  auto keys = open(folder / "keys");
  CHECK(names_in(folder / "keys" / "pages").empty());
  seal(*keys, allocate(*keys), "usable");
}

TEST_CASE("a page that vanished while it was rewritten is corrupt, and said so at open", "[keys]") {
  temporary_folder folder;
  allocate(*open(folder / "keys"));
  auto page = folder / "keys" / "pages" / "7-1.page";
  fs::rename(page, page.string() + ".dying");
  CHECK(open_user_keys(folder / "keys", secrets_of(1)).error().code == errc::corrupt);
  CHECK(fs::exists(page.string() + ".dying")); // left for whoever can tell what happened
}

TEST_CASE("kill -9 while keys are destroyed loses no other key and forgets no destruction",
          "[keys]") {
  temporary_folder folder;
  std::map<std::uint16_t, std::string> seals;
  std::uint64_t page = 0;
  {
    auto keys = open(folder / "keys");
    for (std::size_t i = 0; i < limits::keys_per_page; ++i) {
      auto key = allocate(*keys);
      page = key.page;
      seals[key.slot] = seal(*keys, key, std::to_string(i));
    }
  }
  int destroyed = 0; // slots [0, destroyed) surely are
  for (int round = 0; round < 12 && destroyed < 200; ++round) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      auto keys = open_user_keys(folder / "keys", secrets_of(1));
      for (int slot = destroyed; keys && slot < 256; ++slot) {
        if (!(*keys)->destroy({page, static_cast<std::uint16_t>(slot)}))
          break;
        auto told = static_cast<char>(1);
        if (::write(ends[1], &told, 1) != 1)
          break;
      }
      ::_exit(1); // an error, which the parent sees as an end; else it is killed before
    }
    ::close(ends[1]);
    char told;
    for (int i = 0; i < 3; ++i) {
      REQUIRE(::read(ends[0], &told, 1) == 1);
      ++destroyed;
    }
    std::this_thread::sleep_for(std::chrono::microseconds{317 * round});
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    while (::read(ends[0], &told, 1) == 1)
      ++destroyed;
    ::close(ends[0]);
    auto keys = open(folder / "keys");
    for (auto& [slot, sealed] : seals) {
      auto is = outcome(*keys, {page, slot}, sealed);
      if (slot < destroyed)
        CHECK(is == "key_destroyed");
      else if (slot > destroyed)
        CHECK(is == "open");
      else // under way when it was killed
        CHECK((is == "open" || is == "key_destroyed"));
    }
  }
}

TEST_CASE("a key destroyed while its page is being read stays destroyed", "[keys]") {
  temporary_folder folder;
  std::vector<std::pair<key_ref, std::string>> all;
  {
    auto keys = open(folder / "keys");
    for (std::size_t i = 0; i < limits::keys_per_page; ++i) {
      auto key = allocate(*keys);
      all.emplace_back(key, seal(*keys, key, "x"));
    }
  }
  seeded_rng chance{1};
  std::chrono::steady_clock::duration last{};
  for (auto& [key, sealed] : all) {
    auto keys = open(folder / "keys"); // so that no page is in memory
    auto begin = std::chrono::steady_clock::now();
    // somewhere within the time that the one before took
    auto moment = begin + last * static_cast<int>(chance.next() % 100) / 100;
    std::thread reader{[&] {
      while (std::chrono::steady_clock::now() < moment)
        ;
      (void)keys->open(key, "whose", sealed);
    }};
    REQUIRE(keys->destroy(key));
    last = std::chrono::steady_clock::now() - begin;
    reader.join();
    REQUIRE(outcome(*keys, key, sealed) == "key_destroyed");
  }
}

// ---- damage, and others
// ---------------------------------------------------------------------------

TEST_CASE("the wrong master key is refused at open, and changes nothing", "[keys]") {
  temporary_folder folder;
  key_ref key;
  std::string sealed;
  {
    auto keys = open(folder / "keys");
    key = allocate(*keys);
    sealed = seal(*keys, key, "x");
  }
  CHECK(open_user_keys(folder / "keys", secrets_of(2)).error().code == errc::crypto_failed);
  CHECK(outcome(*open(folder / "keys"), key, sealed) == "open");
}

TEST_CASE("a store without its verifier is not taken for a new one", "[keys]") {
  temporary_folder folder;
  allocate(*open(folder / "keys"));
  SECTION("missing") {
    fs::remove(folder / "keys" / "verifier");
  }
  SECTION("damaged") {
    auto bytes = content(folder / "keys" / "verifier");
    bytes[30] ^= 1;
    replace(folder / "keys" / "verifier", bytes);
  }
  SECTION("empty") {
    replace(folder / "keys" / "verifier", "");
  }
  CHECK(open_user_keys(folder / "keys", secrets_of(1)).error().code == errc::corrupt);
}

TEST_CASE("a flipped byte of a page is corrupt, wherever it is; so is a cut or foreign page",
          "[keys]") {
  temporary_folder folder;
  key_ref key;
  std::string sealed;
  {
    auto keys = open(folder / "keys");
    key = allocate(*keys);
    sealed = seal(*keys, key, "x");
    REQUIRE(keys->allocate(8, {}));
  }
  auto page = folder / "keys" / "pages" / "7-1.page";
  auto good = content(page);
  std::vector<std::string> bad{"", good.substr(0, 100), good + "x",
                               content(folder / "keys" / "pages" / "8-1.page")};
  for (std::size_t i = 0; i < good.size(); i += 97) {
    bad.push_back(good);
    bad.back()[i] = static_cast<char>(bad.back()[i] ^ 4);
  }
  for (auto& bytes : bad) {
    replace(page, bytes);
    auto keys = open(folder / "keys");
    CHECK(outcome(*keys, key, sealed) == "corrupt");
    CHECK(keys->destroy(key).error().code == errc::corrupt); // never over what it cannot read
    CHECK(content(page) == bytes);
    CHECK(keys->allocate(shard, {}).error().code == errc::corrupt);
  }
  fs::remove(page);
  {
    auto keys = open(folder / "keys");
    CHECK(outcome(*keys, key, sealed) == "corrupt");
  }
  replace(page, good);
  CHECK(outcome(*open(folder / "keys"), key, sealed) == "open");
}

TEST_CASE("a key store that somebody holds is locked", "[keys]") {
  temporary_folder folder;
  int ends[2], stop[2];
  REQUIRE(::pipe(ends) == 0);
  REQUIRE(::pipe(stop) == 0);
  auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    auto keys = open_user_keys(folder / "keys", secrets_of(1));
    char told = keys ? 1 : 0;
    if (::write(ends[1], &told, 1) == 1)
      ::pause();
    ::_exit(0);
  }
  char told = 0;
  REQUIRE(::read(ends[0], &told, 1) == 1);
  CHECK(told == 1);
  CHECK(open_user_keys(folder / "keys", secrets_of(1)).error().code == errc::locked);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  for (int end : {ends[0], ends[1], stop[0], stop[1]})
    ::close(end);
  auto keys = open(folder / "keys");
  CHECK(open_user_keys(folder / "keys", secrets_of(1)).error().code == errc::locked);
}

TEST_CASE("files of keys are their owner's alone, and hold no key in the clear", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  allocate(*keys);
  constexpr auto others = fs::perms::group_all | fs::perms::others_all;
  for (auto path : {folder / "keys", folder / "keys" / "pages", folder / "keys" / "verifier",
                    folder / "keys" / "pages" / "7-1.page"})
    CHECK((fs::status(path).permissions() & others) == fs::perms::none);
  auto master = std::string(32, '\x01');
  CHECK(content(folder / "keys" / "verifier").find(master) == std::string::npos);
  CHECK(content(folder / "keys" / "pages" / "7-1.page").find(master) == std::string::npos);
}

TEST_CASE("a full disk ends allocation with disk_full, and what exists goes on", "[keys]") {
  temporary_folder folder;
  if (::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
    WARN("skipped: mounting a tmpfs needs root");
    return;
  }
  {
    auto keys = open(folder / "keys");
    auto key = allocate(*keys);
    auto sealed = seal(*keys, key, "x");
    result<key_ref> next = key;
    for (shard_id s = 100; next && s < 200; ++s)
      next = keys->allocate(s, {});
    REQUIRE_FALSE(next);
    CHECK(next.error().code == errc::disk_full);
    CHECK(outcome(*keys, key, sealed) == "open");
    CHECK(allocate(*keys, key).slot == 1);
    auto refused = keys->destroy(key); // needs room for the new page
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::disk_full);
    CHECK(outcome(*keys, key, sealed) == "open");
    fs::remove(folder / "keys" / "pages" / "100-1.page");
    CHECK(keys->destroy(key));
    CHECK(outcome(*keys, key, sealed) == "key_destroyed");
  }
  ::umount2(folder.path().c_str(), MNT_DETACH);
}

// ---- secrets ------------------------------------------------------------------------------------

TEST_CASE("secrets are made once, and read from then on", "[keys]") {
  temporary_folder folder;
  auto made = load_or_make_secrets(folder / "node");
  REQUIRE(made);
  CHECK(made->master_key != made->cluster_secret);
  CHECK(made->master_key != decltype(made->master_key){});
  auto read = load_or_make_secrets(folder / "node");
  REQUIRE(read);
  CHECK(read->master_key == made->master_key);
  CHECK(read->cluster_secret == made->cluster_secret);
  CHECK(names_in(folder / "node") == std::set<std::string>{"cluster.secret", "master.key"});
  for (auto* name : {"master.key", "cluster.secret"})
    CHECK(fs::status(folder / "node" / name).permissions() ==
          (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("secrets that somebody wrote by hand are read, in either case of digits", "[keys]") {
  temporary_folder folder;
  replace(folder / "master.key", std::string(64, 'A'));
  replace(folder / "cluster.secret",
          "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n");
  for (auto* name : {"master.key", "cluster.secret"})
    fs::permissions(folder / name, fs::perms::owner_read | fs::perms::owner_write);
  auto read = load_or_make_secrets(folder.path());
  REQUIRE(read);
  CHECK(read->master_key[31] == 0xaa);
  CHECK(read->cluster_secret[1] == 0x23);
}

TEST_CASE("a crash between the two names of the secrets is finished", "[keys]") {
  temporary_folder folder;
  auto made = load_or_make_secrets(folder.path());
  REQUIRE(made);
  fs::rename(folder / "cluster.secret", folder / "cluster.secret.tmp");
  auto read = load_or_make_secrets(folder.path());
  REQUIRE(read);
  CHECK(read->cluster_secret == made->cluster_secret);
  CHECK_FALSE(fs::exists(folder / "cluster.secret.tmp"));
}

TEST_CASE("secrets of the wrong form are refused, and left as they are", "[keys]") {
  temporary_folder folder;
  REQUIRE(load_or_make_secrets(folder.path()));
  auto file = folder / GENERATE("master.key", "cluster.secret");
  SECTION("only one of the two") {
    fs::remove(file);
  }
  SECTION("readable by others") {
    fs::permissions(file, fs::perms::group_read, fs::perm_options::add);
  }
  SECTION("too short") {
    replace(file, std::string(63, 'a'));
  }
  SECTION("too long") {
    replace(file, std::string(66, 'a'));
  }
  SECTION("something after the digits") {
    replace(file, std::string(64, 'a') + "b");
  }
  SECTION("not hexadecimal") {
    replace(file, std::string(63, 'a') + "g");
  }
  SECTION("empty") {
    replace(file, "");
  }
  SECTION("a folder") {
    fs::remove(file);
    fs::create_directory(file);
  }
  auto names = names_in(folder.path());
  auto read = load_or_make_secrets(folder.path());
  REQUIRE_FALSE(read);
  CHECK(read.error().code == errc::config_invalid);
  CHECK(names_in(folder.path()) == names);
}

TEST_CASE("a storage key is fixed by the id and the cluster secret alone", "[keys]") {
  auto anna = user_id::parse("anna").value();
  auto secrets = secrets_of(1);
  auto key = derive_storage_key(secrets, anna);
  // BLAKE2b-128 of "anna" keyed by 32 bytes of 2; stored data depends on it
  CHECK(to_hex(key.view()) == "041c102952656905f621c97d8b6f536b");
  CHECK(derive_storage_key(secrets, user_id::parse("annb").value()) != key);
  secrets.master_key.fill(9);
  CHECK(derive_storage_key(secrets, anna) == key);
  secrets.cluster_secret.fill(9);
  CHECK(derive_storage_key(secrets, anna) != key);
}

TEST_CASE("what a page of version 1 holds is still read", "[keys]") {
  temporary_folder folder;
  fs::create_directories(folder / "keys");
  fs::copy(fs::path{CANDOR_SOURCE_DIR} / "tests" / "golden" / "user_keys_v1", folder / "keys",
           fs::copy_options::recursive);
  auto keys = open(folder / "keys");
  // sealed by version 1 under slot 0, with slot 1 destroyed
  auto sealed = from_hex("000000000000000000000000000000000000000000000001"
                         "b5e7410be7a30a58a6477aa15e158b3460cd87a1e2d5")
                    .value();
  CHECK(keys->open({std::uint64_t{shard} << 48 | 1, 0}, "whose", sealed).value() == "golden");
  auto tag = keys->tag({std::uint64_t{shard} << 48 | 1, 0}, "event-1").value();
  CHECK(to_hex({reinterpret_cast<const char*>(tag.data()), tag.size()}) ==
        "d58f42fd0e0f4e6add2fb310471cf947");
  CHECK(outcome(*keys, {std::uint64_t{shard} << 48 | 1, 1}, sealed) == "key_destroyed");
}

TEST_CASE("how long sealing takes", "[.bench]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  auto key = allocate(*keys);
  std::string plain(200, 'x');
  auto time = [&](const char* what, auto&& once) {
    constexpr int rounds = 200'000;
    auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < rounds; ++i)
      once();
    auto span = std::chrono::steady_clock::now() - begin;
    fmt::print("{}: {:.2f} us\n", what,
               std::chrono::duration<double, std::micro>(span).count() / rounds);
  };
  auto sealed = seal(*keys, key, plain);
  time("seal 200 bytes", [&] { (void)keys->seal(key, nonce_of(1), "0123456789abcdef", plain); });
  time("open 200 bytes", [&] { (void)keys->open(key, "whose", sealed); });
  time("tag", [&] { (void)keys->tag(key, "evt_0123456789"); });
}
