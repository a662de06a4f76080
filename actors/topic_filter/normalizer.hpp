/// Text in the one form in which it is compared with the lexicon, with the way back to where each
/// byte came from. First step of the topic filter. Pure. Guarantees: the same letters in another
/// case, width or composition give the same normal form; invisible format characters do not hide a
/// word; every byte of a view leads back to a byte of the original.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"

namespace candor::topic_filter {

struct view {
  std::string name; ///< "plain", "joined", "leet", "collapsed"
  std::string text;
  std::vector<std::uint32_t>
      origin; ///< for each byte of `text`, and one past the end: offset in the original
};

/// NFKC_Casefold (Unicode Standard Annex 15), runs of white space and hyphens as one space. Error:
/// `bad_utf8`.
result<view> normalize(std::string_view original);

/// Other readings of a plain view, only those that differ: spaced or dotted letters joined ("a b o
/// u t"), digits and signs read as letters ("h3llo"), letters repeated three times and more
/// collapsed ("heeello").
std::vector<view> alternate_views(const view& plain);

/// One flag for each byte: true within a word (letters, digits, marks) of a script that separates
/// words. Characters of scripts that do not (Han, kana, Thai, Lao, Khmer, Burmese) are all
/// boundaries.
std::vector<bool> word_bytes(std::string_view normalized);

} // namespace candor::topic_filter
