#include "tools/candor-train/distort.hpp"

#include <algorithm>

namespace candor::train {

namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_vowel(char c) {
  return std::string_view{"aeiouAEIOU"}.find(c) != std::string_view::npos;
}

std::string code_point(unsigned c) { // of three bytes and fewer
  std::string made;
  if (c < 0x80) {
    made += static_cast<char>(c);
  } else if (c < 0x800) {
    made += static_cast<char>(0xc0 | c >> 6);
    made += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    made += static_cast<char>(0xe0 | c >> 12);
    made += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    made += static_cast<char>(0x80 | (c & 0x3f));
  }
  return made;
}

std::string joined(std::string_view word, std::string_view sign) {
  std::string made;
  for (auto c : word) {
    if (!made.empty())
      made += sign;
    made += c;
  }
  return made;
}

std::string changed(std::string_view word, distortion how, rng& chance) {
  std::string made;
  auto place = 1 + chance.next() % (word.size() - 2); // neither the first nor the last
  switch (how) {
    case distortion::leet:
      for (auto c : word) {
        constexpr std::string_view letters = "aeiostAEIOST", signs = "431057431057";
        auto at = letters.find(c);
        made += at == std::string_view::npos         ? c
                : c == 'a' && chance.next() % 3 == 0 ? '@'
                                                     : signs[at];
      }
      return made;
    case distortion::spaced:
      return joined(word, " ");
    case distortion::dotted:
      return joined(word, ".");
    case distortion::dash_between:
      return joined(word, chance.next() % 3 == 0 ? "_" : chance.next() % 2 == 0 ? "-" : "*");
    case distortion::repeated:
      made = word;
      made.insert(place, 2 + chance.next() % 3, word[place]);
      return made;
    case distortion::invisible:
      made = word;
      made.insert(place, chance.next() % 2 == 0 ? "\u200b" : "\u00ad");
      return made;
    case distortion::lookalike: {
      for (auto c : word) {
        constexpr std::string_view latin = "aceopxyi";
        constexpr unsigned others[] = {0x430, 0x441, 0x435, 0x43e, 0x440, 0x445, 0x443, 0x456};
        auto at = latin.find(c);
        made += at == std::string_view::npos ? std::string(1, c) : code_point(others[at]);
      }
      return made;
    }
    case distortion::full_width:
      for (auto c : word)
        made += code_point(0xfee0U + static_cast<unsigned char>(c));
      return made;
    case distortion::no_vowels:
      for (std::size_t i = 0; i < word.size(); ++i)
        if (i == 0 || !is_vowel(word[i]))
          made += word[i];
      return made;
    case distortion::swapped:
      made = word;
      std::swap(made[place], made[place + 1 < word.size() - 1 ? place + 1 : place - (place > 1)]);
      return made;
    case distortion::stacked_marks:
      for (auto c : word) {
        made += c;
        made += code_point(0x300U + static_cast<unsigned>(chance.next() % 0x40));
      }
      return made;
    case distortion::signs_inside:
      made = word;
      made.insert(place, 1, ".*-_/"[chance.next() % 5]);
      return made;
    case distortion::case_noise:
      for (auto c : word)
        made += chance.next() % 2 == 0 ? c : static_cast<char>(c ^ 0x20);
      return made;
    case distortion::glued:
      break;
  }
  return std::string{word};
}

} // namespace

std::string distort(std::string_view text, distortion how, std::size_t begin, std::size_t end,
                    rng& chance) {
  constexpr std::size_t letters_least = 4;
  std::string made;
  for (std::size_t i = 0; i < text.size();) {
    if (how == distortion::glued && text[i] == ' ' && i >= begin && i < end) {
      ++i;
      continue;
    }
    auto past = i;
    while (past < text.size() && is_letter(text[past]))
      ++past;
    auto word = text.substr(i, past - i);
    auto foreign = (past < text.size() && static_cast<unsigned char>(text[past]) >= 0x80) ||
                   (i > 0 && static_cast<unsigned char>(text[i - 1]) >= 0x80);
    if (word.size() < letters_least || foreign || i < begin || i >= end)
      made += past > i ? word : text.substr(i, 1);
    else
      made += changed(word, how, chance);
    i = std::max(past, i + 1);
  }
  return made;
}

} // namespace candor::train
