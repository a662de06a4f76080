#include "actors/topic_filter/words.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <unicode/utf8.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "storage/base/limits.hpp"

namespace candor::topic_filter {

std::uint64_t word_hash(std::string_view normal_form) noexcept {
  return XXH3_64bits(normal_form.data(), normal_form.size());
}

void split_words(const view& v, std::vector<word>& words) {
  words.clear();
  auto size = v.text.size();
  auto add = [&](std::size_t begin, std::size_t end, bool unspaced) {
    words.push_back({word_hash(std::string_view{v.text}.substr(begin, end - begin)),
                     static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end), unspaced});
  };
  for (std::size_t i = 0; i < size;) {
    auto kind = v.kind[i];
    if (kind == byte_kind::apart) {
      ++i;
      continue;
    }
    auto end = i;
    if (kind == byte_kind::unspaced) {
      auto character = [&](std::size_t at) {
        return 1U + static_cast<std::size_t>(
                        U8_COUNT_TRAIL_BYTES_UNSAFE(static_cast<unsigned char>(v.text[at])));
      };
      end = i + character(i);
      auto follows = end < size && v.kind[end] == byte_kind::unspaced;
      if (follows)
        add(i, end + character(end), true);
      else if (i == 0 || v.kind[i - 1] != byte_kind::unspaced)
        add(i, end, true); // alone
    } else {
      while (end < size && v.kind[end] == kind)
        ++end;
      add(i, end, false);
    }
    i = end;
  }
}

void sentence_ends(const view& v, const std::vector<word>& words,
                   std::vector<std::uint32_t>& ends) {
  constexpr std::size_t words_least = 3;
  // Danda, double danda, the Arabic question mark, the Urdu full stop, the ideographic full stop.
  // The normal form has no full-width signs, and "..." for an ellipsis.
  constexpr std::array<std::string_view, 5> wide = {"\u0964", "\u0965", "\u061f", "\u06d4",
                                                    "\u3002"};
  ends.clear();
  auto size = words.size();
  std::size_t begin = 0;
  for (std::size_t i = 1; i < size; ++i) {
    auto from = words[i - 1].end, to = words[i].begin;
    if (to <= from + 1 && v.kind[from] != byte_kind::apart)
      continue; // pairs of characters overlap
    auto between = std::string_view{v.text}.substr(from, to - std::min(from, to));
    if (between == " ")
      continue;
    auto is_end = between.find_first_of("!?;") != std::string_view::npos ||
                  between.find(". ") != std::string_view::npos ||
                  std::ranges::any_of(wide, [&](std::string_view sign) {
                    return between.find(sign) != std::string_view::npos;
                  });
    if (is_end && i - begin >= words_least) {
      ends.push_back(static_cast<std::uint32_t>(i));
      begin = i;
    }
  }
  // What is too short at the end belongs to what stands before it.
  if (!ends.empty() && size - begin < words_least)
    ends.pop_back();
  ends.push_back(static_cast<std::uint32_t>(size));
}

void letter_groups(std::string_view word, std::vector<std::uint64_t>& groups) {
  groups.clear();
  // "<word>", and where each character of it begins.
  std::array<char, limits::letter_groups_bytes + 2> marked;
  std::array<std::uint8_t, limits::letter_groups_bytes + 3> starts;
  auto bytes = word.size();
  if (bytes > limits::letter_groups_bytes) {
    bytes = limits::letter_groups_bytes;
    while (bytes > 0 && U8_IS_TRAIL(static_cast<unsigned char>(word[bytes])))
      --bytes;
  }
  marked[0] = '<';
  std::memcpy(marked.data() + 1, word.data(), bytes);
  marked[bytes + 1] = '>';
  std::size_t characters = 0;
  for (std::size_t i = 0; i < bytes + 2; ++i)
    if (!U8_IS_TRAIL(static_cast<unsigned char>(marked[i])))
      starts[characters++] = static_cast<std::uint8_t>(i);
  starts[characters] = static_cast<std::uint8_t>(bytes + 2);
  for (std::size_t length = 3; length <= 5; ++length)
    for (std::size_t i = 0; i + length <= characters && groups.size() < limits::letter_groups; ++i)
      groups.push_back(
          XXH3_64bits_withSeed(marked.data() + starts[i],
                               static_cast<std::size_t>(starts[i + length] - starts[i]), length));
}

void parts_of(const word& w, std::string_view letters, std::vector<std::uint64_t>& groups) {
  if (!w.unspaced)
    return letter_groups(letters, groups);
  groups.clear();
  for (std::size_t i = 0; i < letters.size();) {
    auto end = i + 1;
    while (end < letters.size() && U8_IS_TRAIL(static_cast<unsigned char>(letters[end])))
      ++end;
    groups.push_back(XXH3_64bits_withSeed(letters.data() + i, end - i, 1));
    i = end;
  }
}

} // namespace candor::topic_filter
