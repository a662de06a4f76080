/// What WordNet names: lemmas and definitions beneath given senses, and of given lexicographer's
/// files (format: wndb(5WN) of WordNet 3.0, Miller 1995). For the trainer, which learns rare names
/// of illnesses and medicines from it, what belongs to an interest, and that most things are
/// harmless. Pure but for reading.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/model/topic.hpp"

namespace candor::train {

struct named_thing {
  std::vector<std::string> names;
  std::string definition;
  std::vector<std::string> examples;
  std::optional<model::category> category; ///< none: harmless, as far as is known
  std::optional<model::topic_id> topic;    ///< of harmless things, where there is one
};

struct wordnet {
  std::vector<named_thing> things; ///< in the order of the files
  std::string version;             ///< BLAKE2b-128 of all that was read, hexadecimal
};

/// `choice`: the file configs/topics/wordnet.txt. Error: `config_invalid`.
result<wordnet> read_wordnet(const std::filesystem::path& folder,
                             const std::filesystem::path& choice);

} // namespace candor::train
