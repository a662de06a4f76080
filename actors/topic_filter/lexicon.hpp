/// The lexicon's files as values: terms by category or topic and language, and the exceptions. The
/// format stands in configs/lexicon/README.md. Pure but for reading the folder. Guarantees: a line
/// that does not parse is an error with its place; nothing is skipped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/model/topic.hpp"

namespace candor::topic_filter {

enum class tier : std::uint8_t {
  hard,  ///< blocks alone
  soft,  ///< two different ones of a category block
  bound, ///< blocks with one of its neighbours near
};

struct term {
  std::string text;  ///< normalized
  bool stem = false; ///< any continuation of the word matches too
};

struct sensitive_term {
  topic_filter::term term;
  model::category category = model::category::unknown;
  topic_filter::tier tier = tier::hard;
  std::string lang;
  std::vector<topic_filter::term> neighbours; ///< of a bound term
};

struct topic_term {
  topic_filter::term term;
  model::topic_id topic = 0;
  std::uint32_t weight = 1; ///< 1..3
  std::string lang;
};

/// Cancels hits of its categories that lie within its span.
struct exception_phrase {
  topic_filter::term term;
  std::string lang;
  std::vector<model::category> categories; ///< empty: all
};

struct lexicon {
  std::vector<sensitive_term> sensitive;
  std::vector<topic_term> topics;
  std::vector<exception_phrase> exceptions;
  std::string version; ///< BLAKE2b-128 of all files, hexadecimal

  std::size_t entries() const noexcept {
    return sensitive.size() + topics.size() + exceptions.size();
  }
};

/// Error: `config_invalid` with file and line; also where the folder holds no sensitive term, a
/// file without any, or a file that is not one of the lexicon's.
result<lexicon> load_lexicon(const std::filesystem::path& folder);

} // namespace candor::topic_filter
