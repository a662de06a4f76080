#include "tools/candor-load/generator.hpp"

#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/candor-load/words.hpp"

namespace candor::load {

namespace {

constexpr unsigned voice_percent = 10;
constexpr std::uint64_t pages = 5000;

template <class List>
const auto& pick(rng& from, const List& list) {
  return list[from.next() % std::size(list)];
}

} // namespace

std::string generator::user(std::uint64_t number) {
  return fmt::format("u-{}", number);
}

generated_event generator::make(std::uint64_t i, timestamp at) const {
  // Two steps, so that neighbouring seeds have nothing in common.
  seeded_rng by_seed{options_.seed};
  seeded_rng random{by_seed.next() ^ (i * 0x9e3779b97f4a7c15)};
  generated_event made;
  made.id = fmt::format("{}-{}-{}", options_.prefix, options_.seed, i);
  made.user = user(random.next() % options_.users);
  const auto& about = pick(random, subjects);
  nlohmann::ordered_json event = {{"id", made.id}, {"user", made.user}, {"at", format_time(at)}};
  auto parts = options_.ai_parts + options_.engagement_parts;
  if (random.next() % parts < options_.ai_parts) {
    made.sensitive = random.next() % 1000 < options_.sensitive_per_mille;
    auto text = made.sensitive ? std::string{pick(random, sensitive_questions)}
                               : fmt::format(fmt::runtime(pick(random, questions)),
                                             pick(random, about.things));
    auto voice = random.next() % 100 < voice_percent;
    event["kind"] = "ai_interaction";
    event["modality"] = voice ? "voice" : "text";
    event["lang"] = "en";
    event[voice ? "transcript" : "text"] = text;
    if (voice)
      event["confidence"] = 0.97;
  } else {
    static constexpr std::string_view actions[] = {"like", "follow", "share"};
    event["kind"] = "engagement";
    event["action"] = pick(random, actions);
    event["object"] = {{"id", fmt::format("page-{}", random.next() % pages)},
                       {"topics", {about.topic}}};
  }
  if (!made.sensitive)
    made.topic = about.topic;
  made.json = event.dump();
  return made;
}

} // namespace candor::load
