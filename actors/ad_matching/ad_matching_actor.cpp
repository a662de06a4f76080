#include "actors/ad_matching/ad_matching_actor.hpp"

#include <map>

#include <fmt/format.h>

#include "actors/ad_matching/index_reader.hpp"
#include "actors/ad_matching/refusals.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/metrics.hpp"
#include "storage/model/policy/policy.hpp"

namespace candor::ad_matching {

namespace {

using namespace std::chrono_literals;

constexpr auto rounds_max = 16; ///< of leaving out and matching again
constexpr auto dry_for = 500ms; ///< what had no money is not asked for again before
constexpr std::size_t dry_max = 100'000;

audience to_audience(const use_answer& seen) {
  audience who;
  who.personal = seen.personal;
  who.country = seen.country;
  who.lang = seen.lang;
  who.age_band = seen.age_band;
  std::ranges::copy_if(seen.topics, std::back_inserter(who.topics),
                       [](const auto& t) { return model::is_topic(t.topic); });
  for (const auto& s : seen.shown)
    who.shown.push_back({s.id, s.at});
  who.hidden = seen.hidden;
  return who;
}

page to_page(const ad_context& c) {
  return {c.country,  c.region,  c.lang, c.device,  c.placement, c.ctx,   c.bcat,
          c.segments, c.follows, c.badv, c.consent, c.coppa,     c.wlang, c.floor_micros};
}

class ad_matching_actor final : public ad_matching_handle::base {
public:
  ad_matching_actor(caf::actor_config& config, surroundings around)
    : ad_matching_handle::base{config}
    , around_{std::move(around)}
    , index_{around_.campaigns}
    , decided_{outcome_counter("decided")}
    , empty_{outcome_counter("empty")}
    , failed_{outcome_counter("failed")} {}

  const char* name() const override { return "ad_matching"; }

  behavior_type make_behavior() override {
    return {
        [this](const match_ads& m) -> caf::result<ads_matched> {
          auto d = std::make_shared<deciding>();
          d->k = std::min<std::size_t>(m.k, limits::ads_per_decision);
          d->answer.decision = random_id(around_.random, "d-");
          d->user = m.user;
          d->until_ms = m.until_ms;
          d->dry = m.dry;
          d->promise = make_response_promise<ads_matched>();
          with_audience(
              m.user, m.context,
              [this, d, without = m.without](ad_request asked, const use_answer& seen) {
                d->asked = std::move(asked);
                d->asked.excluded.insert(without.begin(), without.end());
                d->answer.policy_version = seen.policy_version;
                d->answer.why_not_personal = seen.why_not_personal;
                go_on(d);
              },
              [this, d](const caf::error& e) { fail_with(d, e); });
          return caf::delegated<ads_matched>{};
        },
        [this](const why_not_ad& m) -> caf::result<why_not_answer> {
          auto promise = make_response_promise<why_not_answer>();
          with_audience(
              m.user, m.context,
              [this, promise, id = m.campaign](ad_request asked, const use_answer&) mutable {
                leave_out_dry(asked);
                auto found = index_.standing(asked, id, 1);
                promise.deliver(why_not_answer{found.code, found.detail});
              },
              [promise](const caf::error& e) mutable { promise.deliver(e); });
          return caf::delegated<why_not_answer>{};
        },
    };
  }

private:
  struct deciding {
    std::string user;
    std::size_t k = 1;
    ad_request asked;
    ads_matched answer;
    int rounds = 0;
    int changes = 0;
    std::int64_t until_ms = 0; ///< monotonic; 0: no end
    bool dry = false;
    caf::typed_response_promise<ads_matched> promise;
  };

  static prometheus::Counter& outcome_counter(const std::string& outcome) {
    return metrics::counter("candor_ad_matching_decisions_total", "Requests for ads by outcome.",
                            {{"outcome", outcome}});
  }

  void fail_with(const std::shared_ptr<deciding>& d, const caf::error& e) {
    failed_.Increment();
    d->promise.deliver(e);
  }

  /// Who asks nobody's consent gets what a stranger gets: then the person is not even looked up.
  template <class Then, class Failed>
  void with_audience(const std::string& user, const ad_context& context, Then then, Failed failed) {
    ad_request asked;
    asked.on = to_page(context);
    asked.now = around_.time.now();
    auto may_look = context.consent && !context.coppa;
    if (user.empty() || !may_look) {
      use_answer stranger;
      stranger.why_not_personal = !context.consent ? "no_consent"
                                  : context.coppa  ? "minor"
                                                   : "no_user";
      return then(std::move(asked), stranger);
    }
    ask_person(
        user,
        [asked, then](const use_answer& seen) mutable {
          asked.who = to_audience(seen);
          then(std::move(asked), seen);
        },
        std::move(failed));
  }

  /// What of the person may serve ads now.
  template <class Then, class Failed>
  void ask_person(const std::string& user, Then then, Failed failed) {
    auto id = user_id::parse(user);
    if (!id)
      return failed(to_caf(id.error()));
    auto shard = around_.shard_of(*id);
    request(around_.shards->primary(shard), limits::room_deadline,
            read_use{shard, user, static_cast<std::uint8_t>(model::use::ads)})
        .then(std::move(then), std::move(failed));
  }

  void leave_out_dry(ad_request& asked) {
    auto now = around_.time.monotonic();
    std::erase_if(dry_, [&](const auto& d) { return d.second.until <= now; });
    for (const auto& [campaign, d] : dry_) {
      asked.excluded.insert(campaign);
      if (d.paced)
        asked.paced.insert(campaign);
    }
  }

  /// Nobody waits for the answer any more: nothing is to be reserved for it.
  bool is_late(const deciding& d) const {
    return d.until_ms > 0 && around_.time.monotonic().count() >= d.until_ms;
  }

  void go_on(const std::shared_ptr<deciding>& d) {
    if (is_late(*d))
      return fail_with(d, to_caf({errc::timed_out, "the time for this decision is over"}));
    auto asked = d->asked;
    leave_out_dry(asked);
    auto winners = ++d->rounds > rounds_max ? std::vector<winner>{} : index_.match(asked, d->k);
    if (winners.empty()) {
      empty_.Increment();
      d->promise.deliver(std::move(d->answer));
      return;
    }
    auto personal = asked.who.personal;
    // A stranger's decision lies in the shard of its own id.
    auto id = user_id::parse(personal ? d->user : d->answer.decision);
    CANDOR_ASSERT(id);
    auto shard = around_.shard_of(*id);
    reserve_ads message{shard, personal ? d->user : std::string{}, personal, asked.who.country, {}};
    auto placed = std::make_shared<std::vector<ad_placed>>();
    for (const auto& w : winners) {
      const auto& c = w.campaign->campaign;
      auto taken = creatives_for(asked.on, c);
      CANDOR_ASSERT(!taken.empty());
      const auto& creative = *taken[around_.random.next() % taken.size()];
      model::impression x;
      x.id = random_id(around_.random, fmt::format("i-{:04x}-", shard));
      x.decision = d->answer.decision;
      x.campaign = c.id;
      x.creative = creative.id;
      x.at = asked.now;
      x.price_micros = w.price_micros;
      x.policy_version = d->answer.policy_version;
      x.matched = w.matched;
      x.topics = w.topics;
      ad_choice choice;
      choice.impression = model::encode(x);
      if (c.cap) {
        choice.cap_impressions = c.cap->impressions;
        choice.cap_ms = c.cap->per.count();
      }
      message.choices.push_back(std::move(choice));
      ad_placed shown{c.id,         creative.id, creative.title, creative.body,
                      creative.url, x.id,        w.price_micros};
      for (const auto& t : c.relevance)
        shown.topics.push_back(t.topic);
      shown.lang = creative.lang;
      placed->push_back(std::move(shown));
    }
    if (d->dry) {
      decided_.Increment();
      d->answer.ads = std::move(*placed);
      d->promise.deliver(std::move(d->answer));
      return;
    }
    request(around_.shards->primary(shard), limits::room_deadline, std::move(message))
        .then(
            [this, d, placed](const ads_reserved& said) {
              if (said.changed)
                return look_again(d);
              if (said.no_money.empty() && said.capped.empty()) {
                decided_.Increment();
                d->answer.ads = std::move(*placed);
                d->promise.deliver(std::move(d->answer));
                return;
              }
              for (const auto& campaign : said.capped)
                d->asked.excluded.insert(campaign);
              for (const auto& campaign : said.no_money) {
                d->asked.excluded.insert(campaign);
                if (dry_.size() < dry_max)
                  dry_[campaign] = {around_.time.monotonic() +
                                        std::chrono::duration_cast<millis>(dry_for),
                                    among(said.paced, campaign)};
              }
              go_on(d);
            },
            [this, d](const caf::error& e) { fail_with(d, e); });
  }

  /// The profile changed under the match: once more with the new one, and then as for a stranger.
  void look_again(const std::shared_ptr<deciding>& d) {
    if (++d->changes > 2) {
      d->asked.who = {};
      d->answer.why_not_personal = "changing";
      return go_on(d);
    }
    ask_person(
        d->user,
        [this, d](const use_answer& seen) {
          d->asked.who = to_audience(seen);
          d->answer.policy_version = seen.policy_version;
          d->answer.why_not_personal = seen.why_not_personal;
          go_on(d);
        },
        [this, d](const caf::error& e) { fail_with(d, e); });
  }

  surroundings around_;
  index_reader index_;
  struct dry {
    millis until{0}; ///< monotonic
    bool paced = false;
  };
  std::map<std::string, dry> dry_; ///< campaigns without money
  prometheus::Counter& decided_;
  prometheus::Counter& empty_;
  prometheus::Counter& failed_;
};

} // namespace

ad_matching_handle spawn_ad_matching_actor(caf::actor_system& system, surroundings around) {
  return system.spawn<ad_matching_actor>(std::move(around));
}

} // namespace candor::ad_matching
