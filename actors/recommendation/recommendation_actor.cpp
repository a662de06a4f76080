#include "actors/recommendation/recommendation_actor.hpp"

#include "storage/base/limits.hpp"
#include "storage/model/policy/policy.hpp"

namespace candor::recommendation {

namespace {

class recommendation_actor final : public recommendation_handle::base {
public:
  recommendation_actor(caf::actor_config& config, surroundings around)
    : recommendation_handle::base{config}
    , around_{std::move(around)} {}

  const char* name() const override { return "recommendation"; }

  behavior_type make_behavior() override {
    return {[this](const rank_feed& m) -> caf::result<feed_ranked> {
      auto user = user_id::parse(m.user);
      if (!user)
        return to_caf(user.error());
      auto shard = around_.shard_of(*user);
      auto promise = make_response_promise<feed_ranked>();
      request(around_.shards->primary(shard), limits::room_deadline,
              read_use{shard, m.user, static_cast<std::uint8_t>(model::use::content)})
          .then([this, promise,
                 m](const use_answer& seen) mutable { promise.deliver(answer(m, seen)); },
                [promise](const caf::error& e) mutable { promise.deliver(e); });
      return caf::delegated<feed_ranked>{};
    }};
  }

private:
  feed_ranked answer(const rank_feed& m, const use_answer& seen) const {
    std::vector<model::topic_used> counted;
    std::ranges::copy_if(seen.topics, std::back_inserter(counted),
                         [](const auto& t) { return model::is_topic(t.topic); });
    reader who{seen.country.empty() ? m.country : seen.country,
               seen.lang.empty() ? m.lang : seen.lang, model::strengths_of(counted)};
    who.never.insert(m.exclude.begin(), m.exclude.end());
    who.never.insert(seen.hidden.begin(), seen.hidden.end());
    for (const auto& s : seen.shown)
      who.never.insert(s.id);
    feed_ranked made;
    made.policy_version = seen.policy_version;
    made.why_not_personal = seen.why_not_personal;
    for (auto& r : rank(*around_.content.newest(), who, around_.time.now(),
                        std::min<std::size_t>(m.k, limits::feed_items)))
      made.items.push_back({r.item->id, r.item->title, r.item->url, r.item->lang,
                            std::move(r.topics), r.item->published, r.score});
    return made;
  }

  surroundings around_;
};

} // namespace

recommendation_handle spawn_recommendation_actor(caf::actor_system& system, surroundings around) {
  return system.spawn<recommendation_actor>(std::move(around));
}

} // namespace candor::recommendation
