#include "storage/model/campaign.hpp"

#include "storage/model/packing.hpp"

namespace candor::model {

namespace {

using namespace packing;

constexpr unsigned campaign_version = 2;
constexpr unsigned content_item_version = 1;

void pack_topics(packer& to, const std::vector<topic_strength>& topics) {
  pack_each(to, topics, [&](const topic_strength& t) {
    to.pack_array(2);
    to.pack(t.topic);
    to.pack(t.weight);
  });
}

std::vector<topic_strength> read_topics(reader& from) {
  std::vector<topic_strength> topics;
  from.each([&](reader& list) {
    reader t{list.object()};
    auto topic = t.value<topic_id>();
    topics.push_back({topic, t.value<std::uint8_t>()});
  });
  return topics;
}

} // namespace

std::string_view to_string(item_kind kind) noexcept {
  return kind == item_kind::campaign ? "campaign" : "content";
}

std::string encode(const campaign& x) {
  msgpack::sbuffer buffer;
  packer to{buffer};
  to.pack_array(15);
  to.pack(campaign_version);
  pack_string(to, x.id);
  pack_string(to, x.advertiser);
  to.pack_int64(x.bid_micros);
  to.pack(x.quality);
  to.pack_int64(x.total_micros);
  to.pack_int64(x.daily_micros);
  pack_time(to, x.from);
  pack_time(to, x.to);
  pack_optional(to, x.cap, [&](const frequency_cap& c) {
    to.pack_array(2);
    to.pack(c.impressions);
    to.pack_int64(c.per.count());
  });
  to.pack(x.even_pacing);
  pack_topics(to, x.relevance);
  pack_string(to, x.targeting);
  pack_each(to, x.creatives, [&](const creative& c) {
    to.pack_array(5);
    for (const auto* text : {&c.id, &c.title, &c.body, &c.url, &c.lang})
      pack_string(to, *text);
  });
  to.pack(x.paused);
  return finish(buffer);
}

result<campaign> decode_campaign(std::string_view bytes) {
  return decode<campaign>(bytes, campaign_version, "a campaign", [](reader& from, campaign& x) {
    x.id = from.text();
    x.advertiser = from.text();
    x.bid_micros = from.value<std::int64_t>();
    x.quality = from.value<std::uint8_t>();
    x.total_micros = from.value<std::int64_t>();
    x.daily_micros = from.value<std::int64_t>();
    x.from = from.time();
    x.to = from.time();
    x.cap = from.optional([](reader& r) {
      reader c{r.object()};
      auto impressions = c.value<std::uint32_t>();
      return frequency_cap{impressions, millis{c.value<std::int64_t>()}};
    });
    x.even_pacing = from.value<bool>();
    x.relevance = read_topics(from);
    x.targeting = from.text();
    from.each([&](reader& list) {
      reader c{list.object()};
      creative made;
      for (auto* text : {&made.id, &made.title, &made.body, &made.url})
        *text = c.text();
      if (!c.at_end()) // version 1 has no language
        made.lang = c.text();
      x.creatives.push_back(std::move(made));
    });
    x.paused = from.value<bool>();
  });
}

std::string encode(const content_item& x) {
  msgpack::sbuffer buffer;
  packer to{buffer};
  to.pack_array(8);
  to.pack(content_item_version);
  for (const auto* text : {&x.id, &x.title, &x.url, &x.lang})
    pack_string(to, *text);
  pack_each(to, x.regions, [&](region_code r) { pack_string(to, r.view()); });
  pack_topics(to, x.topics);
  pack_time(to, x.published);
  return finish(buffer);
}

result<content_item> decode_content_item(std::string_view bytes) {
  return decode<content_item>(
      bytes, content_item_version, "a content item", [](reader& from, content_item& x) {
        for (auto* text : {&x.id, &x.title, &x.url, &x.lang})
          *text = from.text();
        from.each([&](reader& list) { x.regions.push_back(list.region()); });
        x.topics = read_topics(from);
        x.published = from.time();
      });
}

} // namespace candor::model
