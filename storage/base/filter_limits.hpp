/// To be moved into limits.hpp.
#pragma once
#include "storage/base/limits.hpp"
namespace candor::limits {
inline constexpr std::size_t term_bytes = 200;
inline constexpr std::size_t lexicon_languages = 64;
inline constexpr std::size_t term_hits = 4096;
inline constexpr std::size_t letter_groups = 64;
inline constexpr std::size_t letter_groups_bytes = 48;
inline constexpr std::size_t topics_model_bytes = 512 * 1024 * 1024;
inline constexpr std::size_t hook_texts = 1024;
inline constexpr std::size_t hook_answer_bytes = 64 * 1024;
inline constexpr auto hook_start_deadline = 60s;
inline constexpr auto hook_pause = 1s;
inline constexpr std::size_t corpus_file_bytes = 4 * 1024 * 1024;
inline constexpr std::size_t wordnet_file_bytes = 64 * 1024 * 1024;
inline constexpr std::size_t vectors_file_bytes = 1024 * 1024 * 1024;
inline constexpr std::size_t template_expansions = 6;
} // namespace candor::limits
