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
constexpr std::uint64_t term = 1;

/// As the header describes it.
std::uint64_t page_number(shard_id of, std::uint64_t made_in, std::uint64_t counter) {
  return std::uint64_t{of} << 48 | made_in << 20 | counter;
}

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

key_ref allocate(user_keys& keys, key_ref after = {}, std::uint64_t in_term = term) {
  auto key = keys.allocate(shard, after, in_term);
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
    CHECK(sealed.find("profile") == std::string::npos);
    CHECK(keys->open(key, "whose", sealed).value() == "a profile");
  }
  CHECK(open(folder / "keys")->open(key, "whose", sealed).value() == "a profile");
}

TEST_CASE("a place that comes again, after older data was put back, gets another nonce", "[keys]") {
  temporary_folder folder;
  key_ref key;
  std::set<std::string> nonces;
  for (auto start = 0; start < 2; ++start) {
    auto keys = open(folder / "keys");
    if (start == 0)
      key = allocate(*keys);
    nonces.insert(seal(*keys, key, "a profile").substr(0, 24)); // both at one place
    for (std::uint8_t row = 2; row < 50; ++row)
      nonces.insert(keys->seal(key, nonce_of(row), "whose", "a profile")->substr(0, 24));
  }
  CHECK(nonces.size() == 98);
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
    CHECK(key.page == page_number(shard, term, 1 + i / limits::keys_per_page));
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
    auto key = keys->allocate(s, {}, term);
    REQUIRE(key);
    pages.insert(key->page);
    CHECK(key->page >> 48 == s);
    CHECK(keys->allocate(static_cast<shard_id>(s ^ 2), *key, term).error().code == errc::bad_value);
  }
  CHECK(pages.size() == 3);
  CHECK(names_in(folder / "keys" / "pages") ==
        std::set<std::string>{"0-1048577.page", "1-1048577.page", "65535-1048577.page"});
}

TEST_CASE("the next page is made before the present one is used up", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  auto next_page = folder / "keys" / "pages" / "7-1048578.page";
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
  key_ref lost{page_number(shard, term, 9), 3}; // the log remembers pages that this folder lost
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
        auto key = keys->allocate(shard, {}, term);
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
    auto key = keys->allocate(static_cast<shard_id>(i), {}, term);
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
  auto page = folder / "keys" / "pages" / "7-1048577.page";
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
  CHECK(names_in(folder / "keys" / "pages") == std::set<std::string>{"7-1048577.page"});
}

TEST_CASE("after destroying, the page itself holds zeros where the key was", "[keys]") {
  temporary_folder folder;
  auto page = folder / "keys" / "pages" / "7-1048577.page";
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
  auto page = folder / "keys" / "pages" / "7-1048577.page";
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
  CHECK(names_in(folder / "keys" / "pages") == std::set<std::string>{"7-1048577.page"});
  CHECK(outcome(*keys, key, sealed) == expected);
  CHECK(outcome(*keys, neighbour, kept) == "open");
  if (!watched.empty())
    CHECK(content(folder / "watch") != watched); // what is thrown away is overwritten
  // and it can be done (again)
  REQUIRE(keys->destroy(key));
  CHECK(outcome(*keys, key, sealed) == "key_destroyed");
  CHECK(outcome(*keys, neighbour, kept) == "open");
  CHECK(names_in(folder / "keys" / "pages") == std::set<std::string>{"7-1048577.page"});
}

TEST_CASE("a page that was never finished is no page", "[keys]") {
  temporary_folder folder;
  open(folder / "keys");
  replace(folder / "keys" / "pages" / "7-1048577.page.tmp", "half a page");
  auto keys = open(folder / "keys");
  CHECK(names_in(folder / "keys" / "pages").empty());
  seal(*keys, allocate(*keys), "usable");
}

TEST_CASE("a page that vanished while it was rewritten is corrupt, and said so at open", "[keys]") {
  temporary_folder folder;
  allocate(*open(folder / "keys"));
  auto page = folder / "keys" / "pages" / "7-1048577.page";
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
  std::atomic<int> failed{0};
  for (auto& [key, sealed] : all) {
    auto keys = open(folder / "keys"); // so that no page is in memory
    auto begin = std::chrono::steady_clock::now();
    // somewhere within the time that the one before took
    auto moment = begin + last * static_cast<int>(chance.next() % 100) / 100;
    std::thread reader{[&] {
      while (std::chrono::steady_clock::now() < moment)
        ;
      // before or after; never what it found half-way
      if (auto read = keys->open(key, "whose", sealed);
          !read && read.error().code != errc::key_destroyed)
        ++failed;
    }};
    REQUIRE(keys->destroy(key));
    last = std::chrono::steady_clock::now() - begin;
    reader.join();
    REQUIRE(outcome(*keys, key, sealed) == "key_destroyed");
    REQUIRE(failed == 0);
  }
}

// ---- terms --------------------------------------------------------------------------------------

TEST_CASE("a page that has to be made is made in the term of whoever allocates", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  auto key = allocate(*keys, {}, 5);
  CHECK(key.page == page_number(shard, 5, 1));
  // what is left of an earlier term's page is used up first, and the page made ahead of need too
  while (key.page == page_number(shard, 5, 1))
    key = allocate(*keys, key, 5);
  CHECK(key == key_ref{page_number(shard, 5, 2), 0});
  for (int slot = 1; slot < 256; ++slot)
    CHECK(allocate(*keys, key, 6) == key_ref{key.page, static_cast<std::uint16_t>(slot)});
  key = allocate(*keys, key, 6);
  CHECK(key == key_ref{page_number(shard, 6, 1), 0});
  seal(*keys, key, "usable");
}

TEST_CASE("keys of a later term are never followed by those of an earlier one", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  auto later = allocate(*keys, {}, 9);
  CHECK(keys->allocate(shard, {}, 8).error().code == errc::conflict);
  auto other = open(folder / "other");
  CHECK(other->allocate(shard, later, 8).error().code == errc::conflict);
  CHECK(allocate(*other, later, 9).page == page_number(shard, 9, 2)); // it has no page of `later`
}

TEST_CASE("a deposed primary's page and its successor's have different numbers", "[keys]") {
  temporary_folder folder;
  auto a = open(folder / "a"), b = open(folder / "b");
  auto recorded = allocate(*a, {}, 1);
  REQUIRE(b->import_page(recorded.page, a->export_page(recorded.page).value()));
  // a makes a page ahead that b never receives, and b leads from here on
  auto of_a = recorded;
  while (of_a.page == recorded.page)
    of_a = allocate(*a, of_a, 1);
  auto of_b = recorded;
  while (of_b.page == recorded.page)
    of_b = allocate(*b, of_b, 2);
  CHECK(of_b.page == page_number(shard, 2, 1));
  CHECK(of_a.page != of_b.page);
  // the deposed one takes its successor's page, and leads again; its own page is passed over
  REQUIRE(a->import_page(of_b.page, b->export_page(of_b.page).value()));
  CHECK(allocate(*a, of_b, 3) == key_ref{of_b.page, 1});
  // while a deposed one that does not know it yet leaves pages of a later term alone
  auto c = open(folder / "c");
  REQUIRE(c->import_page(of_b.page, b->export_page(of_b.page).value()));
  CHECK(allocate(*c, {}, 1).page == page_number(shard, 1, 1));
}

TEST_CASE("pages of a store that knew no terms are used up, then left behind", "[keys]") {
  temporary_folder folder;
  fs::create_directories(folder / "keys");
  fs::copy(fs::path{CANDOR_SOURCE_DIR} / "tests" / "golden" / "user_keys_v1", folder / "keys",
           fs::copy_options::recursive);
  auto keys = open(folder / "keys");
  CHECK(keys->pages(shard) == std::vector{page_number(shard, 0, 1)});
  CHECK(allocate(*keys, {page_number(shard, 0, 1), 7}) == key_ref{page_number(shard, 0, 1), 8});
  CHECK(allocate(*keys, {page_number(shard, 0, 1), 255}) == key_ref{page_number(shard, 1, 1), 0});
}

TEST_CASE("a term's numbers for pages end, with an error", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "keys");
  key_ref last{page_number(shard, 3, (1 << 20) - 1), 255};
  CHECK(keys->allocate(shard, last, 3).error().code == errc::too_many);
  CHECK(allocate(*keys, last, 4) == key_ref{page_number(shard, 4, 1), 0});
  CHECK(allocate(*keys, {}, (1 << 28) - 1).page == page_number(shard, 4, 1));
}

// ---- replication --------------------------------------------------------------------------------

TEST_CASE("what was sealed on one node opens on another that imported its page", "[keys]") {
  temporary_folder folder;
  auto primary = open(folder / "a");
  auto key = allocate(*primary);
  auto sealed = seal(*primary, key, "a profile");
  auto exported = primary->export_page(key.page);
  REQUIRE(exported);
  CHECK(*exported == content(folder / "a" / "pages" / "7-1048577.page"));
  {
    auto replica = open(folder / "b");
    CHECK_FALSE(replica->has_page(key.page));
    CHECK(replica->pages(shard).empty());
    CHECK(replica->export_page(key.page).error().code == errc::not_found);
    REQUIRE(replica->import_page(key.page, *exported));
    CHECK(replica->has_page(key.page));
    CHECK(outcome(*replica, key, sealed) == "open");
    CHECK(replica->import_page(key.page, *exported)); // idempotent
  }
  CHECK(content(folder / "b" / "pages" / "7-1048577.page").substr(20, 72) !=
        exported->substr(20, 72)); // a page key of its own
  auto replica = open(folder / "b");
  CHECK(replica->pages(shard) == std::vector{key.page});
  CHECK(outcome(*replica, key, sealed) == "open");
  CHECK(replica->tag(key, "event-1").value() == primary->tag(key, "event-1").value());
  // and it can go on as the primary
  CHECK(allocate(*replica, key, 2) == key_ref{key.page, 1});
}

TEST_CASE("the pages of a shard are listed by number, made here or imported", "[keys]") {
  temporary_folder folder;
  auto keys = open(folder / "a"), other = open(folder / "b");
  auto third = allocate(*other, {}, 3).page;
  auto first = allocate(*keys, {}, 1).page;
  auto second = allocate(*keys, {first, 255}, 2).page;
  REQUIRE(keys->import_page(third, other->export_page(third).value()));
  REQUIRE(keys->allocate(8, {}, term));
  CHECK(keys->pages(shard) == std::vector{first, second, third});
}

TEST_CASE("a key that is destroyed on either side of an import stays destroyed", "[keys]") {
  temporary_folder folder;
  auto a = open(folder / "a"), b = open(folder / "b");
  std::vector<key_ref> key;
  std::vector<std::string> sealed;
  for (int i = 0; i < 4; ++i) {
    key.push_back(allocate(*a));
    sealed.push_back(seal(*a, key.back(), "x"));
  }
  auto page = key[0].page;
  REQUIRE(b->import_page(page, a->export_page(page).value()));
  auto early = b->export_page(page).value();
  REQUIRE(a->destroy(key[0])); // on one
  REQUIRE(b->destroy(key[1])); // on the other
  REQUIRE(a->destroy(key[2])); // on both
  REQUIRE(b->destroy(key[2]));
  auto file = folder / "b" / "pages" / "7-1048577.page";
  fs::create_hard_link(file, folder / "watch");
  auto old = content(file);
  REQUIRE(b->import_page(page, a->export_page(page).value()));
  auto expect = [&](user_keys& keys) {
    CHECK(outcome(keys, key[0], sealed[0]) == "key_destroyed");
    CHECK(outcome(keys, key[1], sealed[1]) == "key_destroyed");
    CHECK(outcome(keys, key[2], sealed[2]) == "key_destroyed");
    CHECK(outcome(keys, key[3], sealed[3]) == "open");
  };
  expect(*b);
  CHECK(content(file).substr(20, 72) != old.substr(20, 72)); // a fresh page key
  CHECK(content(folder / "watch") != old);                   // the old page was overwritten
  CHECK(names_in(folder / "b" / "pages") == std::set<std::string>{"7-1048577.page"});
  // an old export brings nothing back, and leaves the file as it is
  auto before = content(file);
  REQUIRE(b->import_page(page, early));
  expect(*b);
  CHECK(content(file) == before);
  b.reset();
  expect(*open(folder / "b"));
  // nor does what is exported hold a destroyed key
  auto c = open(folder / "c");
  REQUIRE(c->import_page(page, before));
  expect(*c);
}

TEST_CASE("what is no export of this page is refused, and changes nothing", "[keys]") {
  temporary_folder folder;
  auto a = open(folder / "a"), b = open(folder / "b"), stranger = open(folder / "c", 2);
  auto key = allocate(*a);
  auto sealed = seal(*a, key, "x");
  REQUIRE(a->allocate(8, {}, term));
  allocate(*stranger);
  auto good = a->export_page(key.page).value();
  std::vector<std::string> bad{"", good.substr(0, 100), good + "x",
                               a->export_page(page_number(8, term, 1)).value(),
                               stranger->export_page(key.page).value()};
  for (std::size_t i = 0; i < good.size(); i += 97) {
    bad.push_back(good);
    bad.back()[i] = static_cast<char>(bad.back()[i] ^ 4);
  }
  auto held = GENERATE(false, true);
  if (held)
    REQUIRE(b->import_page(key.page, good));
  for (auto& bytes : bad)
    CHECK(b->import_page(key.page, bytes).error().code == errc::corrupt);
  CHECK(b->has_page(key.page) == held);
  CHECK(names_in(folder / "b" / "pages").size() == (held ? 1 : 0));
  if (held)
    CHECK(outcome(*b, key, sealed) == "open");
  for (auto number : {std::uint64_t{0}, page_number(shard, 0, 0), page_number(shard, 4, 0)})
    CHECK(b->import_page(number, good).error().code == errc::bad_value);
  // two pages of one number that are not copies of one: somebody made a number twice
  auto twin = open(folder / "d");
  allocate(*twin);
  auto own = content(folder / "d" / "pages" / "7-1048577.page");
  CHECK(twin->import_page(key.page, good).error().code == errc::conflict);
  CHECK(content(folder / "d" / "pages" / "7-1048577.page") == own);
}

TEST_CASE("a page that cannot be read is neither exported nor replaced", "[keys]") {
  temporary_folder folder;
  auto a = open(folder / "a");
  auto page = allocate(*a).page;
  auto good = a->export_page(page).value();
  auto file = folder / "a" / "pages" / "7-1048577.page";
  auto bad = good;
  bad[500] ^= 1;
  replace(file, bad);
  CHECK(a->export_page(page).error().code == errc::corrupt);
  // it might have destroyed keys that `good` still holds
  CHECK(a->import_page(page, good).error().code == errc::corrupt);
  CHECK(content(file) == bad);
  // whoever gives the shard up and learns it anew gets it
  REQUIRE(a->drop_shard(shard));
  REQUIRE(a->import_page(page, good));
  CHECK(a->export_page(page));
}

TEST_CASE("whatever step a crash stopped it at, an import is finished or undone", "[keys]") {
  temporary_folder folder;
  auto page = folder / "b" / "pages" / "7-1048577.page";
  auto made = fs::path{page.string() + ".tmp"};
  auto dying = fs::path{page.string() + ".dying"};
  auto a = open(folder / "a");
  auto gone = allocate(*a), own = allocate(*a), kept = allocate(*a);
  auto gone_sealed = seal(*a, gone, "x"), own_sealed = seal(*a, own, "x"),
       kept_sealed = seal(*a, kept, "x");
  std::string before, after;
  auto first = a->export_page(gone.page).value();
  REQUIRE(a->destroy(gone));
  auto second = a->export_page(gone.page).value();
  {
    auto b = open(folder / "b");
    REQUIRE(b->import_page(gone.page, first));
    REQUIRE(b->destroy(own));
    before = content(page);
    REQUIRE(b->import_page(gone.page, second));
    after = content(page);
  }
  std::string of_gone = "open", of_own = "key_destroyed", of_kept = "open";
  SECTION("a first import half written") {
    fs::remove(page);
    replace(made, after.substr(0, 1000));
    of_gone = of_own = of_kept = "corrupt"; // no such page yet
  }
  SECTION("a first import written") {
    fs::remove(page);
    replace(made, after);
    of_gone = of_own = of_kept = "corrupt";
  }
  SECTION("the merged page half written") {
    replace(page, before);
    replace(made, after.substr(0, 1000));
  }
  SECTION("the merged page written") {
    replace(page, before);
    replace(made, after);
  }
  SECTION("the old page has its second name") {
    replace(page, before);
    replace(made, after);
    fs::create_hard_link(page, dying);
  }
  SECTION("the merged page took the name") {
    replace(dying, before);
    of_gone = "key_destroyed";
  }
  SECTION("the old page half overwritten") {
    auto half = before;
    std::fill_n(half.begin(), half.size() / 2, '\x5a');
    replace(dying, half);
    of_gone = "key_destroyed";
  }
  auto leftover = fs::exists(made) ? made : dying;
  fs::create_hard_link(leftover, folder / "watch");
  auto apart = !fs::exists(page) || !fs::equivalent(leftover, page);
  auto watched = content(folder / "watch");

  auto b = open(folder / "b");
  CHECK(b->has_page(gone.page) == (of_kept == "open"));
  CHECK(outcome(*b, gone, gone_sealed) == of_gone);
  CHECK(outcome(*b, own, own_sealed) == of_own);
  CHECK(outcome(*b, kept, kept_sealed) == of_kept);
  if (apart)
    CHECK(content(folder / "watch") != watched); // what is thrown away is overwritten
  auto held = b->has_page(gone.page);
  REQUIRE(b->import_page(gone.page, second));
  CHECK(outcome(*b, gone, gone_sealed) == "key_destroyed");
  CHECK(outcome(*b, own, own_sealed) == (held ? "key_destroyed" : "open"));
  CHECK(outcome(*b, kept, kept_sealed) == "open");
  CHECK(names_in(folder / "b" / "pages") == std::set<std::string>{"7-1048577.page"});
}

TEST_CASE("a shard that is dropped is overwritten and gone; others stay", "[keys]") {
  temporary_folder folder;
  auto pages = folder / "keys" / "pages";
  auto keys = open(folder / "keys");
  auto key = allocate(*keys, {}, 1);
  auto second = allocate(*keys, {key.page, 255}, 2);
  auto other = keys->allocate(8, {}, term).value();
  auto sealed = seal(*keys, key, "x"), others = seal(*keys, other, "x");
  auto old = content(pages / "7-1048577.page");
  fs::create_hard_link(pages / "7-1048577.page", folder / "watch");
  auto exported = keys->export_page(key.page).value();
  REQUIRE(keys->drop_shard(shard));
  CHECK(names_in(pages) == std::set<std::string>{"8-1048577.page"});
  auto left = content(folder / "watch");
  REQUIRE(left.size() == old.size());
  std::size_t same = 0;
  for (std::size_t i = 0; i < old.size(); ++i)
    same += left[i] == old[i];
  CHECK(same < old.size() / 50);
  CHECK(keys->pages(shard).empty());
  CHECK_FALSE(keys->has_page(key.page));
  CHECK(outcome(*keys, key, sealed) == "corrupt"); // also where the page was in memory
  CHECK(outcome(*keys, other, others) == "open");
  CHECK(keys->drop_shard(shard)); // idempotent
  CHECK(keys->drop_shard(99));    // never held
  // a number that was in use is not made again
  CHECK(allocate(*keys, {}, 2) == key_ref{second.page + 1, 0});
  // and the shard may come back
  REQUIRE(keys->import_page(key.page, exported));
  CHECK(outcome(*keys, key, sealed) == "open");
}

TEST_CASE("whatever step a crash stopped it at, dropping a shard can be done again", "[keys]") {
  temporary_folder folder;
  auto pages = folder / "keys" / "pages";
  auto first = pages / "7-1048577.page", second = pages / "7-2097153.page";
  auto dropped = fs::path{first.string() + ".dropped"};
  key_ref key, later;
  std::string sealed, later_sealed;
  {
    auto keys = open(folder / "keys");
    key = allocate(*keys, {}, 1);
    later = allocate(*keys, {key.page, 255}, 2);
    sealed = seal(*keys, key, "x");
    later_sealed = seal(*keys, later, "x");
  }
  fs::create_hard_link(first, folder / "watch");
  auto old = content(first);
  fs::rename(first, dropped);
  auto overwritten = true;
  SECTION("a page lost its name") {}
  SECTION("a page half overwritten") {
    auto half = old;
    std::fill_n(half.begin(), half.size() / 2, '\x5a');
    replace(dropped, half);
  }
  SECTION("a page removed, the next one not yet") {
    fs::remove(dropped);
    overwritten = false; // by this test
  }
  SECTION("the removal was not durable where the power went") {
    fs::rename(dropped, first);
    overwritten = false;
  }
  auto back = fs::exists(first);
  auto keys = open(folder / "keys");
  CHECK(names_in(pages).size() == (back ? 2 : 1)); // whole pages only
  CHECK(outcome(*keys, key, sealed) == (back ? "open" : "corrupt"));
  CHECK(outcome(*keys, later, later_sealed) == "open");
  if (overwritten)
    CHECK(content(folder / "watch") != old);
  REQUIRE(keys->drop_shard(shard));
  CHECK(names_in(pages).empty());
  CHECK(outcome(*keys, later, later_sealed) == "corrupt");
}

TEST_CASE("dropping a shard finishes first what was under way with its pages", "[keys]") {
  temporary_folder folder;
  auto page = folder / "keys" / "pages" / "7-1048577.page";
  auto keys = open(folder / "keys");
  allocate(*keys);
  auto bytes = content(page);
  fs::create_hard_link(page, page.string() + ".dying"); // a destruction that failed half-way
  replace(page.string() + ".tmp", bytes);
  REQUIRE(keys->drop_shard(shard));
  CHECK(names_in(folder / "keys" / "pages").empty());
}

TEST_CASE("kill -9 while pages are imported and dropped leaves whole pages only", "[keys]") {
  temporary_folder folder;
  std::vector<std::string> states; // one key destroyed after the other
  std::vector<std::string> seals;
  std::uint64_t page = page_number(shard, term, 1);
  {
    auto keys = open(folder / "a");
    for (int i = 0; i < 20; ++i)
      seals.push_back(seal(*keys, allocate(*keys), "x"));
    for (std::uint16_t slot = 0; slot < 20; ++slot) {
      REQUIRE(keys->destroy({page, slot}));
      states.push_back(keys->export_page(page).value());
    }
  }
  for (int round = 0; round < 12; ++round) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      auto keys = open_user_keys(folder / "b", secrets_of(1));
      for (auto ok = keys.has_value(); ok;) {
        for (std::size_t i = 0; ok && i < states.size(); ++i) {
          ok = (*keys)->import_page(page, states[i]).has_value();
          auto told = static_cast<char>(i + 1);
          ok = ok && ::write(ends[1], &told, 1) == 1;
        }
        char told = 0;
        ok = ok && ::write(ends[1], &told, 1) == 1 && (*keys)->drop_shard(shard).has_value();
      }
      ::_exit(1);
    }
    ::close(ends[1]);
    char told = 0;
    for (int i = 0; i < 3 + 2 * round; ++i)
      REQUIRE(::read(ends[0], &told, 1) == 1);
    std::this_thread::sleep_for(std::chrono::microseconds{317 * round});
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    int destroyed = told;
    while (::read(ends[0], &told, 1) == 1)
      destroyed = told;
    ::close(ends[0]);
    auto keys = open(folder / "b");
    INFO("the last one told: " << destroyed);
    if (!keys->has_page(page)) {
      CHECK(destroyed == 0); // it was being dropped
      CHECK(names_in(folder / "b" / "pages").empty());
    } else {
      CHECK(names_in(folder / "b" / "pages").size() == 1);
      for (std::uint16_t slot = 0; slot < 20; ++slot) {
        auto is = outcome(*keys, {page, slot}, seals[slot]);
        if (slot < destroyed)
          CHECK(is == "key_destroyed");
        else if (slot > destroyed && destroyed > 0)
          CHECK(is == "open");
        else
          CHECK((is == "open" || is == "key_destroyed"));
      }
    }
    REQUIRE(keys->drop_shard(shard));
  }
}

TEST_CASE("a page is exported and read while its keys are destroyed", "[keys]") {
  temporary_folder folder;
  auto a = open(folder / "a");
  std::vector<key_ref> all;
  for (std::size_t i = 0; i < limits::keys_per_page; ++i)
    all.push_back(allocate(*a));
  auto kept = all.back();
  auto sealed = seal(*a, kept, "x");
  auto b = open(folder / "b");
  std::atomic<bool> done{false};
  std::atomic<int> failed{0}, exported{0};
  std::thread exporter{[&] {
    while (!done || exported == 0) {
      auto bytes = a->export_page(kept.page);
      if (!bytes || !b->import_page(kept.page, *bytes))
        ++failed;
      ++exported;
    }
  }};
  std::thread reader{[&] {
    while (!done)
      if (b->has_page(kept.page) && !b->open(kept, "whose", sealed))
        ++failed;
  }};
  for (std::size_t i = 0; i < 100; ++i)
    if (!a->destroy(all[i]))
      ++failed;
  done = true;
  exporter.join();
  reader.join();
  CHECK(failed == 0);
  REQUIRE(b->import_page(kept.page, a->export_page(kept.page).value()));
  for (std::size_t i = 0; i < 100; ++i)
    CHECK(b->tag(all[i], "x").error().code == errc::key_destroyed);
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
    REQUIRE(keys->allocate(8, {}, term));
  }
  auto page = folder / "keys" / "pages" / "7-1048577.page";
  auto good = content(page);
  std::vector<std::string> bad{"", good.substr(0, 100), good + "x",
                               content(folder / "keys" / "pages" / "8-1048577.page")};
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
    CHECK(keys->allocate(shard, {}, term).error().code == errc::corrupt);
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
                    folder / "keys" / "pages" / "7-1048577.page"})
    CHECK((fs::status(path).permissions() & others) == fs::perms::none);
  auto master = std::string(32, '\x01');
  CHECK(content(folder / "keys" / "verifier").find(master) == std::string::npos);
  CHECK(content(folder / "keys" / "pages" / "7-1048577.page").find(master) == std::string::npos);
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
      next = keys->allocate(s, {}, term);
    REQUIRE_FALSE(next);
    CHECK(next.error().code == errc::disk_full);
    CHECK(outcome(*keys, key, sealed) == "open");
    CHECK(allocate(*keys, key).slot == 1);
    auto refused = keys->destroy(key); // needs room for the new page
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::disk_full);
    CHECK(outcome(*keys, key, sealed) == "open");
    fs::remove(folder / "keys" / "pages" / "100-1048577.page");
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
