/// Ranks content for a person, or for a stranger by language, country and age alone. Pure, integers
/// only.
///
///     score = relevance * freshness
///
/// with relevance as an ad's (256..1279) and freshness halving every week. Who has no interests yet
/// is served by locale: there, what is made for the person's country counts one and a half times.
///
/// The places are then filled one after the other by maximal marginal relevance (Carbonell and
/// Goldstein, SIGIR 1998): the next is the item with the greatest
///
///     (10 - d) * score / best score  -  d * its greatest likeness to one that is placed already
///
/// Two items are alike by their topics (sum of minima over sum of maxima of the weights, Ruzicka)
/// for three quarters, and for one by their publisher, the host of their address.
///
/// Guarantees: an item is shown only where its regions allow, once, and never where the reader has
/// seen or hidden it or the request leaves it out. Must never see an event or a text.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "storage/model/relevance.hpp"
#include "storage/model/targeting/catalogue.hpp"

namespace candor::recommendation {

struct reader {
  std::string country, lang;        ///< empty: not known
  model::interests interests;       ///< that may serve content
  std::set<std::string> never = {}; ///< items: seen, hidden, or left out by the request
};

struct ranked {
  std::shared_ptr<const model::content_item> item;
  std::int64_t score = 0;
  std::vector<model::topic_id> topics; ///< that made it relevant
};

/// As many of the best as are looked at for diversity.
inline constexpr std::size_t pool_size = 512;

/// How much likeness counts, of ten: `candor-bench feed` shows what it costs and brings.
inline constexpr std::int64_t likeness_tenths = 1;

/// At most `k`, in the order in which they are shown. What is in the reader's language comes before
/// what is not; ties go to the greater score, then to the newer, then to the lower id. Items of the
/// future are left out.
std::vector<ranked> rank(const model::content_list& all, const reader& who, timestamp now,
                         std::size_t k, std::int64_t d = likeness_tenths);

/// 0..65536. Topics ascending.
std::int64_t likeness(const model::content_item& a, const model::content_item& b);

} // namespace candor::recommendation
