#include "storage/model/impression.hpp"

#include "storage/model/packing.hpp"

namespace candor::model {

using namespace packing;

namespace {
constexpr unsigned impression_version = 1;
}

std::string_view to_string(impression_state s) noexcept {
  switch (s) {
    case impression_state::reserved:
      return "reserved";
    case impression_state::shown:
      return "shown";
    case impression_state::clicked:
      return "clicked";
    case impression_state::hidden:
      return "hidden";
  }
  return "unknown";
}

std::string encode(const impression& x) {
  msgpack::sbuffer buffer;
  packer to{buffer};
  to.pack_array(11);
  to.pack(impression_version);
  for (const auto* text : {&x.id, &x.decision, &x.campaign, &x.creative})
    pack_string(to, *text);
  pack_time(to, x.at);
  to.pack(static_cast<unsigned>(x.state));
  to.pack_int64(x.price_micros);
  pack_string(to, x.policy_version);
  pack_each(to, x.matched, [&](const std::string& clause) { pack_string(to, clause); });
  pack_each(to, x.topics, [&](const topic_used& t) {
    to.pack_array(4);
    to.pack(t.topic);
    to.pack(static_cast<unsigned>(t.source));
    pack_time(to, t.since);
    to.pack(t.weight);
  });
  return finish(buffer);
}

result<impression> decode_impression(std::string_view bytes) {
  return decode<impression>(bytes, impression_version, "an impression",
                            [](reader& from, impression& x) {
                              for (auto* text : {&x.id, &x.decision, &x.campaign, &x.creative})
                                *text = from.text();
                              x.at = from.time();
                              x.state = from.choice<impression_state>(4);
                              x.price_micros = from.value<std::int64_t>();
                              x.policy_version = from.text();
                              from.each([&](reader& list) { x.matched.push_back(list.text()); });
                              from.each([&](reader& list) {
                                reader t{list.object()};
                                topic_used used;
                                used.topic = t.value<topic_id>();
                                used.source = t.choice<source>(source_count);
                                used.since = t.time();
                                used.weight = t.value<std::uint8_t>();
                                x.topics.push_back(used);
                              });
                            });
}

} // namespace candor::model
