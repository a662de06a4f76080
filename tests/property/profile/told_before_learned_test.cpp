/// Random interleavings of notices, events, policies, moves, restarts and the clock: whatever was
/// learned from must have been allowed, judged here by a plain reading of the rules over the test's
/// own history.

#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/support/shard.hpp"

using namespace candor;
using namespace candor::test;
using namespace std::chrono_literals;

namespace {

const auto start = at("2025-10-06T12:00:00Z");

/// Versions that may be applied, in any order and at any time.
struct version {
  std::string name;
  int revision;
  std::string announce, effective;
  std::set<std::string> excluded; ///< of the four regions below
  std::string excluded_toml;
};

const std::vector<version> versions{
    {"2025-12-16.1",
     1,
     "2025-10-07T00:00:00Z",
     "2025-12-16T00:00:00Z",
     {"GB", "DE"},
     R"(["GB", "EU", "KR"])"},
    {"2025-12-20.1", 2, "2025-12-17T00:00:00Z", "2025-12-20T00:00:00Z", {"DE"}, R"(["EU"])"},
    {"2025-12-24.1",
     1,
     "2025-12-21T00:00:00Z",
     "2025-12-24T00:00:00Z",
     {"GB", "DE", "BR"},
     R"(["GB", "EU", "BR"])"},
};

std::string text_of(const version& v) {
  auto text = shipped_policy();
  auto put = [&](const std::string& key, const std::string& value) {
    auto from = text.find("\n" + key + " = ") + 1;
    text.replace(from, text.find('\n', from) - from, key + " = " + value);
  };
  put("version", '"' + v.name + '"');
  put("notice_revision", std::to_string(v.revision));
  put("announce_at", v.announce);
  put("effective_at", v.effective);
  put("complete_by", v.effective);
  put("excluded_regions", v.excluded_toml);
  return text;
}

const std::vector<std::string> people{"ann", "bob", "cy"};
const std::vector<std::string> regions{"US", "GB", "DE", "BR"};

/// What happened, as the test did it.
struct history {
  struct move {
    std::string region;
    timestamp since;
  };
  std::map<std::string, std::vector<move>> moves;
  std::map<std::string, std::vector<std::pair<int, timestamp>>> reached; ///< revision, when
  std::vector<version> applied;
  std::map<std::string, std::uint32_t> learned;

  const version* in_force(timestamp t) const {
    const version* found = nullptr;
    for (const auto& v : applied)
      if (test::at(v.effective) <= t &&
          (!found || test::at(v.effective) >= test::at(found->effective)))
        found = &v;
    return found;
  }

  std::string region(const std::string& who, timestamp t) const {
    std::string found;
    if (auto it = moves.find(who); it != moves.end())
      for (const auto& m : it->second)
        if (m.since <= t)
          found = m.region;
    return found;
  }

  bool told(const std::string& who, int revision, timestamp before) const {
    auto it = reached.find(who);
    return it != reached.end() && std::ranges::any_of(it->second, [&](const auto& r) {
             return r.first == revision && r.second <= before;
           });
  }

  bool allows(const std::string& who, timestamp when, timestamp received) const {
    for (auto v : {in_force(when), in_force(received)}) {
      if (!v || !told(who, v->revision, when))
        return false;
      for (auto t : {when, received})
        if (region(who, t).empty() || v->excluded.contains(region(who, t)))
          return false;
    }
    return true;
  }
};

template <class T>
const T& one_of(const std::vector<T>& list) {
  return list[*rc::gen::resize(100, rc::gen::inRange<std::size_t>(0, list.size()))];
}

int number(int least, int most) {
  return *rc::gen::resize(100, rc::gen::inRange(least, most + 1));
}

void go_round(shard& s) {
  auto round = s.people->find_notices(100, 100);
  RC_ASSERT(round.has_value());
  for (auto& entry : round->entries)
    s.append(std::move(entry));
  for (const auto& mail : round->mails)
    s.commit(s.people->record_mail(user(mail.user), mail.notice, profile::mail_result::deferred,
                                   s.time.now(), s.time.now() + 1h));
}

} // namespace

TEST_CASE(
    "nothing is learned before a notice was reached, before the date, in an excluded region, or "
    "under a version not in force",
    "[notices][property]") {
  auto learned_in_all = 0, withheld_in_all = 0;
  auto holds = rc::check("over random interleavings", [&] {
    shard s{start, ""};
    history h;
    for (auto step = 0, events = 0; step < 240; ++step) {
      const auto& who = one_of(people);
      switch (number(0, 8)) {
        case 0: { // the clock is set forward, as in the playground
          s.time.advance(std::chrono::hours{number(1, 24 * 8)});
          s.commit(s.people->follow_clock(s.time.now(), "test"));
          break;
        }
        case 1: {
          const auto& region = one_of(regions);
          s.move(who, region, s.time.now());
          auto& moves = h.moves[who];
          if (moves.empty() || moves.back().region != region)
            moves.push_back({region, s.time.now()});
          break;
        }
        case 2: {
          const auto& v = one_of(versions);
          auto known = std::ranges::any_of(h.applied, [&](auto& a) { return a.name == v.name; });
          s.commit(s.people->apply_policy(text_of(v), "test"));
          if (!known)
            h.applied.push_back(v);
          break;
        }
        case 3: {
          go_round(s);
          break;
        }
        case 4: { // the person's app fetches what lies in the inbox
          auto record = s.people->inbox(user(who), s.inbox_of(who));
          if (!record)
            break;
          auto lines = s.commit(std::move(record)).notices;
          for (const auto& n : lines)
            if (n.channel == model::channel::in_app && n.reached == s.time.now())
              h.reached[who].emplace_back(static_cast<int>(n.revision), s.time.now());
          break;
        }
        case 5: {
          s.reopen();
          break;
        }
        default: {
          auto when = s.time.now() - std::chrono::minutes{number(0, 20 * 60)};
          auto verdict = s.say("e" + std::to_string(++events), who, when, "hiking");
          if (verdict.status == model::status::accepted) {
            RC_ASSERT(h.allows(who, when, s.time.now()));
            ++h.learned[who];
            ++learned_in_all;
          } else {
            // And nothing that the rules allow is withheld.
            RC_ASSERT(verdict.reason == "too_old" || !h.allows(who, when, s.time.now()));
            ++withheld_in_all;
          }
        }
      }
    }
    for (const auto& who : people) {
      std::uint32_t kept = 0;
      if (auto seen = s.people->read(user(who)))
        for (const auto& i : seen->interests)
          kept += i.interest.source == model::source::ai ? i.interest.events : 0;
      RC_ASSERT(kept == h.learned[who]);
    }
  });
  CHECK(holds);
  WARN(learned_in_all << " learned, " << withheld_in_all << " withheld");
  CHECK(learned_in_all > 0);
  CHECK(withheld_in_all > 0);
}
