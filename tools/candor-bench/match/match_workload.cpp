#include "tools/candor-bench/match/match_workload.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>

#include <fmt/format.h>

#include "tools/candor-bench/match/expression_text.hpp"

namespace candor::bench {

using namespace ad_matching::index;

namespace {

enum place : std::uint16_t {
  country,
  region,
  lang,
  age,
  device,
  placement,
  hour,
  consent,
  coppa,
  topics,
  ctx,
  segments,
  follows,
  bcat
};

constexpr match_attribute table[] = {
    {"country", "integer", 0, 199},
    {"region", "integer", 0, 799},
    {"lang", "integer", 0, 49},
    {"age", "integer", 13, 99},
    {"device", "integer", 0, 4},
    {"placement", "integer", 0, 5},
    {"hour", "integer", 0, 167},
    {"consent", "boolean", 0, 1},
    {"coppa", "boolean", 0, 1},
    {"topics", "integer list", 0, 699},
    {"ctx", "integer list", 0, 699},
    {"segments", "integer list", 0, 4999},
    {"follows", "integer list", 0, 19'999},
    {"bcat", "integer list", 0, 699},
};

/// Value i with a probability like 1 / (i + 1).
class zipf {
public:
  explicit zipf(std::size_t n) {
    for (std::size_t i = 0; i < n; ++i)
      sums_.push_back((i == 0 ? 0 : sums_.back()) + (std::uint64_t{1} << 40) / (i + 1));
  }
  std::int64_t operator()(rng& random) const {
    auto at = random.next() % sums_.back();
    return std::ranges::upper_bound(sums_, at) - sums_.begin();
  }

private:
  std::vector<std::uint64_t> sums_;
};

class maker {
public:
  maker(match_profile profile, std::uint64_t seed)
    : profile_{profile}
    , random_{seed} {
    for (const auto& a : table)
      zipfs_.emplace_back(static_cast<std::size_t>(a.most - a.least + 1));
  }

  match_folder make(std::size_t campaigns, std::size_t events) {
    match_folder made;
    for (const auto& a : table)
      made.schema.push_back(
          {std::string{a.name}, std::string_view{a.type} == "integer"   ? value_kind::number
                                : std::string_view{a.type} == "boolean" ? value_kind::flag
                                                                        : value_kind::list});
    auto advertisers = campaigns / 20 + 1;
    zipf advertiser{advertisers};
    std::vector<wish> shared(advertisers);
    for (auto& w : shared)
      w = shared_clauses();
    for (std::size_t i = 0; i < campaigns; ++i) {
      campaign c;
      c.id = i + 1;
      // From 0.02 to 5 of the currency, evenly over the orders of magnitude.
      c.bid_micros = static_cast<std::int64_t>(20'000 * std::exp2(8.0 * below(1'000'000) / 1e6));
      c.quality = static_cast<std::uint8_t>(60 + below(196));
      c.relevance = some_topics(1 + below(4));
      c.wish = wish_of(shared[static_cast<std::size_t>(advertiser(random_))]);
      made.campaigns.push_back(std::move(c));
    }
    for (std::size_t i = 0; i < events; ++i)
      made.events.push_back(make_event(i + 1, campaigns));
    make_operations(made, campaigns);
    return made;
  }

private:
  std::uint64_t below(std::uint64_t n) { return random_.next() % n; }
  bool chance(int percent) { return below(100) < static_cast<std::uint64_t>(percent); }
  std::int64_t some(place a) { return table[a].least + zipfs_[a](random_); }
  std::vector<std::int64_t> some(place a, std::size_t n) {
    std::vector<std::int64_t> made;
    while (made.size() < n)
      if (auto v = some(a); std::ranges::find(made, v) == made.end())
        made.push_back(v);
    std::ranges::sort(made);
    return made;
  }

  std::vector<weighted_topic> some_topics(std::size_t n) {
    std::vector<weighted_topic> made;
    for (auto t : some(topics, n))
      made.push_back({static_cast<std::uint32_t>(t), static_cast<std::uint8_t>(1 + below(255))});
    return made;
  }

  static void leaf(wish& w, operation what, place a, std::vector<std::int64_t> values) {
    auto first = static_cast<std::uint32_t>(w.values.size());
    w.values.insert(w.values.end(), values.begin(), values.end());
    w.nodes.push_back({what, a, first, static_cast<std::uint32_t>(values.size()),
                       static_cast<std::uint32_t>(w.nodes.size() + 1)});
  }

  template <class Below>
  static void joint(wish& w, operation what, Below below) {
    auto at = w.nodes.size();
    w.nodes.push_back({what, 0, 0, 0, 0});
    below();
    w.nodes[at].end = static_cast<std::uint32_t>(w.nodes.size());
  }

  /// What an advertiser asks for in all its campaigns. A row of clauses without a root.
  wish shared_clauses() {
    wish w;
    if (profile_ == match_profile::equalities) {
      leaf(w, operation::in, country, {some(country)});
      return w;
    }
    if (profile_ == match_profile::broad) {
      if (chance(50))
        leaf(w, operation::not_in, country, some(country, 1 + below(2)));
      return w;
    }
    if (chance(80))
      leaf(w, operation::in, country, some(country, 1 + below(3)));
    if (chance(30))
      leaf(w, operation::none_of, bcat, some(bcat, 1 + below(3)));
    if (chance(40))
      leaf(w, operation::in, consent, {1});
    if (chance(50))
      joint(w, operation::negation, [&] { leaf(w, operation::in, coppa, {1}); });
    return w;
  }

  void append(wish& w, const wish& clauses) {
    auto nodes = static_cast<std::uint32_t>(w.nodes.size());
    auto values = static_cast<std::uint32_t>(w.values.size());
    for (auto n : clauses.nodes) {
      n.first += values;
      n.end += nodes;
      w.nodes.push_back(n);
    }
    w.values.insert(w.values.end(), clauses.values.begin(), clauses.values.end());
  }

  wish wish_of(const wish& shared) {
    wish w;
    joint(w, operation::all, [&] {
      append(w, shared);
      switch (profile_) {
        case match_profile::equalities:
          for (auto a : {lang, device, placement, region})
            if (chance(60))
              leaf(w, operation::in, a, {some(a)});
          leaf(w, operation::in, age, {some(age)});
          break;
        case match_profile::broad:
          broad_clauses(w);
          break;
        case match_profile::narrow:
          mixed_clauses(w, 2);
          leaf(w, operation::one_of, topics, some(topics, 1 + below(2)));
          break;
        case match_profile::realistic:
          mixed_clauses(w, 1);
          break;
      }
    });
    // A conjunction of one or none is not written so.
    if (w.nodes.size() == 1)
      return {};
    if (w.nodes[1].end == w.nodes.size()) {
      w.nodes.erase(w.nodes.begin());
      for (auto& n : w.nodes)
        --n.end;
    }
    return w;
  }

  void broad_clauses(wish& w) {
    if (chance(30))
      leaf(w, operation::none_of, ctx, some(ctx, 1));
    if (chance(30))
      leaf(w, operation::at_least, age, {13 + static_cast<std::int64_t>(below(10))});
    if (chance(20))
      leaf(w, operation::not_in, device, {some(device)});
    if (chance(10))
      leaf(w, operation::in, lang, some(lang, 8));
  }

  void mixed_clauses(wish& w, int strict) {
    if (chance(25 * strict))
      leaf(w, operation::in, lang, some(lang, 1 + below(2)));
    if (chance(8 * strict))
      leaf(w, operation::in, region, some(region, 1 + below(4)));
    if (chance(40 * strict)) {
      auto from = 13 + static_cast<std::int64_t>(below(40));
      leaf(w, operation::at_least, age, {from});
      if (chance(60))
        leaf(w, operation::at_most, age, {from + 8 + static_cast<std::int64_t>(below(30))});
    }
    if (chance(30 * strict))
      leaf(w, operation::in, device, some(device, 1 + below(2)));
    if (chance(25 * strict))
      leaf(w, operation::in, placement, some(placement, 1 + below(2)));
    if (chance(12 * strict)) {
      auto day = 24 * static_cast<std::int64_t>(below(7));
      leaf(w, operation::at_least, hour, {day + 7});
      leaf(w, operation::at_most, hour, {std::min<std::int64_t>(167, day + 24 * 3 + 22)});
    }
    if (chance(35))
      joint(w, operation::any, [&] {
        leaf(w, operation::one_of, topics, some(topics, 1 + below(4)));
        leaf(w, operation::one_of, ctx, some(ctx, 1 + below(3)));
      });
    else if (chance(40))
      leaf(w, operation::one_of, topics, some(topics, 1 + below(4)));
    else if (chance(30))
      leaf(w, operation::one_of, segments, some(segments, 1 + below(5)));
    else if (chance(15))
      leaf(w, operation::one_of, follows, some(follows, 1 + below(5)));
    if (chance(10))
      leaf(w, operation::none_of, ctx, some(ctx, 1 + below(2)));
    if (chance(4))
      leaf(w, operation::all_of, segments, some(segments, 2));
    if (chance(8))
      joint(w, operation::any, [&] {
        joint(w, operation::all, [&] {
          leaf(w, operation::in, device, {some(device)});
          leaf(w, operation::in, placement, some(placement, 2));
        });
        joint(w, operation::negation, [&] {
          joint(w, operation::all, [&] {
            leaf(w, operation::in, lang, some(lang, 2));
            leaf(w, operation::one_of, segments, some(segments, 2));
          });
        });
      });
  }

  match_event make_event(std::size_t id, std::size_t campaigns) {
    match_event e;
    e.id = fmt::format("{}", id);
    auto& asked = e.request;
    asked.numbers.resize(std::size(table));
    asked.lists.resize(std::size(table));
    for (auto a : {country, region, lang, device, placement})
      if (!chance(3))
        asked.numbers[a] = some(a);
    if (!chance(10))
      asked.numbers[age] = profile_ == match_profile::equalities
                               ? some(age)
                               : 16 + static_cast<std::int64_t>(below(30) + below(30));
    asked.numbers[hour] = static_cast<std::int64_t>(below(168));
    asked.numbers[consent] = !chance(15);
    asked.numbers[coppa] = chance(3);
    auto interested = below(13);
    asked.interests = some_topics(interested);
    for (auto t : asked.interests)
      asked.lists[topics].push_back(t.topic);
    asked.lists[ctx] = some(ctx, 1 + below(4));
    asked.lists[segments] = some(segments, below(12));
    asked.lists[follows] = some(follows, below(10));
    if (chance(20))
      asked.lists[bcat] = some(bcat, 1 + below(4));
    if (chance(40))
      for (std::size_t i = 0, n = 1 + below(5); i < n && campaigns > 0; ++i)
        asked.left_out.push_back(1 + below(campaigns));
    std::ranges::sort(asked.left_out);
    asked.left_out.erase(std::unique(asked.left_out.begin(), asked.left_out.end()),
                         asked.left_out.end());
    return e;
  }

  void make_operations(match_folder& x, std::size_t campaigns) {
    using what = match_change;
    auto next = campaigns - campaigns / 10;
    if (campaigns == 0 || x.events.empty())
      return;
    for (std::size_t i = 0, n = std::max<std::size_t>(campaigns / 10, x.events.size()); i < n;
         ++i) {
      auto kind = below(10);
      match_operation o;
      o.id = 1 + below(campaigns);
      o.what = kind < 3   ? what::pause
               : kind < 5 ? what::resume
               : kind < 8 ? what::bid
               : kind < 9 ? what::add
                          : what::remove;
      if (o.what == what::add && next < campaigns)
        o.id = ++next;
      if (o.what == what::bid)
        o.bid_micros = static_cast<std::int64_t>(10'000 + below(5'000'000));
      x.operations.push_back(o);
      if (i < x.events.size())
        x.operations.push_back({match_change::query, 0, i, 0});
    }
  }

  match_profile profile_;
  seeded_rng random_;
  std::vector<zipf> zipfs_;
};

std::string topics_text(const std::vector<weighted_topic>& topics) {
  std::string made;
  for (auto t : topics)
    made += fmt::format("{}{}:{}", made.empty() ? "" : ",", t.topic, t.weight);
  return made;
}

std::string event_json(const request& asked, const schema& schema) {
  std::string made = "{";
  for (std::size_t a = 0; a < schema.size(); ++a) {
    auto begin = fmt::format("{}\"{}\": ", made.size() > 1 ? ", " : "", schema[a].name);
    if (schema[a].kind == value_kind::list)
      made += fmt::format("{}[{}]", begin, fmt::join(asked.lists[a], ", "));
    else if (const auto& n = asked.numbers[a])
      made += begin + (schema[a].kind == value_kind::flag ? *n != 0 ? "true" : "false"
                                                          : fmt::format("{}", *n));
  }
  return made + "}";
}

} // namespace

std::span<const match_attribute> match_attributes() {
  return table;
}

std::optional<match_profile> find_match_profile(std::string_view name) {
  static constexpr std::string_view names[] = {"realistic", "narrow", "broad", "equalities"};
  const auto* it = std::ranges::find(names, name);
  return it == std::end(names) ? std::nullopt
                               : std::optional{static_cast<match_profile>(it - names)};
}

match_folder make_match_folder(match_profile profile, std::size_t campaigns, std::size_t events,
                               std::uint64_t seed) {
  return maker{profile, seed}.make(campaigns, events);
}

result<void> write_match_folder(const match_folder& x, const std::filesystem::path& folder) {
  std::error_code ec;
  std::filesystem::create_directories(folder, ec);
  auto write = [&](const char* name, const auto& lines) -> result<void> {
    std::ofstream out{folder / name, std::ios::trunc};
    lines(out);
    out.close();
    if (!out)
      return fail(errc::io_failed, fmt::format("{} cannot be written", (folder / name).string()));
    return {};
  };
  CANDOR_TRY_VOID(write("schema.txt", [&](std::ostream& out) {
    for (const auto& a : table)
      out << fmt::format("{}|{}|false|{}|{}\n", a.name, a.type, a.least, a.most);
  }));
  CANDOR_TRY_VOID(write("campaigns.tsv", [&](std::ostream& out) {
    for (const auto& c : x.campaigns)
      out << fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", c.id, c.bid_micros, c.quality, 50'000'000,
                         topics_text(c.relevance), to_text(c.wish, x.schema));
  }));
  CANDOR_TRY_VOID(write("events.tsv", [&](std::ostream& out) {
    for (const auto& e : x.events)
      out << fmt::format("{}\t{}\t{}\t{}\n", e.id, topics_text(e.request.interests),
                         fmt::join(e.request.left_out, ","), event_json(e.request, x.schema));
  }));
  return write("ops.tsv", [&](std::ostream& out) {
    static constexpr char letters[] = {'P', 'R', 'B', 'A', 'D', 'Q'};
    for (const auto& o : x.operations)
      if (o.what == match_change::query)
        out << fmt::format("Q {}\n", x.events[o.event].id);
      else if (o.what == match_change::bid)
        out << fmt::format("B {} {}\n", o.id, o.bid_micros);
      else
        out << fmt::format("{} {}\n", letters[static_cast<std::size_t>(o.what)], o.id);
  });
}

} // namespace candor::bench
