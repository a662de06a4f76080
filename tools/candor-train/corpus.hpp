/// The training corpus (configs/topics/corpus) as values: templates by what they teach, and the
/// values of their slots. The format stands in configs/topics/README.md. Guarantees: the same
/// folder gives the same corpus in the same order on every machine; a line that does not parse is
/// an error with its place.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/rng.hpp"
#include "storage/model/topic.hpp"

namespace candor::train {

struct sentence_template {
  enum class what { sensitive, hard_negative, interest, everyday };
  enum class how { plain, implied, mixed };
  what teaches = what::everyday;
  how said = how::plain;
  std::optional<model::category> category; ///< of sensitive and hard negatives
  model::topic_id topic = 0;               ///< of interests
  std::string lang;
  std::string text;
};

struct corpus {
  std::vector<sentence_template> templates;
  /// Values by language and slot.
  std::map<std::string, std::map<std::string, std::vector<std::string>>> slots;
  std::string version; ///< BLAKE2b-128 of all files, hexadecimal
};

/// The slot that takes a word nobody knows instead of a value.
inline constexpr std::string_view invented_slot = "invented";

/// Error: `config_invalid` with file and line.
result<corpus> read_corpus(const std::filesystem::path& folder);

/// A sentence that the template can make, by chance.
std::string expand(const corpus& c, const sentence_template& t, rng& chance);

} // namespace candor::train
