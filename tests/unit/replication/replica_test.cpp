#include <catch2/catch.hpp>

#include <algorithm>

#include "cluster/replication/replica.hpp"

using namespace candor;
using namespace candor::replication;
using namespace std::chrono_literals;
using sharding::shard_config;

namespace {

const member a{"a", "da"}, b{"b", "db"}, c{"c", "dc"};

log_record record(std::uint64_t seq, std::uint64_t term, char told_apart = 0) {
  position at{seq, term, {}};
  at.chain[0] = static_cast<std::uint8_t>(seq);
  at.chain[1] = static_cast<std::uint8_t>(told_apart);
  return {at, std::make_shared<const std::string>("entry")};
}

std::vector<log_record> records(std::uint64_t from, std::uint64_t to, std::uint64_t term) {
  std::vector<log_record> all;
  for (auto seq = from; seq <= to; ++seq)
    all.push_back(record(seq, term));
  return all;
}

/// One replica, its leases, its log, and what it asked for since it was last looked at.
struct node : log_reader {
  explicit node(member who, recovered found = {}, replica_options options = {})
    : self{who}
    , promises{who, 1, {1}, {}, 0ms}
    , it{0, who, options, promises, *this} {
    for (std::uint64_t seq = 1; seq <= found.end.seq; ++seq)
      log.push_back(record(seq, found.end.term));
    it.start(found, now, out);
    CHECK(take().read_config);
  }
  std::vector<log_record> read(shard_id, std::uint64_t from, std::size_t) const override {
    if (from < kept_from || from > log.size())
      return {};
    return {log.begin() + static_cast<std::ptrdiff_t>(from - 1), log.end()};
  }
  effects take() { return std::exchange(out, {}); }
  /// The disk does what it was asked, in order.
  void sync() {
    while (!out.writes.empty()) {
      auto writes = std::exchange(out.writes, {});
      for (auto& w : writes) {
        if (w.truncate_from)
          log.resize(*w.truncate_from - 1);
        log.insert(log.end(), w.records.begin(), w.records.end());
        it.written(w.number, now, out);
      }
    }
  }
  void answer_swap(swap_outcome outcome) {
    REQUIRE(out.swaps.size() == 1);
    auto s = std::exchange(out.swaps, {}).front();
    it.swapped(s.number, outcome, now, out);
  }
  void hears(const member& from, std::uint64_t term, acknowledgement ack) {
    it.receive({0, term, from, ack}, now, out);
  }
  void hears(const member& from, std::uint64_t term, prepare p) {
    it.receive({0, term, from, std::move(p)}, now, out);
  }
  void configured(const shard_config& config) { it.configured(config, config.version, now, out); }
  void confirm() { it.confirmed(it.config(), now, now, out); }
  void tick(millis at) {
    now = at;
    it.tick(now, out);
  }
  /// Echoes of others, so that they are not suspected; where this one leads, with their grants.
  void echo(std::initializer_list<member> others) {
    for (const auto& m : others) {
      leases there{m, 9, {1}, {}, 0ms};
      there.follow(0, it.term(), self);
      for (const auto& beacon : promises.compose(m.node, now))
        for (const auto& answer : there.receive(self.node, beacon, 5ms))
          promises.receive(m.node, answer, now);
    }
  }
  std::optional<acknowledgement> last_ack() {
    for (auto m = out.messages.rbegin(); m != out.messages.rend(); ++m)
      if (auto* ack = std::get_if<acknowledgement>(&m->second.body))
        return *ack;
    return std::nullopt;
  }

  member self;
  std::vector<log_record> log;
  std::uint64_t kept_from = 1;
  leases promises;
  replica it;
  effects out;
  millis now{0};
};

shard_config config(std::uint64_t version, std::uint64_t term, member primary,
                    std::vector<member> in_sync, std::uint32_t least = 2) {
  return {version, term, std::move(primary), std::move(in_sync), least, 0};
}

acknowledgement verified(std::uint64_t upto) {
  return {upto, false, record(0, 0).at, 0, 0};
}

/// a, serving term 2 of a, b and c with three entries.
struct primary : node {
  explicit primary(std::vector<member> in_sync = {a, b, c})
    : node{a, {1, record(3, 1).at, record(1, 1).at}} {
    now = 700ms;
    auto first = config(1, 1, a, in_sync);
    configured(first);
    echo({b, c});
    tick(710ms);
    answer_swap(swap_outcome::applied);
    sync();
    for (const auto& m : in_sync)
      if (m != a)
        hears(m, 2, verified(3));
    REQUIRE(it.now_is() == role::serving);
    take();
  }
};

/// b, following a in term 1 with three entries.
struct follower : node {
  follower()
    : node{b, {1, record(3, 1).at, record(2, 1).at}} {
    configured(config(1, 1, a, {a, b, c}));
    take();
  }
};

} // namespace

TEST_CASE("a node alone serves as soon as its term is durable", "[replica]") {
  node n{a};
  n.configured(config(1, 1, a, {a}, 1));
  CHECK(n.it.now_is() == role::reconciling);
  n.sync();
  CHECK(n.it.now_is() == role::serving);
  CHECK(n.it.writable());
  n.it.append(records(1, 2, 1), n.now, n.out);
  CHECK(n.it.committed() == 0);
  n.sync();
  CHECK(n.it.committed() == 2);
  CHECK(n.promises.held(0, 1, n.now));
}

TEST_CASE("after a restart the primary takes over from itself with the next term", "[replica]") {
  node n{a, {4, record(3, 4).at, record(1, 4).at}};
  n.configured(config(9, 4, a, {a}, 1));
  REQUIRE(n.out.swaps.size() == 1);
  CHECK(n.out.swaps.front().expected_version == 9);
  CHECK(n.out.swaps.front().config.term == 5);
  n.answer_swap(swap_outcome::applied);
  n.sync();
  CHECK(n.it.now_is() == role::serving);
  CHECK(n.it.committed() == 3);
}

TEST_CASE("nothing goes out in a term before the term is durable", "[replica]") {
  SECTION("of a primary") {
    node n{a, {1, {}, {}}};
    n.now = 700ms;
    n.echo({b});
    n.configured(config(1, 1, a, {a, b}));
    n.answer_swap(swap_outcome::applied);
    n.tick(800ms);
    CHECK(n.out.messages.empty());
    n.sync();
    CHECK_FALSE(n.out.messages.empty());
  }
  SECTION("of a follower") {
    follower n;
    n.hears(c, 2, prepare{record(3, 1).at, 3, {}});
    CHECK(n.out.messages.empty());
    n.sync();
    REQUIRE(n.last_ack());
    CHECK(n.last_ack()->verified == 3);
    CHECK(n.out.messages.back().first == c);
  }
}

TEST_CASE("a write is committed once every member that counts has it durably", "[replica]") {
  primary n;
  n.it.append({record(4, 2)}, n.now, n.out);
  n.hears(b, 2, verified(4));
  n.hears(c, 2, verified(4));
  CHECK(n.it.committed() == 3); // not yet durable here
  n.sync();
  CHECK(n.it.committed() == 4);
  n.it.append({record(5, 2)}, n.now, n.out);
  n.sync();
  n.hears(b, 2, verified(5));
  CHECK(n.it.committed() == 4);
  n.hears({"c", "wiped"}, 2, verified(5));
  CHECK(n.it.committed() == 4);
  n.hears(c, 1, verified(5));
  CHECK(n.it.committed() == 4);
  n.hears(c, 2, verified(5));
  CHECK(n.it.committed() == 5);
}

TEST_CASE("serving begins with every member's log equal and committed whole", "[replica]") {
  node n{b, {1, record(3, 1).at, record(1, 1).at}};
  n.now = 700ms;
  n.echo({c});
  n.configured(config(2, 2, b, {b, c}));
  n.sync();
  CHECK(n.it.now_is() == role::reconciling);
  n.hears(c, 2, verified(2));
  CHECK(n.it.now_is() == role::reconciling);
  CHECK(n.it.committed() == 1);
  n.hears(c, 2, verified(3));
  CHECK(n.it.now_is() == role::serving);
  CHECK(n.it.committed() == 3);
}

TEST_CASE("a follower takes what connects, and says where to begin otherwise", "[replica]") {
  struct row {
    const char* what;
    position previous;
    std::vector<log_record> entries;
    bool apart;
    std::uint64_t end;
    std::optional<std::uint64_t> cut;
  };
  for (const auto& r : {
           row{"a heartbeat at its end", record(3, 1).at, {}, false, 3, {}},
           row{"the next entries", record(3, 1).at, records(4, 5, 1), false, 5, {}},
           row{"what it has already", record(1, 1).at, records(2, 3, 1), false, 3, {}},
           row{"partly what it has", record(1, 1).at, records(2, 4, 1), false, 4, {}},
           row{"a gap", record(4, 1).at, records(5, 5, 1), true, 3, {}},
           row{"another entry in place of one that is not committed",
               record(2, 1).at,
               {record(3, 1, 'x')},
               false,
               3,
               3},
           row{"another entry in a committed place",
               record(1, 1).at,
               {record(2, 1, 'x')},
               true,
               3,
               {}},
           row{"another log before", record(3, 1, 'x').at, records(4, 4, 1), true, 3, {}},
       }) {
    INFO(r.what);
    follower n;
    n.hears(a, 1, prepare{r.previous, 2, r.entries});
    std::optional<std::uint64_t> cut;
    for (const auto& w : n.out.writes)
      cut = w.truncate_from;
    CHECK(cut == r.cut);
    n.sync();
    REQUIRE(n.last_ack());
    CHECK(n.last_ack()->apart == r.apart);
    CHECK(n.last_ack()->committed == record(2, 1).at);
    CHECK(n.it.end().seq == r.end);
    if (!r.apart)
      CHECK(n.last_ack()->verified == r.end);
  }
}

TEST_CASE("a follower acknowledges what is durable, not what it has taken", "[replica]") {
  follower n;
  n.hears(a, 1, prepare{record(3, 1).at, 2, records(4, 5, 1)});
  CHECK_FALSE(n.last_ack());
  n.hears(a, 1, prepare{record(5, 1).at, 5, {}});
  REQUIRE(n.last_ack());
  CHECK(n.last_ack()->verified == 3);
  n.sync();
  CHECK(n.last_ack()->verified == 5);
  CHECK(n.it.committed() == 5);
}

TEST_CASE("a cut takes durability back at once", "[replica]") {
  follower n;
  n.hears(a, 1, prepare{record(3, 1).at, 2, records(4, 5, 1)});
  auto first = n.take().writes.front();
  n.hears(c, 2, prepare{record(3, 1).at, 2, {record(4, 2, 'x')}});
  auto rest = n.take();
  n.it.written(first.number, n.now, n.out); // the entries that were cut since
  for (const auto& w : rest.writes)
    if (w.term)
      n.it.written(w.number, n.now, n.out);
  REQUIRE(n.last_ack());
  CHECK(n.last_ack()->verified == 3);
}

TEST_CASE("a member that is silent is dropped, never below the minimum", "[replica]") {
  auto silence_of_c = [](primary& n) {
    for (auto t = n.now; t < 1500ms; t += 50ms) {
      n.now = t;
      n.echo({b, c});
      n.hears(b, 2, verified(3));
      n.tick(t);
    }
  };
  SECTION("three members") {
    primary n;
    silence_of_c(n);
    REQUIRE(n.out.swaps.size() == 1);
    CHECK(n.out.swaps.front().config.in_sync == std::vector{a, b});
    // It counts until the swap is known.
    n.it.append({record(4, 2)}, n.now, n.out);
    n.sync();
    n.hears(b, 2, verified(4));
    CHECK(n.it.committed() == 3);
    n.answer_swap(swap_outcome::unknown);
    n.configured(config(2, 2, a, {a, b, c}));
    CHECK(n.it.committed() == 3);
    n.configured(config(3, 2, a, {a, b}));
    CHECK(n.it.committed() == 4);
  }
  SECTION("two members") {
    primary n{{a, c}};
    silence_of_c(n);
    CHECK(n.out.swaps.empty());
  }
}

TEST_CASE("a member whose disk lost what it acknowledged learns it again", "[replica]") {
  primary n;
  acknowledgement lacks{0, true, record(1, 1).at, 0, 0};
  auto says = [&](millis from, millis until) {
    for (auto t = from; t <= until; t += 100ms) {
      n.now = t;
      n.echo({b, c});
      n.hears(b, 2, verified(3));
      n.hears(c, 2, lacks);
    }
  };
  n.hears(c, 2, lacks); // late, or sent again: nothing yet
  CHECK(n.out.lost.empty());
  says(n.now, n.now + 500ms);
  CHECK(n.out.lost.empty());
  n.hears(c, 2, verified(3)); // it was late
  says(n.now, n.now + 500ms);
  CHECK(n.out.lost.empty());
  n.take();
  says(n.now + 100ms, n.now + 100ms);
  auto out = n.take();
  REQUIRE(out.lost.size() == 1);
  CHECK(out.lost.front().disk == c);
  CHECK(out.lost.front().upto == 3);
  auto again = std::ranges::find_if(out.messages, [](auto& m) { return m.first == c; });
  REQUIRE(again != out.messages.end());
  CHECK(std::get<prepare>(again->second.body).previous == record(1, 1).at);
  // It counts for nothing more than it says.
  n.it.append({record(4, 2)}, n.now, n.out);
  n.sync();
  n.hears(b, 2, verified(4));
  CHECK(n.it.committed() == 3);
  n.hears(c, 2, verified(4));
  CHECK(n.it.committed() == 4);
}

TEST_CASE("a primary whose disk lost what was acknowledged leaves the lead to who has it",
          "[replica]") {
  node n{a, {1, record(3, 1).at, record(1, 1).at}};
  n.now = 700ms;
  n.configured(config(1, 1, a, {a, b, c}));
  n.echo({b, c});
  n.tick(710ms);
  n.answer_swap(swap_outcome::applied);
  n.sync();
  REQUIRE(n.it.now_is() == role::reconciling);
  n.take();
  n.hears(b, 2, acknowledgement{0, true, record(5, 1).at, 0, 0});
  CHECK(n.it.now_is() == role::candidate);
  REQUIRE(n.out.swaps.size() == 1);
  const auto& next = n.out.swaps.front().config;
  CHECK(next.primary == b);
  CHECK(next.term == 3);
  CHECK(next.in_sync == std::vector{a, b, c});
  REQUIRE(n.out.lost.size() == 1);
  CHECK(n.out.lost.front().disk == a);
  CHECK(n.out.lost.front().upto == 5);

  SECTION("who does not count is not believed") {
    primary n;
    n.it.wanted({a, b, c, {"d", "dd"}}, n.now, n.out);
    n.hears({"d", "dd"}, 2, acknowledgement{0, true, record(5, 1).at, 0, 0});
    CHECK(n.it.now_is() == role::serving);
    CHECK(n.out.lost.empty());
  }
}

TEST_CASE("a swap of unknown outcome is settled by another at the same version", "[replica]") {
  primary n;
  for (auto t = n.now; t < 1400ms && n.out.swaps.empty(); t += 10ms) {
    n.now = t;
    n.echo({b, c});
    n.hears(b, 2, verified(3));
    n.tick(t);
  }
  n.answer_swap(swap_outcome::unknown);
  CHECK(n.out.swaps.empty());
  n.configured(config(2, 2, a, {a, b, c})); // as it was: the request may still arrive
  n.hears(b, 2, verified(3));
  n.tick(n.now + 150ms);
  REQUIRE(n.out.swaps.size() == 1);
  CHECK(n.out.swaps.front().expected_version == 2);
  CHECK(n.out.swaps.front().config.in_sync == std::vector{a, b, c});
}

TEST_CASE("a member whose disk is low is done without at once, and comes back with room",
          "[replica]") {
  auto low = verified(3);
  low.low_on_disk = true;
  auto entries_to_c = [](const effects& e) {
    return std::ranges::any_of(e.messages, [](const auto& m) {
      const auto* p = std::get_if<prepare>(&m.second.body);
      return m.first == c && p && !p->entries.empty();
    });
  };
  SECTION("three members") {
    primary n;
    n.it.wanted({a, b, c}, n.now, n.out);
    n.hears(c, 2, low);
    CHECK(n.it.room() == disk_room::ample); // it can be done without
    n.tick(n.now + 1ms);
    REQUIRE(n.out.swaps.size() == 1);
    CHECK(n.out.swaps.front().config.in_sync == std::vector{a, b});
    n.answer_swap(swap_outcome::applied);
    n.take();
    n.it.append({record(4, 2)}, n.now, n.out);
    n.sync();
    n.hears(b, 2, verified(4));
    CHECK(n.it.committed() == 4);
    n.tick(n.now + 60ms);
    CHECK_FALSE(entries_to_c(n.take())); // what does not count need not fill it up
    n.hears(c, 2, verified(3));
    CHECK(entries_to_c(n.take()));
    n.hears(c, 2, verified(4));
    n.tick(n.now + 1ms);
    REQUIRE(n.out.swaps.size() == 1);
    CHECK(n.out.swaps.front().config.in_sync == std::vector{a, b, c});
  }
  SECTION("two members: it counts, and there is no room for new data") {
    primary n{{a, b}};
    n.hears(b, 2, low);
    n.tick(n.now + 1ms);
    CHECK(n.out.swaps.empty());
    CHECK(n.it.room() == disk_room::low);
    n.it.append({record(4, 2)}, n.now, n.out); // an erasure, say
    n.sync();
    n.hears(b, 2, verified(4));
    CHECK(n.it.committed() == 4);
    CHECK(n.it.room() == disk_room::ample);
  }
}

TEST_CASE("a member without any room acknowledges what it has and takes nothing", "[replica]") {
  follower n;
  n.it.set_room(disk_room::none);
  n.hears(a, 1, prepare{record(2, 1).at, 2, records(3, 5, 1)});
  CHECK(n.out.writes.empty());
  REQUIRE(n.last_ack());
  CHECK(n.last_ack()->verified == 3);
  CHECK(n.last_ack()->low_on_disk);
  n.it.set_room(disk_room::ample);
  n.hears(a, 1, prepare{record(2, 1).at, 2, records(3, 5, 1)});
  n.sync();
  CHECK(n.last_ack()->verified == 5);
  CHECK_FALSE(n.last_ack()->low_on_disk);
}

TEST_CASE("a learner counts from before the swap that adds it", "[replica]") {
  primary n{{a, b}};
  n.it.wanted({a, b, c}, n.now, n.out);
  n.hears(c, 2, verified(3));
  n.tick(720ms);
  REQUIRE(n.out.swaps.size() == 1);
  CHECK(n.out.swaps.front().config.in_sync == std::vector{a, b, c});
  n.it.append({record(4, 2)}, n.now, n.out);
  n.sync();
  n.hears(b, 2, verified(4));
  CHECK(n.it.committed() == 3);
  n.hears(c, 2, verified(4));
  CHECK(n.it.committed() == 4);
}

TEST_CASE("at the minimum a caught-up learner takes the place of a silent member at once",
          "[replica]") {
  primary n{{a, b}};
  n.it.wanted({a, b, c}, n.now, n.out);
  n.hears(c, 2, {0, true, {}, 0, 0});
  for (auto t = n.now; t < 1300ms; t += 50ms) {
    n.now = t;
    n.echo({b, c});
    n.tick(t);
  }
  CHECK(n.out.swaps.empty());
  n.hears(c, 2, verified(3));
  n.tick(1310ms);
  REQUIRE(n.out.swaps.size() == 1);
  CHECK(n.out.swaps.front().config.in_sync == std::vector{a, c});
}

TEST_CASE("a member takes over when the primary is silent and its own promise has run out",
          "[replica]") {
  follower n;
  for (auto t = 0ms; t < 650ms; t += 10ms) {
    n.now = t;
    n.echo({a, c});
    n.hears(a, 1, prepare{record(3, 1).at, 2, {}});
    n.tick(t);
  }
  CHECK(n.it.now_is() == role::follower);
  // It promised something at 640.
  leases at_a{a, 3, {1}, {}, 0ms};
  at_a.lead(0, 1, {a, b, c});
  n.now = 640ms;
  for (const auto& beacon : at_a.compose("b", 30ms))
    n.promises.receive("a", beacon, n.now);
  auto until = n.promises.granted_until(0);
  CHECK(until == 1247ms);
  std::optional<millis> asked;
  for (auto t = 650ms; t < 2000ms && !asked; t += 1ms) {
    n.now = t;
    n.echo({c});
    n.tick(t);
    if (!n.out.swaps.empty())
      asked = t;
  }
  REQUIRE(asked);
  CHECK(*asked >= until);
  CHECK(*asked > 640ms + 700ms);
  const auto& next = n.out.swaps.front().config;
  CHECK(next.term == 2);
  CHECK(next.primary == b);
  CHECK(next.in_sync == std::vector{b, c});
  // While the outcome is unknown it promises nothing.
  n.answer_swap(swap_outcome::unknown);
  auto before = n.promises.granted_until(0);
  for (const auto& beacon : at_a.compose("b", 1500ms))
    n.promises.receive("a", beacon, n.now);
  CHECK(n.promises.granted_until(0) == before);
}

TEST_CASE("who hears nobody does not take over", "[replica]") {
  follower n;
  for (auto t = 0ms; t < 5000ms; t += 10ms)
    n.tick(t);
  CHECK(n.it.now_is() == role::candidate);
  CHECK(n.out.swaps.empty());
}

TEST_CASE("an appointed member waits for its own promise, or for its release", "[replica]") {
  for (bool is_released : {false, true}) {
    INFO(is_released);
    follower n;
    n.tick(650ms);
    leases at_a{a, 3, {1}, {}, 0ms};
    at_a.lead(0, 1, {a, b, c});
    for (const auto& beacon : at_a.compose("b", 30ms))
      n.promises.receive("a", beacon, n.now);
    n.configured(config(2, 2, b, {a, b, c}));
    CHECK(n.it.now_is() == role::candidate);
    if (is_released)
      n.it.receive({0, 1, a, released{}}, n.now, n.out);
    else
      n.tick(1257ms);
    CHECK(n.it.now_is() == role::reconciling);
  }
}

TEST_CASE("a hand-off stops serving, names the successor, and releases", "[replica]") {
  primary n;
  CHECK_FALSE(n.it.hand_off(a, n.now, n.out));
  CHECK_FALSE(n.it.hand_off({"b", "wiped"}, n.now, n.out));
  REQUIRE(n.it.hand_off(b, n.now, n.out));
  n.confirm();
  CHECK_FALSE(n.it.writable());
  CHECK_FALSE(n.promises.held(0, 2, n.now));
  CHECK(n.out.messages.empty());
  REQUIRE(n.out.swaps.size() == 1);
  CHECK(n.out.swaps.front().config.primary == b);
  n.answer_swap(swap_outcome::applied);
  REQUIRE(n.out.messages.size() == 1);
  CHECK(n.out.messages.front().first == b);
  CHECK(n.out.messages.front().second.term == 2);
  CHECK(std::holds_alternative<released>(n.out.messages.front().second.body));
  CHECK(n.it.term() == 3);
  CHECK(n.it.now_is() == role::follower);
}

TEST_CASE("a primary whose disk failed names another at once, and releases", "[replica]") {
  primary n;
  n.it.append({record(4, 2)}, n.now, n.out); // is written nowhere
  n.out = {};
  SECTION("an in-sync member") {
    n.it.abandon(b, n.now, n.out);
    CHECK_FALSE(n.it.writable());
    CHECK_FALSE(n.promises.held(0, 2, n.now));
    CHECK(n.out.writes.empty());
    REQUIRE(n.out.swaps.size() == 1);
    CHECK(n.out.swaps.front().config.primary == b);
    CHECK(n.out.swaps.front().config.term == 3);
    SECTION("which the coordinator knows then") {
      n.answer_swap(swap_outcome::applied);
      REQUIRE(n.out.messages.size() == 1);
      CHECK(std::holds_alternative<released>(n.out.messages.front().second.body));
      CHECK(n.it.now_is() == role::follower);
    }
    SECTION("and does not lead itself where that fails") {
      n.answer_swap(swap_outcome::refused);
      n.tick(n.now + 100ms);
      CHECK_FALSE(n.it.writable());
      CHECK(n.it.now_is() != role::serving);
    }
  }
  SECTION("nobody else") {
    n.it.abandon(a, n.now, n.out);
    CHECK_FALSE(n.it.writable());
    CHECK(n.out.swaps.empty());
  }
}

TEST_CASE("a hand-off waits for what was taken to be committed, though not for long", "[replica]") {
  primary n;
  n.it.append({record(4, 2)}, n.now, n.out);
  n.sync();
  n.hears(b, 2, verified(4));
  REQUIRE(n.it.hand_off(b, n.now, n.out));
  CHECK_FALSE(n.it.hand_off(c, n.now, n.out));
  n.confirm();
  CHECK_FALSE(n.it.writable());
  CHECK(n.it.leaving());
  CHECK(n.it.now_is() == role::serving);
  SECTION("the last member acknowledges it") {
    n.hears(c, 2, verified(4));
    CHECK(n.it.committed() == 4);
  }
  SECTION("it does not") {
    n.tick(n.now + 99ms);
    CHECK(n.it.leaving());
    n.tick(n.now + 1ms);
    CHECK(n.it.committed() == 3);
  }
  CHECK_FALSE(n.it.leaving());
  CHECK(n.it.now_is() == role::candidate);
  REQUIRE(n.out.swaps.size() == 1);
  CHECK(n.out.swaps.front().config.primary == b);
}

TEST_CASE("while the coordinator does not answer, a shard is not handed over but served",
          "[replica]") {
  primary n;
  REQUIRE(n.it.hand_off(b, n.now, n.out));
  CHECK(n.out.read_config);
  n.it.confirmed(n.it.config(), n.now - 1ms, n.now, n.out); // asked before
  CHECK(n.it.writable());
  for (int i = 0; i < 11; ++i) {
    n.now += 100ms;
    n.hears(b, 2, verified(3));
    n.hears(c, 2, verified(3));
    n.echo({b, c});
    n.tick(n.now);
  }
  n.confirm(); // too late: it was given up
  CHECK(n.it.writable());
  CHECK(n.it.now_is() == role::serving);
}

TEST_CASE("a learner is added with all that was written before it counted", "[replica]") {
  node n{a};
  n.configured(config(1, 1, a, {a}, 1));
  n.sync();
  n.it.wanted({a, b}, n.now, n.out);
  n.it.append({record(1, 1)}, n.now, n.out); // this node, alone, may apply it with the same write
  n.hears(b, 1, verified(0));
  n.echo({b});
  n.tick(10ms);
  CHECK(n.out.swaps.empty());
  n.sync();
  n.hears(b, 1, verified(1));
  n.tick(20ms);
  REQUIRE(n.out.swaps.size() == 1);
  CHECK(n.out.swaps.front().config.in_sync.size() == 2);
}

TEST_CASE("a primary steps down when it learns of a later term", "[replica]") {
  SECTION("from the coordinator") {
    primary n;
    n.configured(config(7, 3, b, {b, c}));
    CHECK(n.it.now_is() == role::follower);
    CHECK(n.it.term() == 3);
  }
  SECTION("from the new primary") {
    primary n;
    n.hears(b, 3, prepare{record(3, 1).at, 3, {}});
    CHECK(n.it.now_is() == role::follower);
  }
  SECTION("a member that follows another makes it look") {
    primary n;
    n.now += 200ms;
    n.hears(b, 3, acknowledgement{0, true, {}, 0, 0});
    CHECK(n.out.read_config);
    CHECK(n.it.now_is() == role::serving);
  }
}

TEST_CASE("who is behind the kept log gets a copy, once a second and only while it does not count",
          "[replica]") {
  primary n{{a, b}};
  n.kept_from = 3;
  n.it.wanted({a, b, c}, n.now, n.out);
  n.tick(720ms);
  n.take();
  n.hears(c, 2, {0, true, {}, 0, 0});
  n.tick(730ms);
  CHECK(n.out.exports == std::vector{c});
  n.tick(740ms);
  CHECK(n.out.exports.size() == 1);
  // Another log under what it holds as committed: a copy too, and no entries.
  primary m{{a, b}};
  m.it.wanted({a, b, c}, m.now, m.out);
  m.take();
  m.hears(c, 2, {0, true, record(2, 1, 'x').at, 0, 0});
  m.tick(730ms);
  CHECK(m.out.exports == std::vector{c});
  for (const auto& [to, said] : m.out.messages)
    if (to == c)
      CHECK(std::get<prepare>(said.body).entries.empty());
}

TEST_CASE("a copy replaces nothing that was acknowledged since", "[replica]") {
  follower n;
  CHECK_FALSE(n.it.begin_install(2, record(9, 1).at));
  n.hears(a, 1, prepare{record(3, 1).at, 3, {}});
  CHECK_FALSE(n.it.begin_install(1, record(3, 1).at));
  CHECK(n.it.begin_install(1, record(9, 1).at));
  n.take();
  n.hears(a, 1, prepare{record(3, 1).at, 3, records(4, 4, 1)});
  CHECK(n.out.messages.empty());
  CHECK(n.out.writes.empty());
  n.it.installed(record(9, 1).at, n.now, n.out);
  CHECK(n.it.committed() == 9);
  n.hears(a, 1, prepare{record(9, 1).at, 9, {record(10, 1)}});
  n.sync();
  CHECK(n.last_ack()->verified == 10);
}

TEST_CASE("what is not acknowledged is sent again, in one batch until there is an answer",
          "[replica]") {
  primary n{{a, b}};
  n.it.append(records(4, 6, 2), n.now, n.out);
  n.sync();
  auto sent = [](effects e) {
    std::size_t entries = 0;
    for (const auto& [to, m] : e.messages)
      if (const auto* p = std::get_if<prepare>(&m.body))
        entries += p->entries.size();
    return entries;
  };
  CHECK(sent(n.take()) == 3);
  n.tick(n.now + 60ms);
  CHECK(sent(n.take()) == 3);
  n.hears(b, 2, verified(5));
  n.tick(n.now + 60ms);
  CHECK(sent(n.take()) == 1);
}

TEST_CASE("no more than its window is on the way to one member", "[replica]") {
  replica_options o;
  o.prepare_bytes = 10;
  o.in_flight_bytes = 20; // entries have five bytes
  node n{a, {1, {}, {}}, o};
  n.now = 700ms;
  n.echo({b});
  n.configured(config(1, 1, a, {a, b}));
  n.answer_swap(swap_outcome::applied);
  n.sync();
  n.hears(b, 2, verified(0));
  n.take();
  n.it.append(records(1, 20, 2), n.now, n.out);
  std::uint64_t last = 0;
  for (const auto& [to, m] : n.out.messages) {
    const auto& p = std::get<prepare>(m.body);
    CHECK(p.entries.size() <= 2);
    last = p.entries.back().at.seq;
  }
  CHECK(last == 4);
}

TEST_CASE("a fenced primary stops at once and lets others go first", "[replica]") {
  primary n;
  n.it.fence(n.now, n.out);
  CHECK(n.it.now_is() == role::follower);
  CHECK_FALSE(n.promises.held(0, 2, n.now));
  n.echo({b, c});
  n.tick(n.now + 100ms);
  CHECK(n.out.swaps.empty());
}

TEST_CASE("a message survives its bytes, and others do not pass", "[replica]") {
  for (const message& m :
       {message{3, 9, a, prepare{record(4, 2).at, 3, records(5, 6, 2), 77ms}},
        message{3, 9, a, acknowledgement{7, true, record(5, 2).at, 4, 3, true, 77ms}},
        message{3, 9, a, released{}}}) {
    auto bytes = encode(m);
    auto back = decode_message(bytes);
    REQUIRE(back);
    CHECK(encode(*back) == bytes);
    CHECK(back->from == a);
    CHECK(back->body.index() == m.body.index());
    for (std::size_t size = 0; size < bytes.size(); ++size)
      CHECK_FALSE(decode_message(std::string_view{bytes}.substr(0, size)));
  }
  CHECK_FALSE(decode_message("\x93\x01\x02\x03"));
}

TEST_CASE("a copy holds all of the time at which its primary last heard of it, once it has applied "
          "what was committed then",
          "[replica]") {
  follower n;
  CHECK_FALSE(n.it.holds_all_of());
  n.now = 300ms;
  n.hears(a, 1, prepare{record(3, 1).at, 3, records(4, 4, 1), 250ms});
  n.sync();
  n.it.applied(2);
  CHECK_FALSE(n.it.holds_all_of());
  n.it.applied(3);
  CHECK(n.it.holds_all_of() == 250ms);

  SECTION("what its primary cannot vouch for changes nothing") {
    n.hears(a, 1, prepare{record(4, 1).at, 3, {}});
    CHECK(n.it.holds_all_of() == 250ms);
  }
  SECTION("what does not follow from its own log changes nothing") {
    n.hears(a, 1, prepare{record(9, 1).at, 3, {}, 290ms});
    CHECK(n.it.holds_all_of() == 250ms);
  }
  SECTION("a time of a clock that is not its own changes nothing") {
    n.hears(a, 1, prepare{record(4, 1).at, 3, {}, 301ms});
    CHECK(n.it.holds_all_of() == 250ms);
  }
  SECTION("of a term whose record it does not know, the generation is not known") {
    n.hears(c, 2, prepare{record(4, 1).at, 3, {}, 290ms});
    CHECK_FALSE(n.it.holds_all_of());
    n.configured(config(2, 2, c, {b, c}));
    CHECK(n.it.holds_all_of() == 290ms);
  }
  SECTION("a copy that is being replaced holds nothing") {
    n.hears(a, 1, prepare{record(20, 1).at, 20, {}, 290ms});
    REQUIRE(n.it.begin_install(1, record(20, 1).at));
    CHECK_FALSE(n.it.holds_all_of());
    n.it.installed(record(20, 1).at, n.now, n.out);
    CHECK_FALSE(n.it.holds_all_of());
    n.hears(a, 1, prepare{record(20, 1).at, 20, {}, 295ms});
    CHECK(n.it.holds_all_of() == 295ms);
  }
}

TEST_CASE(
    "a member of the record holds all of the time at which it was read, where nothing waits to "
    "be applied",
    "[replica]") {
  follower n;
  n.it.confirmed(config(1, 1, a, {a, b, c}), 400ms, n.now, n.out);
  CHECK_FALSE(n.it.holds_all_of()); // entry 3 may have been acknowledged
  n.it.applied(3);
  n.it.confirmed(config(1, 1, a, {a, c}), 400ms, n.now, n.out);
  CHECK_FALSE(n.it.holds_all_of());
  n.it.confirmed(config(1, 1, a, {a, {"b", "wiped"}, c}), 400ms, n.now, n.out);
  CHECK_FALSE(n.it.holds_all_of());
  n.it.confirmed(config(1, 1, a, {a, b, c}), 400ms, n.now, n.out);
  CHECK(n.it.holds_all_of() == 400ms);
  n.it.confirmed(config(1, 1, a, {a, b, c}), 300ms, n.now, n.out);
  CHECK(n.it.holds_all_of() == 400ms);
}

TEST_CASE("a primary vouches to a member while nobody else can lead, with the member's own time",
          "[replica]") {
  primary n;
  auto last_to_b = [&]() -> std::optional<prepare> {
    for (auto m = n.out.messages.rbegin(); m != n.out.messages.rend(); ++m)
      if (m->first == b)
        if (auto* p = std::get_if<prepare>(&m->second.body))
          return *p;
    return std::nullopt;
  };
  n.now += 100ms;
  n.echo({b, c});
  auto ack = verified(3);
  ack.sent = 12345ms;
  n.hears(b, 2, ack);
  n.it.append({record(4, 2)}, n.now, n.out);
  REQUIRE(last_to_b());
  CHECK(last_to_b()->vouched == 12345ms);
  n.sync();
  n.take();
  n.now += 601ms; // no grant holds any more
  n.it.append({record(5, 2)}, n.now, n.out);
  REQUIRE(last_to_b());
  CHECK(last_to_b()->vouched == 0ms);
}
