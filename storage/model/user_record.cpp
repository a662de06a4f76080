#include "storage/model/user_record.hpp"

#include <algorithm>
#include <limits>

#include "storage/base/limits.hpp"
#include "storage/model/packing.hpp"

namespace candor::model {

std::string_view to_string(notice_state s) noexcept {
  switch (s) {
    case notice_state::sent:
      return "sent";
    case notice_state::intended:
      return "intended";
    case notice_state::failed:
      break;
  }
  return "failed";
}

// -- arithmetic of interests -------------------------------------------------------------------

namespace {

/// 2^-(i/256) in 1/2^31 for i = 0..255, as products of 2^-(1/2^k), k = 1..8: integers only, so that
/// every build and machine has the same table.
constexpr std::array<std::uint32_t, 256> octave = [] {
  constexpr std::uint64_t roots[8] = {1518500250, 1805811301, 1969251188, 2056437387,
                                      2101467502, 2124350982, 2135885998, 2141676973};
  std::array<std::uint32_t, 256> table{};
  for (unsigned i = 0; i < 256; ++i) {
    std::uint64_t value = 1ull << 31;
    for (unsigned bit = 0; bit < 8; ++bit)
      if (i & (128u >> bit))
        value = (value * roots[bit]) >> 31;
    table[i] = static_cast<std::uint32_t>(value);
  }
  return table;
}();

/// Weights stay far below this, so that a product with the table fits 63 bits.
constexpr std::int64_t weight_max = std::int64_t{1} << 31;

bool before(const interest& x, topic_id topic, source from) noexcept {
  return x.topic != topic ? x.topic < topic : x.source < from;
}

} // namespace

std::int64_t decay(std::int64_t weight, timestamp from, timestamp until,
                   const half_lives& periods) {
  CANDOR_ASSERT(!periods.empty());
  if (until <= from || weight <= 0)
    return weight;
  // Elapsed half-lives in 1/256, summed over the periods that [from, until) crosses.
  std::int64_t steps = 0;
  for (std::size_t i = 0; i < periods.size(); ++i) {
    auto begin = i == 0 ? from : std::max(from, periods[i].from);
    auto end = i + 1 < periods.size() ? std::min(until, periods[i + 1].from) : until;
    if (begin < end)
      steps += (end - begin).count() * 256 / periods[i].half_life.count();
  }
  auto octaves = steps / 256;
  if (octaves >= 40)
    return 0;
  auto scaled = std::min(weight, weight_max) * static_cast<std::int64_t>(octave[steps % 256]) >> 31;
  return scaled >> octaves;
}

void fold(user_record& record, const learned& delta, const half_lives& periods) {
  for (const auto& [topic, weight] : delta.topics) {
    auto it =
        std::ranges::lower_bound(record.interests, true, {}, [&, topic = topic](const interest& x) {
          return !before(x, topic, delta.source);
        });
    if (it == record.interests.end() || it->topic != topic || it->source != delta.source)
      it = record.interests.insert(
          it,
          interest{topic, delta.source, 0, delta.event.at, delta.event.at, delta.event.at, 0, {}});
    auto at = delta.event.at;
    if (at >= it->as_of) {
      it->weight = decay(it->weight, it->as_of, at, periods) + weight;
      it->as_of = at;
    } else {
      it->weight += decay(weight, at, it->as_of, periods);
    }
    it->weight = std::min(it->weight, weight_max);
    it->since = std::min(it->since, at);
    if (at >= it->last) {
      it->last = at;
      it->policy_version = delta.policy_version;
    }
    if (it->events < std::numeric_limits<std::uint32_t>::max())
      ++it->events;
  }
  record.seen.push_back(delta.event);
}

void prune(user_record& record, timestamp now, millis retention, timestamp oldest_seen,
           const half_lives& periods, const std::function<bool(std::uint32_t)>& run_open) {
  std::erase_if(record.interests, [&](const interest& x) {
    return x.last + retention < now || decay(x.weight, x.as_of, now, periods) == 0;
  });
  std::erase_if(record.seen, [&](const seen_event& x) {
    return x.at < oldest_seen && (x.import_run == 0 || !run_open(x.import_run));
  });
}

std::uint8_t strength(std::int64_t weight) noexcept {
  if (weight <= 0)
    return 0;
  // Half of the scale at four mentions, nearly all of it at a hundred.
  auto half = std::int64_t{4} * one_mention;
  auto w = std::min(weight, weight_max);
  return static_cast<std::uint8_t>(std::max<std::int64_t>(1, 255 * w / (w + half)));
}

void merge(user_record& record, const user_details& details, timestamp now) {
  auto& who = record.person;
  if (details.region) {
    auto since = details.region_since.value_or(now);
    // What was stated for later times is replaced: the platform knows best.
    std::erase_if(who.regions, [&](const region_period& p) { return p.since >= since; });
    if (who.regions.empty() || who.regions.back().region != *details.region)
      who.regions.push_back({*details.region, since});
    if (who.regions.size() > limits::regions_remembered)
      who.regions.erase(who.regions.begin());
  }
  auto take = [](std::string& to, const std::optional<std::string>& from) {
    if (from)
      to = *from;
  };
  take(record.lang, details.lang);
  take(record.zone, details.zone);
  take(record.email, details.email);
  take(record.app, details.app);
  if (details.birth_year)
    who.birth_year = details.birth_year;
  if (details.assistant_user_since && !who.assistant_user_since)
    who.assistant_user_since = details.assistant_user_since;
}

// -- codecs ------------------------------------------------------------------------------------

namespace {

using namespace packing;

constexpr unsigned user_record_version = 2; // 2: the ledger of notices
constexpr unsigned learned_version = 1;
constexpr unsigned user_details_version = 1;

void pack_event(packer& to, const seen_event& x) {
  to.pack_array(3);
  to.pack_bin(static_cast<std::uint32_t>(x.tag.size()));
  to.pack_bin_body(reinterpret_cast<const char*>(x.tag.data()),
                   static_cast<std::uint32_t>(x.tag.size()));
  pack_time(to, x.at);
  to.pack(x.import_run);
}

seen_event read_event(reader& from) {
  reader inner{from.object()};
  seen_event x;
  auto tag = inner.value<std::vector<char>>();
  if (tag.size() != x.tag.size())
    throw msgpack::type_error{};
  std::ranges::copy(tag, x.tag.begin());
  x.at = inner.time();
  x.import_run = inner.value<std::uint32_t>();
  return x;
}

} // namespace

std::string encode(const user_record& x) {
  msgpack::sbuffer buffer;
  packer to{buffer};
  to.pack_array(17);
  to.pack(user_record_version);
  pack_string(to, x.user);
  pack_string(to, x.pseudonym);
  pack_time(to, x.created);
  pack_each(to, x.person.regions, [&](const region_period& p) {
    to.pack_array(2);
    pack_string(to, p.region.view());
    pack_time(to, p.since);
  });
  pack_optional(to, x.person.birth_year, [&](int year) { to.pack(year); });
  pack_each(to, x.person.notices, [&](const notice_reached& n) {
    to.pack_array(4);
    pack_string(to, n.policy);
    to.pack(n.revision);
    to.pack(static_cast<unsigned>(n.channel));
    pack_time(to, n.at);
  });
  pack_each(to, x.person.opt_outs, [&](const opt_out& o) {
    to.pack_array(2);
    pack_string(to, o.policy);
    pack_time(to, o.at);
  });
  pack_optional(to, x.person.assistant_user_since, [&](timestamp t) { pack_time(to, t); });
  pack_string(to, x.lang);
  pack_string(to, x.zone);
  pack_string(to, x.email);
  pack_string(to, x.app);
  pack_each(to, x.interests, [&](const interest& i) {
    to.pack_array(8);
    to.pack(i.topic);
    to.pack(static_cast<unsigned>(i.source));
    to.pack_int64(i.weight);
    pack_time(to, i.as_of);
    pack_time(to, i.since);
    pack_time(to, i.last);
    to.pack(i.events);
    pack_string(to, i.policy_version);
  });
  pack_each(to, x.seen, [&](const seen_event& e) { pack_event(to, e); });
  to.pack_uint64(x.version);
  pack_each(to, x.notices, [&](const notice& n) {
    to.pack_array(11);
    pack_string(to, n.id);
    pack_string(to, n.policy);
    to.pack(n.revision);
    to.pack(static_cast<unsigned>(n.channel));
    pack_string(to, n.lang);
    pack_time(to, n.created);
    to.pack(static_cast<unsigned>(n.state));
    to.pack(n.attempts);
    pack_time(to, n.next_try);
    pack_optional(to, n.sent, [&](timestamp t) { pack_time(to, t); });
    pack_optional(to, n.reached, [&](timestamp t) { pack_time(to, t); });
  });
  return finish(buffer);
}

result<user_record> decode_user_record(std::string_view bytes) {
  return decode<user_record>(
      bytes, user_record_version, "a user record", [](reader& from, user_record& x) {
        x.user = from.text();
        x.pseudonym = from.text();
        x.created = from.time();
        from.each([&](reader& list) {
          reader p{list.object()};
          auto region = p.region();
          x.person.regions.push_back({region, p.time()});
        });
        x.person.birth_year = from.optional([](reader& r) { return r.value<int>(); });
        from.each([&](reader& list) {
          reader n{list.object()};
          notice_reached reached;
          reached.policy = n.text();
          reached.revision = n.value<std::uint32_t>();
          reached.channel = n.choice<channel>(2);
          reached.at = n.time();
          x.person.notices.push_back(std::move(reached));
        });
        from.each([&](reader& list) {
          reader o{list.object()};
          auto policy = o.text();
          x.person.opt_outs.push_back({std::move(policy), o.time()});
        });
        x.person.assistant_user_since = from.optional([](reader& r) { return r.time(); });
        x.lang = from.text();
        x.zone = from.text();
        x.email = from.text();
        x.app = from.text();
        from.each([&](reader& list) {
          reader i{list.object()};
          interest in;
          in.topic = i.value<topic_id>();
          in.source = i.choice<source>(source_count);
          in.weight = i.value<std::int64_t>();
          in.as_of = i.time();
          in.since = i.time();
          in.last = i.time();
          in.events = i.value<std::uint32_t>();
          in.policy_version = i.text();
          x.interests.push_back(std::move(in));
        });
        from.each([&](reader& list) { x.seen.push_back(read_event(list)); });
        x.version = from.value<std::uint64_t>();
        if (from.at_end())
          return; // version 1 had no ledger
        from.each([&](reader& list) {
          reader n{list.object()};
          notice line;
          line.id = n.text();
          line.policy = n.text();
          line.revision = n.value<std::uint32_t>();
          line.channel = n.choice<channel>(2);
          line.lang = n.text();
          line.created = n.time();
          line.state = n.choice<notice_state>(3);
          line.attempts = n.value<std::uint32_t>();
          line.next_try = n.time();
          line.sent = n.optional([](reader& r) { return r.time(); });
          line.reached = n.optional([](reader& r) { return r.time(); });
          x.notices.push_back(std::move(line));
        });
      });
}

std::string encode(const learned& x) {
  msgpack::sbuffer buffer;
  packer to{buffer};
  to.pack_array(5);
  to.pack(learned_version);
  pack_event(to, x.event);
  to.pack(static_cast<unsigned>(x.source));
  pack_each(to, x.topics, [&](const topic_weight& t) {
    to.pack_array(2);
    to.pack(t.topic);
    to.pack(t.weight);
  });
  pack_string(to, x.policy_version);
  return finish(buffer);
}

result<learned> decode_learned(std::string_view bytes) {
  return decode<learned>(bytes, learned_version, "a delta", [](reader& from, learned& x) {
    x.event = read_event(from);
    x.source = from.choice<source>(source_count);
    from.each([&](reader& list) {
      reader t{list.object()};
      auto topic = t.value<topic_id>();
      x.topics.push_back({topic, t.value<std::uint32_t>()});
    });
    x.policy_version = from.text();
  });
}

std::string encode(const user_details& x) {
  msgpack::sbuffer buffer;
  packer to{buffer};
  auto text = [&](const std::string& s) { pack_string(to, s); };
  auto time = [&](timestamp t) { pack_time(to, t); };
  to.pack_array(9);
  to.pack(user_details_version);
  pack_optional(to, x.region, [&](region_code r) { pack_string(to, r.view()); });
  pack_optional(to, x.region_since, time);
  pack_optional(to, x.lang, text);
  pack_optional(to, x.zone, text);
  pack_optional(to, x.email, text);
  pack_optional(to, x.app, text);
  pack_optional(to, x.birth_year, [&](int year) { to.pack(year); });
  pack_optional(to, x.assistant_user_since, time);
  return finish(buffer);
}

result<user_details> decode_user_details(std::string_view bytes) {
  return decode<user_details>(
      bytes, user_details_version, "a person's details", [](reader& from, user_details& x) {
        auto text = [](reader& r) { return r.text(); };
        auto time = [](reader& r) { return r.time(); };
        x.region = from.optional([](reader& r) { return r.region(); });
        x.region_since = from.optional(time);
        x.lang = from.optional(text);
        x.zone = from.optional(text);
        x.email = from.optional(text);
        x.app = from.optional(text);
        x.birth_year = from.optional([](reader& r) { return r.value<int>(); });
        x.assistant_user_since = from.optional(time);
      });
}

} // namespace candor::model
