/// The words of a reading, as the classifier sees them: runs of letters and digits, and of scripts
/// without spaces each pair of characters. A word is known by a hash of its normal form; so is
/// each of its letter groups. Between the normalizer and the classifier; the trainer and a node
/// take words by the same code. Pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "actors/topic_filter/normalizer.hpp"

namespace candor::topic_filter {

struct word {
  std::uint64_t hash;
  std::uint32_t begin, end; ///< bytes of the reading's text
  bool unspaced;            ///< of a script without spaces: has no letter groups
};

std::uint64_t word_hash(std::string_view normal_form) noexcept;

/// Replaces `words`.
void split_words(const view& v, std::vector<word>& words);

/// Where the sentences of a reading end, as counts of its words: ascending, the last is all of
/// them. A sign that ends one (Unicode Standard Annex 29, the common ones) and a space behind a
/// full stop; what has too few words to say something by itself ("Dr.") belongs to what follows.
/// Replaces `ends`.
void sentence_ends(const view& v, const std::vector<word>& words, std::vector<std::uint32_t>& ends);

/// Hashes of the groups of three to five letters of a word between its marked ends ("<virus>"), at
/// most limits::letter_groups. Replaces `groups`.
void letter_groups(std::string_view word, std::vector<std::uint64_t>& groups);

/// Hashes of what stands for a word that is not known whole: its letter groups, or of a script
/// without spaces its characters. Never none. Replaces `groups`.
void parts_of(const word& w, std::string_view letters, std::vector<std::uint64_t>& groups);

} // namespace candor::topic_filter
