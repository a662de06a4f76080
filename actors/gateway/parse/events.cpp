#include "actors/gateway/parse/events.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "actors/gateway/parse/fields.hpp"
#include "storage/base/limits.hpp"

namespace candor::parse {

namespace {

template <class T>
struct word {
  std::string_view text;
  T means;
};

constexpr word<model::event_kind> kinds[] = {{"ai_interaction", model::event_kind::ai_interaction},
                                             {"engagement", model::event_kind::engagement}};
constexpr word<model::modality> modalities[] = {{"text", model::modality::text},
                                                {"voice", model::modality::voice}};
constexpr word<model::engagement_action> actions[] = {{"like", model::engagement_action::like},
                                                      {"follow", model::engagement_action::follow},
                                                      {"share", model::engagement_action::share}};

/// One of a few words.
template <class T, std::size_t N>
result<T> choice(const fields& in, std::string_view name, const word<T> (&words)[N]) {
  CANDOR_TRY(given, in.text(name));
  auto it = std::ranges::find(words, given, &word<T>::text);
  if (it != std::end(words))
    return it->means;
  std::string allowed;
  for (const auto& w : words)
    allowed += fmt::format("{}{}", allowed.empty() ? "" : ", ", w.text);
  return in.refuse(errc::bad_value, name, fmt::format("is one of: {}", allowed));
}

result<std::string_view> spoken(const fields& in, std::string_view name) {
  CANDOR_TRY(text, in.text(name));
  if (text.empty())
    return in.refuse(errc::bad_value, name, "is empty");
  return text;
}

/// Set apart from the rest, since only what is otherwise in order is answered as sensitive.
struct stated_topics {
  std::vector<model::topic_id> known;
  bool sensitive = false;
};

result<stated_topics> read_topics(const fields& object) {
  CANDOR_TRY(slugs, object.texts("topics", limits::object_topics));
  stated_topics made;
  for (auto slug : slugs) {
    if (auto topic = model::find_topic(slug)) {
      if (std::ranges::find(made.known, *topic) == made.known.end())
        made.known.push_back(*topic);
      continue;
    }
    auto category = model::find_category(slug);
    if (!category || *category == model::category::unknown)
      return object.refuse(errc::unknown_topic, "topics", fmt::format("names {}", quoted(slug)));
    made.sensitive = true;
  }
  return made;
}

result<void> read_interaction(const fields& in, model::event& into) {
  CANDOR_TRY_VOID(in.none_of({"action", "object"}, "belongs to an engagement"));
  CANDOR_TRY(modality, choice(in, "modality", modalities));
  into.modality = modality;
  std::string_view text;
  if (modality == model::modality::text) {
    CANDOR_TRY_VOID(in.none_of({"transcript", "confidence"}, "belongs to modality voice"));
    CANDOR_TRY(given, spoken(in, "text"));
    text = given;
  } else {
    CANDOR_TRY_VOID(in.none_of({"text"}, "belongs to modality text; voice has a transcript"));
    CANDOR_TRY(given, spoken(in, "transcript"));
    text = given;
    CANDOR_TRY(confidence, in.real("confidence"));
    if (!(confidence >= 0 && confidence <= 1))
      return in.refuse(errc::bad_value, "confidence", "is within 0 and 1");
    into.confidence = confidence;
  }
  CANDOR_TRY(turns, in.texts("context", limits::context_turns));
  into.utterance =
      model::raw_utterance{std::string{text}, std::vector<std::string>(turns.begin(), turns.end())};
  return {};
}

/// Returns whether a stated topic is sensitive.
result<bool> read_engagement(const fields& in, model::event& into) {
  CANDOR_TRY_VOID(in.none_of({"modality", "text", "transcript", "confidence", "context"},
                             "belongs to an ai_interaction"));
  CANDOR_TRY(action, choice(in, "action", actions));
  into.action = action;
  CANDOR_TRY(content, in.any("object"));
  CANDOR_TRY(object, fields::open(*content, "object", {"id", "topics", "text"}));
  CANDOR_TRY(id, object.name_text("id", limits::event_id_bytes));
  into.object_id = std::move(id);
  CANDOR_TRY(topics, read_topics(object));
  into.object_topics = std::move(topics.known);
  CANDOR_TRY(text, object.text_or_none("text"));
  if (text)
    into.utterance = model::raw_utterance{std::string{*text}};
  return topics.sensitive;
}

result<user_id> read_user(const fields& in) {
  CANDOR_TRY(text, in.text("user"));
  auto user = user_id::parse(text);
  if (!user)
    return in.refuse(user.error().code, "user", user.error().detail);
  return user;
}

/// What all events have.
result<model::event> read_header(const fields& in, const model::region_table& regions) {
  CANDOR_TRY(id, in.name_text("id", limits::event_id_bytes));
  CANDOR_TRY(user, read_user(in));
  CANDOR_TRY(at, in.time("at"));
  model::event made{std::move(id), std::move(user), at};
  CANDOR_TRY(app, in.name_text_or_none("app", limits::app_bytes));
  made.app = app.value_or(std::string{});
  CANDOR_TRY(lang, in.language_or_none("lang"));
  made.lang = lang.value_or(std::string{});
  CANDOR_TRY(region, in.region_or_none("region", regions));
  made.region = region;
  return made;
}

result<model::event> read_event(const value& from, const model::region_table& regions) {
  CANDOR_TRY(in, fields::open(from, "",
                              {"id", "user", "at", "kind", "modality", "lang", "text", "transcript",
                               "confidence", "context", "region", "action", "object", "app"}));
  CANDOR_TRY(made, read_header(in, regions));
  CANDOR_TRY(kind, choice(in, "kind", kinds));
  made.kind = kind;
  if (kind == model::event_kind::ai_interaction) {
    CANDOR_TRY_VOID(read_interaction(in, made));
  } else {
    CANDOR_TRY(sensitive, read_engagement(in, made));
    if (sensitive)
      return fail(errc::sensitive_topic);
  }
  return std::move(made);
}

result<model::event> read_spoken_event(const value& from, const model::region_table& regions) {
  CANDOR_TRY(in, fields::open(
                     from, "",
                     {"id", "user", "at", "kind", "modality", "lang", "context", "region", "app"}));
  if (in.has("kind")) {
    CANDOR_TRY(kind, choice(in, "kind", kinds));
    if (kind != model::event_kind::ai_interaction)
      return in.refuse(errc::bad_value, "kind", "is ai_interaction here");
  }
  if (in.has("modality")) {
    CANDOR_TRY(modality, choice(in, "modality", modalities));
    if (modality != model::modality::voice)
      return in.refuse(errc::bad_value, "modality", "is voice here");
  }
  CANDOR_TRY(made, read_header(in, regions));
  made.modality = model::modality::voice;
  made.confidence = 0;
  CANDOR_TRY(turns, in.texts("context", limits::context_turns));
  made.utterance = model::raw_utterance{{}, std::vector<std::string>(turns.begin(), turns.end())};
  return std::move(made);
}

/// What a refusal may be called by.
std::string id_of(const value& from) {
  auto id = from.find("id");
  auto holds = id && id->is == value::kind::text && id->text.size() <= limits::event_id_bytes &&
               plain_utf8(id->text);
  return holds ? std::string{id->text} : std::string{};
}

parsed_event refused(const error& why, std::size_t line) {
  return {{}, line, tl::unexpected<error>{why}};
}

parsed_event read_json(std::string_view text, std::size_t bytes_max, std::size_t line,
                       const model::region_table& regions) {
  auto content = decode_json(text, bytes_max);
  if (!content)
    return refused(content.error(), line);
  return {id_of(*content), line, read_event(*content, regions)};
}

class ndjson_stream final : public event_stream {
public:
  ndjson_stream(std::string_view body, const model::region_table& regions)
    : rest_{body}
    , regions_{regions} {}

  std::optional<parsed_event> next() override {
    while (!rest_.empty()) {
      auto end = rest_.find('\n');
      auto text = rest_.substr(0, end);
      rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
      ++line_;
      if (text.find_first_not_of(" \t\r") != std::string_view::npos)
        return read_json(text, limits::bulk_line_bytes, line_, regions_);
    }
    return std::nullopt;
  }

private:
  std::string_view rest_;
  const model::region_table& regions_;
  std::size_t line_ = 0;
};

class msgpack_stream final : public event_stream {
public:
  msgpack_stream(std::string_view body, const model::region_table& regions)
    : body_{body}
    , regions_{regions} {}

  std::optional<parsed_event> next() override {
    if (offset_ >= body_.size())
      return std::nullopt;
    ++line_;
    auto content = decode_msgpack(body_, offset_, limits::bulk_line_bytes);
    if (!content) {
      auto why = content.error();
      why.detail += why.detail.empty() ? "" : "; ";
      if (offset_ < body_.size())
        why.detail += "nothing after this was read";
      offset_ = body_.size();
      return refused(why, line_);
    }
    return parsed_event{id_of(*content), line_, read_event(*content, regions_)};
  }

private:
  std::string_view body_;
  const model::region_table& regions_;
  std::size_t offset_ = 0;
  std::size_t line_ = 0;
};

} // namespace

parsed_event parse_event_json(std::string_view text, const model::region_table& regions) {
  return read_json(text, limits::single_body_bytes, 1, regions);
}

parsed_event parse_spoken_event_json(std::string_view text, const model::region_table& regions) {
  auto content = decode_json(text, limits::single_body_bytes);
  if (!content)
    return refused(content.error(), 1);
  return {id_of(*content), 1, read_spoken_event(*content, regions)};
}

std::unique_ptr<event_stream> read_ndjson(std::string_view body,
                                          const model::region_table& regions) {
  return std::make_unique<ndjson_stream>(body, regions);
}

std::unique_ptr<event_stream> read_msgpack(std::string_view body,
                                           const model::region_table& regions) {
  return std::make_unique<msgpack_stream>(body, regions);
}

} // namespace candor::parse
