/// Which campaigns may take part in one decision, and who wins it. `match` and `standing` evaluate
/// every campaign: the plain reading that index_reader, which the product asks, is held against.
/// Pure; their shell is ad_matching_actor.
///
/// Guarantees: with nothing personal allowed the outcome is that of a stranger with the same
/// request; a campaign that names anything but a known interest topic takes no part, whatever was
/// checked when it was made. Must never see an event or a text.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "actors/ad_matching/auction.hpp"
#include "storage/model/relevance.hpp"
#include "storage/model/targeting/catalogue.hpp"

namespace candor::ad_matching {

struct shown_ad {
  std::string campaign;
  timestamp at;
};

/// Of a person, as far as it may serve ads. The default is a stranger.
struct audience {
  bool personal = false;
  std::string country, lang, age_band;
  std::vector<model::topic_used> topics;
  std::vector<shown_ad> shown;
  std::vector<std::string> hidden;
};

/// What the request says of itself, in canonical words.
struct page {
  std::string country, region, lang, device, placement;
  std::vector<std::string> ctx, bcat, segments, follows;
  std::vector<std::string> badv; ///< canonical (model/domain.hpp)
  bool consent = true;
  bool coppa = false;
  std::vector<std::string> wlang{}; ///< languages that a creative may have; empty: any
  std::int64_t floor_micros = 0;    ///< the page sells nothing for less
};

/// What targeting expressions are evaluated over. Of a stranger nothing but the request counts, and
/// of the request nothing that tells of the person (segments, follows).
model::targeting::attributes attributes_of(const audience& who, const page& on, timestamp now);

struct ad_request {
  audience who;
  page on;
  timestamp now;
  std::set<std::string> excluded; ///< found without money or at their cap while this was decided
  std::set<std::string> paced{};  ///< of them: those whose pacing keeps their money for later
};

/// Why a campaign takes no part: a code, and what it means here. The codes: `paused`,
/// `outside_schedule`, `under_reserve`, `sensitive_targeting`, `advertiser_blocked`,
/// `topic_blocked`, `language_blocked`, `targeting`, `hidden`, `capped`, `paced`, `no_budget`.
/// Empty: it takes part.
struct objection {
  std::string code, detail;
  explicit operator bool() const { return !code.empty(); }
};
objection why_not(const model::live_campaign& campaign, const ad_request& asked,
                  const model::targeting::attributes& of);

/// Whether there is an objection besides its targeting (and the sensitive topics), for who has
/// tested that already. The same rules, without their words: it is asked of every campaign that
/// could enter the best.
bool is_kept_away(const model::live_campaign& campaign, const ad_request& asked);

/// Its targeting names something that is no interest: `sensitive_targeting`.
bool names_no_interest(const model::live_campaign& campaign);

struct winner {
  std::shared_ptr<const model::live_campaign> campaign;
  std::int64_t price_micros = 0;
  std::vector<std::string> matched;
  std::vector<model::topic_used> topics; ///< that made it relevant, or that its targeting asked for
};

/// The first `k` places.
std::vector<winner> match(const model::campaign_list& all, const ad_request& asked, std::size_t k);

/// The first `k` places among these, who may all take part. They need not be more than the best k
/// and one.
std::vector<winner>
winners_of(std::span<const std::shared_ptr<const model::live_campaign>> eligible,
           const ad_request& asked, const model::targeting::attributes& of, std::size_t k);

/// Where a named campaign would stand: its objection, or `outbid` with by how much, or `eligible`.
objection standing(const model::campaign_list& all, const ad_request& asked, const std::string& id,
                   std::size_t k);

/// The same among these, who may all take part and of whom it is one.
objection standing_among(std::span<const std::shared_ptr<const model::live_campaign>> eligible,
                         const ad_request& asked, const std::string& id, std::size_t k);

objection not_found();

} // namespace candor::ad_matching
