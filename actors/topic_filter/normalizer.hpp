/// Text in the one form in which it is compared with the lexicon, with the way back to where each
/// byte came from. First step of the topic filter. Pure. Guarantees: the same letters in another
/// case, width or composition give the same normal form; neither invisible format characters nor
/// marks stacked upon letters hide a word; every byte of a view leads back to the characters of the
/// original that it stands for. Views hold what a person said: they are wiped before they are left.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"

namespace candor::topic_filter {

/// By ICU's numbers of scripts (UScriptCode).
using script_set = std::bitset<256>;

enum class byte_kind : std::uint8_t {
  apart,    ///< between words
  word,     ///< letters, digits and marks of a script that separates words
  unspaced, ///< of a script that does not (Han, kana, Thai, Lao, Khmer, Burmese)
  spelled,  ///< a letter of a word that was spelled out: where words begin is lost
};

struct view {
  std::string_view name; ///< of `reading_names`
  std::string text;
  // For each byte of `text`: where the character that it stands for begins and ends in the
  // original, in bytes, and what it is.
  std::vector<std::uint32_t> begin, end;
  std::vector<byte_kind> kind;

  /// Of the letters; Common and Inherited are left out. Of a plain view only.
  script_set scripts;
  /// A word holds letters of Latin and of a script whose letters look like them. Of a plain view
  /// only.
  bool mixed = false;

  /// Overwrites and empties it; memory is kept for the next text.
  void wipe() noexcept;
};

/// NFKC_Casefold (Unicode Standard Annex 15) without combining marks of general use; runs of white
/// space and hyphens as one space, none at either end; one kind of apostrophe. Replaces what `to`
/// held. Error: `bad_utf8`.
result<void> normalize(std::string_view original, view& to);

// Other readings of a plain view. Each is false where it would not differ; `to` is then of no use.

/// Three and more single letters with one and the same sign between them, joined ("a b o u t").
bool read_joined(const view& plain, view& to);

/// Digits and signs among letters, read as letters ("h3llo").
bool read_leet(const view& plain, view& to);

/// Letters that stand three times and more in a row, written `times` times ("heeello").
bool read_collapsed(const view& plain, unsigned times, view& to);

/// Latin letters without their accents.
bool read_unmarked(const view& plain, view& to);

/// Signs that stand alone between two letters, left out ("vir.us"); not apostrophes.
bool read_closed(const view& plain, view& to);

/// Every reading of a text, by its place in evidence.
enum class reading : std::uint8_t {
  plain,
  joined,
  leet,
  collapsed,
  doubled,
  unmarked,
  closed,
  mended
};
inline constexpr std::array<std::string_view, 8> reading_names = {
    "plain", "joined", "leet", "collapsed", "doubled", "unmarked", "closed", "mended"};

inline constexpr std::array<reading, 6> other_readings = {reading::joined,    reading::leet,
                                                          reading::collapsed, reading::doubled,
                                                          reading::unmarked,  reading::closed};

/// One of the other readings; false as above. `mended` is the mender's.
bool read_as(reading how, const view& plain, view& to);

} // namespace candor::topic_filter
