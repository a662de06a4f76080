#include "actors/topic_filter/normalizer.hpp"

#include <algorithm>

#include <unicode/bytestream.h>
#include <unicode/edits.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

#include "storage/base/ids.hpp"

namespace candor::topic_filter {

namespace {

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return c < 0x80; });
}

/// White space and hyphens of every kind.
bool separates(UChar32 c) {
  if (c < 0x80)
    return c == ' ' || c == '-' || (c >= '\t' && c <= '\r');
  return u_isUWhiteSpace(c) || u_charType(c) == U_DASH_PUNCTUATION;
}

bool is_apostrophe(UChar32 c) { return c == 0x2018 || c == 0x2019 || c == 0x02bc || c == 0x00b4; }

/// Runs of separators as one space, none at either end; one kind of apostrophe.
view single_spaced(const view& from) {
  view to{from.name, {}, {}};
  to.text.reserve(from.text.size());
  to.origin.reserve(from.text.size() + 1);
  auto pending = false;
  std::uint32_t pending_origin = 0;
  auto bytes = from.text.data();
  auto size = static_cast<std::int32_t>(from.text.size());
  for (std::int32_t i = 0; i < size;) {
    auto start = i;
    UChar32 c;
    U8_NEXT_UNSAFE(bytes, i, c);
    if (separates(c)) {
      if (!pending)
        pending_origin = from.origin[static_cast<std::size_t>(start)];
      pending = !to.text.empty();
      continue;
    }
    if (pending) {
      to.text += ' ';
      to.origin.push_back(pending_origin);
      pending = false;
    }
    if (is_apostrophe(c)) { // which NFKC keeps apart
      to.text += '\'';
      to.origin.push_back(from.origin[static_cast<std::size_t>(start)]);
      continue;
    }
    for (auto k = start; k < i; ++k) {
      to.text += bytes[k];
      to.origin.push_back(from.origin[static_cast<std::size_t>(k)]);
    }
  }
  to.origin.push_back(from.origin.back());
  return to;
}

result<view> casefold(std::string_view original) {
  view v{"plain", {}, {}};
  if (is_ascii(original)) {
    v.text.resize(original.size());
    std::ranges::transform(original, v.text.begin(), [](unsigned char c) {
      return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    });
    v.origin.resize(original.size() + 1);
    for (std::uint32_t i = 0; i <= original.size(); ++i)
      v.origin[i] = i;
    return v;
  }
  auto status = U_ZERO_ERROR;
  auto form = icu::Normalizer2::getNFKCCasefoldInstance(status);
  icu::Edits edits;
  icu::StringByteSink<std::string> sink{&v.text};
  form->normalizeUTF8(0, {original.data(), static_cast<std::int32_t>(original.size())}, sink,
                      &edits, status);
  if (U_FAILURE(status))
    return fail(errc::internal, "the text could not be normalized");
  v.origin.reserve(v.text.size() + 1);
  auto it = edits.getFineIterator();
  while (it.next(status)) {
    // Within an unchanged run bytes correspond; within a change all lead to its beginning.
    for (std::int32_t k = 0; k < it.newLength(); ++k)
      v.origin.push_back(static_cast<std::uint32_t>(it.sourceIndex() + (it.hasChange() ? 0 : k)));
  }
  v.origin.push_back(static_cast<std::uint32_t>(original.size()));
  if (U_FAILURE(status) || v.origin.size() != v.text.size() + 1)
    return fail(errc::internal, "the text could not be mapped to its normal form");
  return v;
}

bool is_letter(char c) {
  return c >= 'a' && c <= 'z';
}

/// What a digit or sign stands for between letters, or 0.
char unleet(char c) {
  switch (c) {
    case '0':
      return 'o';
    case '1':
      return 'i';
    case '3':
      return 'e';
    case '4':
      return 'a';
    case '5':
      return 's';
    case '7':
      return 't';
    case '@':
      return 'a';
    case '$':
      return 's';
    case '!':
      return 'i';
    default:
      return 0;
  }
}

void take(view& to, const view& from, std::size_t i, char c) {
  to.text += c;
  to.origin.push_back(from.origin[i]);
}

view finished(view v, const view& from) {
  v.origin.push_back(from.origin.back());
  return v;
}

/// Single letters with one and the same sign (a space, dot, star, ...) between them, three and
/// more.
view joined(const view& plain) {
  view v{"joined", {}, {}};
  const auto& t = plain.text;
  auto alone = [&](std::size_t i) {
    return i < t.size() && is_letter(t[i]) && (i == 0 || !is_letter(t[i - 1])) &&
           (i + 1 == t.size() || !is_letter(t[i + 1]));
  };
  for (std::size_t i = 0; i < t.size();) {
    auto end = i;
    if (alone(i))
      while (end + 2 < t.size() && alone(end + 2) && t[end + 1] == t[i + 1])
        end += 2;
    if (end >= i + 4) {
      for (; i <= end; i += 2)
        take(v, plain, i, t[i]);
      i = end + 1;
    } else {
      take(v, plain, i, t[i]);
      ++i;
    }
  }
  return finished(std::move(v), plain);
}

/// A sign within or beside letters, where the word has at least two letters.
view leet(const view& plain) {
  view v{"leet", {}, {}};
  const auto& t = plain.text;
  for (std::size_t i = 0; i < t.size();) {
    auto end = i;
    std::size_t letters = 0;
    while (end < t.size() && (is_letter(t[end]) || unleet(t[end]) != 0)) {
      letters += is_letter(t[end]) ? 1 : 0;
      ++end;
    }
    if (end == i)
      end = i + 1;
    for (auto k = i; k < end; ++k)
      take(v, plain, k, letters >= 2 && unleet(t[k]) != 0 ? unleet(t[k]) : t[k]);
    i = end;
  }
  return finished(std::move(v), plain);
}

view collapsed(const view& plain) {
  view v{"collapsed", {}, {}};
  const auto& t = plain.text;
  for (std::size_t i = 0; i < t.size();) {
    auto end = i + 1;
    while (end < t.size() && t[end] == t[i])
      ++end;
    auto keep = is_letter(t[i]) && end - i >= 3 ? i + 1 : end;
    for (auto k = i; k < keep; ++k)
      take(v, plain, k, t[k]);
    i = end;
  }
  return finished(std::move(v), plain);
}

} // namespace

result<view> normalize(std::string_view original) {
  if (!valid_utf8(original))
    return fail(errc::bad_utf8);
  CANDOR_TRY(folded, casefold(original));
  return single_spaced(folded);
}

std::vector<view> alternate_views(const view& plain) {
  std::vector<view> views;
  for (auto make : {joined, leet, collapsed})
    if (auto v = make(plain); v.text != plain.text)
      views.push_back(std::move(v));
  return views;
}

std::vector<bool> word_bytes(std::string_view text) {
  std::vector<bool> flags(text.size());
  auto bytes = text.data();
  auto size = static_cast<std::int32_t>(text.size());
  for (std::int32_t i = 0; i < size;) {
    auto start = i;
    UChar32 c;
    U8_NEXT_UNSAFE(bytes, i, c);
    bool in_word;
    if (c < 0x80) {
      in_word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
    } else {
      auto status = U_ZERO_ERROR;
      auto script = uscript_getScript(c, &status);
      auto unspaced = script == USCRIPT_HAN || script == USCRIPT_HIRAGANA ||
                      script == USCRIPT_KATAKANA || script == USCRIPT_THAI ||
                      script == USCRIPT_LAO || script == USCRIPT_KHMER || script == USCRIPT_MYANMAR;
      auto type = u_getCombiningClass(c) != 0 || (U_GET_GC_MASK(c) & U_GC_M_MASK) != 0;
      in_word = !unspaced && (u_isalnum(c) || type);
    }
    for (auto k = start; k < i; ++k)
      flags[static_cast<std::size_t>(k)] = in_word;
  }
  return flags;
}

} // namespace candor::topic_filter
