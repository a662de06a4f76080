#include "actors/topic_filter/normalizer.hpp"

#include <algorithm>
#include <array>

#include <sodium.h>
#include <unicode/bytestream.h>
#include <unicode/edits.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

#include "storage/base/ids.hpp"

namespace candor::topic_filter {

namespace {

bool is_letter(char c) {
  return c >= 'a' && c <= 'z';
}

/// White space and hyphens of every kind.
bool separates(UChar32 c) {
  if (c < 0x80)
    return c == ' ' || c == '-' || (c >= '\t' && c <= '\r');
  return u_isUWhiteSpace(c) || u_charType(c) == U_DASH_PUNCTUATION;
}

/// Those that NFKC keeps apart from the one of ASCII.
bool is_apostrophe(UChar32 c) {
  return c == 0x2018 || c == 0x2019 || c == 0x02bc;
}

/// Marks that go upon any letter. What normalization left of them is decoration; the marks of
/// Indic, Arabic and other scripts are part of the spelling and not among these.
bool is_general_mark(UChar32 c) {
  return (c >= 0x300 && c <= 0x36f) || (c >= 0x483 && c <= 0x489) || (c >= 0x1ab0 && c <= 0x1aff) ||
         (c >= 0x1dc0 && c <= 0x1dff) || (c >= 0x20d0 && c <= 0x20ff) ||
         (c >= 0xfe20 && c <= 0xfe2f);
}

bool is_unspaced(UScriptCode script) {
  return script == USCRIPT_HAN || script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA ||
         script == USCRIPT_THAI || script == USCRIPT_LAO || script == USCRIPT_KHMER ||
         script == USCRIPT_MYANMAR;
}

/// Scripts with letters that are taken for Latin ones.
bool looks_latin(UScriptCode script) {
  return script == USCRIPT_CYRILLIC || script == USCRIPT_GREEK || script == USCRIPT_ARMENIAN ||
         script == USCRIPT_CHEROKEE || script == USCRIPT_LISU || script == USCRIPT_COPTIC;
}

struct ascii_class {
  char folded = 0;
  byte_kind kind = byte_kind::apart;
  bool separates = false;
};

const std::array<ascii_class, 128> ascii_classes = [] {
  std::array<ascii_class, 128> table;
  for (int i = 0; i < 128; ++i) {
    auto c = static_cast<char>(i);
    auto folded = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    auto in_word = is_letter(folded) || (c >= '0' && c <= '9');
    table[static_cast<std::size_t>(i)] = {folded, in_word ? byte_kind::word : byte_kind::apart,
                                          separates(c)};
  }
  return table;
}();

void start(view& to, std::string_view name) {
  to.name = name;
  to.text.clear();
  to.begin.clear();
  to.end.clear();
  to.kind.clear();
  to.scripts.reset();
  to.mixed = false;
}

void put(view& to, char c, std::uint32_t begin, std::uint32_t end, byte_kind kind) {
  to.text += c;
  to.begin.push_back(begin);
  to.end.push_back(end);
  to.kind.push_back(kind);
}

/// One pass for four messages of five. False where a byte is not ASCII. Whatever `to` held is
/// written over without being cleared first.
bool normalize_ascii(std::string_view original, view& to) {
  auto size = original.size();
  to.name = "plain";
  to.scripts.reset();
  to.mixed = false;
  to.text.resize(size);
  to.begin.resize(size);
  to.end.resize(size);
  to.kind.resize(size);
  std::size_t n = 0;
  auto letters = false, pending = false;
  std::uint32_t pending_at = 0;
  auto write = [&](char c, std::uint32_t begin, std::uint32_t end, byte_kind kind) {
    to.text[n] = c;
    to.begin[n] = begin;
    to.end[n] = end;
    to.kind[n] = kind;
    ++n;
  };
  for (std::uint32_t i = 0; i < size; ++i) {
    auto byte = static_cast<unsigned char>(original[i]);
    if (byte >= 0x80)
      return false;
    const auto& c = ascii_classes[byte];
    if (c.separates) {
      if (!pending)
        pending_at = i;
      pending = true;
      continue;
    }
    if (pending && n > 0)
      write(' ', pending_at, i, byte_kind::apart);
    pending = false;
    write(c.folded, i, i + 1, c.kind);
    letters |= is_letter(c.folded);
  }
  to.text.resize(n);
  to.begin.resize(n);
  to.end.resize(n);
  to.kind.resize(n);
  to.scripts.set(USCRIPT_LATIN, letters);
  return true;
}

/// NFKC_Casefold with the way back.
result<void> casefold(std::string_view original, view& to) {
  auto status = U_ZERO_ERROR;
  auto form = icu::Normalizer2::getNFKCCasefoldInstance(status);
  if (U_FAILURE(status))
    return fail(errc::internal, "the normal form is not available");
  icu::Edits edits;
  icu::StringByteSink<std::string> sink{&to.text};
  form->normalizeUTF8(0, {original.data(), static_cast<std::int32_t>(original.size())}, sink,
                      &edits, status);
  auto it = edits.getFineIterator();
  while (it.next(status)) {
    auto from = static_cast<std::uint32_t>(it.sourceIndex());
    for (std::int32_t k = 0; k < it.newLength(); ++k) {
      // Within an unchanged run bytes correspond; a change stands for all that it replaced.
      auto at = it.hasChange() ? from : from + static_cast<std::uint32_t>(k);
      auto past = it.hasChange() ? from + static_cast<std::uint32_t>(it.oldLength()) : at + 1;
      to.begin.push_back(at);
      to.end.push_back(past);
    }
  }
  if (U_FAILURE(status) || to.begin.size() != to.text.size())
    return fail(errc::internal, "the text could not be mapped to its normal form");
  return {};
}

/// From a case-folded text to a plain view.
void classify_characters(const view& folded, view& to) {
  auto bytes = folded.text.data();
  auto size = static_cast<std::int32_t>(folded.text.size());
  auto pending = false;
  std::uint32_t pending_at = 0, pending_end = 0;
  std::size_t last = 0;                // where the last character stands in `to`
  auto latin = false, looking = false; // of the word so far
  for (std::int32_t i = 0; i < size;) {
    auto first = static_cast<std::size_t>(i);
    UChar32 c;
    U8_NEXT_UNSAFE(bytes, i, c);
    auto past = static_cast<std::size_t>(i);
    auto begin = folded.begin[first], end = folded.end[past - 1];
    if (is_general_mark(c)) {
      if (!pending)
        std::fill(to.end.begin() + static_cast<std::ptrdiff_t>(last), to.end.end(), end);
      continue;
    }
    if (separates(c)) {
      if (!pending)
        pending_at = begin;
      pending = true;
      pending_end = end;
      continue;
    }
    if (pending && !to.text.empty())
      put(to, ' ', pending_at, pending_end, byte_kind::apart);
    if (pending)
      latin = looking = false;
    pending = false;
    last = to.text.size();
    if (is_apostrophe(c)) {
      put(to, '\'', begin, end, byte_kind::apart);
      latin = looking = false;
      continue;
    }
    auto kind = byte_kind::apart;
    if (c < 0x80) {
      kind = ascii_classes[static_cast<std::size_t>(c)].kind;
      if (is_letter(static_cast<char>(c))) {
        to.scripts.set(USCRIPT_LATIN);
        latin = true;
      }
    } else {
      auto status = U_ZERO_ERROR;
      auto script = uscript_getScript(c, &status);
      auto is_mark = (U_GET_GC_MASK(c) & U_GC_M_MASK) != 0;
      if (is_unspaced(script))
        kind = byte_kind::unspaced;
      else if (u_isalnum(c) || is_mark)
        kind = byte_kind::word;
      if (u_isalpha(c) && script != USCRIPT_COMMON && script != USCRIPT_INHERITED) {
        auto number = static_cast<std::size_t>(script);
        if (number < to.scripts.size())
          to.scripts.set(number);
        latin |= script == USCRIPT_LATIN;
        looking |= looks_latin(script) && c != 0x3bc; // the micro sign, as in a unit
      }
    }
    if (kind != byte_kind::word)
      latin = looking = false;
    to.mixed |= latin && looking;
    for (auto k = first; k < past; ++k)
      put(to, bytes[k], begin, end, kind);
  }
}

/// What a digit or sign stands for among letters, or 0.
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

std::size_t character_bytes(const view& v, std::size_t i) {
  return 1U + static_cast<std::size_t>(
                  U8_COUNT_TRAIL_BYTES_UNSAFE(static_cast<unsigned char>(v.text[i])));
}

/// Bytes [from, past) as they are.
void copy(const view& v, std::size_t from, std::size_t past, view& to) {
  to.text.append(v.text, from, past - from);
  auto range = [&](auto& into, const auto& of) {
    into.insert(into.end(), of.begin() + static_cast<std::ptrdiff_t>(from),
                of.begin() + static_cast<std::ptrdiff_t>(past));
  };
  range(to.begin, v.begin);
  range(to.end, v.end);
  range(to.kind, v.kind);
}

/// A letter that is a word by itself; 0, or its bytes.
std::size_t lone_letter(const view& v, std::size_t i) {
  if (i >= v.text.size() || v.kind[i] != byte_kind::word ||
      (i > 0 && v.kind[i - 1] == byte_kind::word) || (v.text[i] >= '0' && v.text[i] <= '9'))
    return 0;
  auto bytes = character_bytes(v, i);
  return i + bytes < v.text.size() && v.kind[i + bytes] == byte_kind::word ? 0 : bytes;
}

// Four of five messages need no other reading; these see it in a pass without branches.

bool may_be_joined(const view& v) {
  std::size_t alone = 0, wide = 0;
  auto apart = true;
  for (std::size_t i = 0; i < v.kind.size(); ++i) {
    auto in_word = v.kind[i] == byte_kind::word;
    auto ends = i + 1 == v.kind.size() || v.kind[i + 1] != byte_kind::word;
    alone += static_cast<std::size_t>(apart & in_word & ends);
    wide += static_cast<unsigned char>(v.text[i]) >> 7;
    apart = !in_word;
  }
  return alone >= 3 || wide > 0;
}

bool may_be_leet(const view& v) {
  static const auto signs = [] {
    std::array<bool, 256> table{};
    for (std::size_t i = 0; i < table.size(); ++i)
      table[i] = unleet(static_cast<char>(i)) != 0;
    return table;
  }();
  auto found = false;
  for (unsigned char c : v.text)
    found |= signs[c];
  return found;
}

bool may_be_collapsed(const view& v) {
  const auto& t = v.text;
  auto found = 0; // of whole numbers: without branches
  for (std::size_t i = 2; i < t.size(); ++i)
    found |= (int{t[i] == t[i - 1]} & int{t[i] == t[i - 2]}) |
             int{static_cast<unsigned char>(t[i]) >= 0x80};
  return found != 0;
}

/// Signs that people put within words to hide them.
constexpr auto hides = [] {
  std::array<bool, 256> table{};
  for (unsigned char c : std::string_view{".*_/|+~"})
    table[c] = true;
  return table;
}();

/// A sign within a word: single, with letters on either side.
bool is_inside(const view& v, std::size_t i) {
  auto is_of_word = [&](std::size_t at) {
    return v.kind[at] == byte_kind::word && !(v.text[at] >= '0' && v.text[at] <= '9');
  };
  return hides[static_cast<unsigned char>(v.text[i])] && i > 0 && i + 1 < v.text.size() &&
         is_of_word(i - 1) && is_of_word(i + 1);
}

} // namespace

void view::wipe() noexcept {
  sodium_memzero(text.data(), text.size());
  text.clear();
}

result<void> normalize(std::string_view original, view& to) {
  if (normalize_ascii(original, to))
    return {};
  start(to, "plain");
  if (!valid_utf8(original))
    return fail(errc::bad_utf8);
  thread_local view folded; // its memory is used again
  start(folded, "folded");
  auto done = casefold(original, folded);
  if (done)
    classify_characters(folded, to);
  folded.wipe();
  return done;
}

bool read_joined(const view& plain, view& to) {
  if (!may_be_joined(plain))
    return false;
  const auto& t = plain.text;
  auto differs = false;
  std::size_t copied = 0;
  for (std::size_t i = 0; i < t.size();) {
    auto bytes = lone_letter(plain, i);
    if (bytes == 0) {
      i += character_bytes(plain, i);
      continue;
    }
    auto sign = i + bytes, end = sign; // past the run's last letter
    std::size_t letters = 1;
    if (sign < t.size() && plain.kind[sign] == byte_kind::apart) {
      auto sign_bytes = character_bytes(plain, sign);
      auto same = std::string_view{t}.substr(sign, sign_bytes);
      while (std::string_view{t}.substr(end, sign_bytes) == same) {
        auto more = lone_letter(plain, end + sign_bytes);
        if (more == 0)
          break;
        end += sign_bytes + more;
        ++letters;
      }
      if (letters >= 3) {
        if (!differs)
          start(to, "joined");
        differs = true;
        copy(plain, copied, i, to);
        for (auto k = i; k < end;) {
          auto length = character_bytes(plain, k);
          copy(plain, k, k + length, to);
          std::fill(to.kind.end() - static_cast<std::ptrdiff_t>(length), to.kind.end(),
                    byte_kind::spelled);
          k += length + sign_bytes;
        }
        copied = end;
      } else {
        end = sign; // the second letter may begin a run with another sign
      }
    }
    i = end;
  }
  if (differs)
    copy(plain, copied, t.size(), to);
  return differs;
}

bool read_leet(const view& plain, view& to) {
  if (!may_be_leet(plain))
    return false;
  const auto& t = plain.text;
  auto differs = false;
  std::size_t copied = 0;
  for (std::size_t i = 0; i < t.size();) {
    auto end = i;
    std::size_t letters = 0, signs = 0;
    for (; end < t.size(); ++end) {
      if (is_letter(t[end]))
        ++letters;
      else if (unleet(t[end]) != 0)
        ++signs;
      else
        break;
    }
    // A mark of exclamation at a word's end is one.
    auto last = end;
    for (; last > i && t[last - 1] == '!'; --last)
      --signs;
    if (letters >= 2 && signs > 0) {
      if (!differs)
        start(to, "leet");
      differs = true;
      copy(plain, copied, i, to);
      for (auto k = i; k < last; ++k)
        put(to, is_letter(t[k]) ? t[k] : unleet(t[k]), plain.begin[k], plain.end[k],
            byte_kind::word);
      copied = last;
    }
    i = end == i ? i + 1 : end;
  }
  if (differs)
    copy(plain, copied, t.size(), to);
  return differs;
}

bool read_collapsed(const view& plain, unsigned times, view& to) {
  if (!may_be_collapsed(plain))
    return false;
  const auto& t = plain.text;
  auto differs = false;
  std::size_t copied = 0;
  for (std::size_t i = 0; i < t.size();) {
    auto bytes = character_bytes(plain, i);
    auto same = std::string_view{t}.substr(i, bytes);
    auto end = i + bytes;
    while (std::string_view{t}.substr(end, bytes) == same)
      end += bytes;
    auto is_digit = t[i] >= '0' && t[i] <= '9';
    if (plain.kind[i] == byte_kind::word && !is_digit && end - i >= 3 * bytes) {
      if (!differs)
        start(to, times == 1 ? "collapsed" : "doubled");
      differs = true;
      copy(plain, copied, i + times * bytes, to);
      // What is left stands for the whole run.
      std::fill(to.end.end() - static_cast<std::ptrdiff_t>(bytes), to.end.end(),
                plain.end[end - 1]);
      copied = end;
    }
    i = end;
  }
  if (differs)
    copy(plain, copied, t.size(), to);
  return differs;
}

bool read_unmarked(const view& plain, view& to) {
  if (std::ranges::all_of(plain.text, [](unsigned char c) { return c < 0x80; }))
    return false;
  auto status = U_ZERO_ERROR;
  auto form = icu::Normalizer2::getNFDInstance(status);
  if (U_FAILURE(status))
    return false;
  auto differs = false;
  start(to, "unmarked");
  auto bytes = plain.text.data();
  auto size = static_cast<std::int32_t>(plain.text.size());
  for (std::int32_t i = 0; i < size;) {
    auto first = static_cast<std::size_t>(i);
    UChar32 c;
    U8_NEXT_UNSAFE(bytes, i, c);
    UChar32 base = 0;
    icu::UnicodeString parts;
    if (c == 0xf8) // strokes do not decompose
      base = 'o';
    else if (c == 0x142)
      base = 'l';
    else if (c == 0x111 || c == 0xf0)
      base = 'd';
    else if (c == 0x131)
      base = 'i';
    else if (c >= 0x80 && form->getDecomposition(c, parts))
      base = parts.char32At(0);
    if (base > 0 && base < 0x80 && is_letter(static_cast<char>(base))) {
      put(to, static_cast<char>(base), plain.begin[first], plain.end[first], byte_kind::word);
      differs = true;
    } else {
      copy(plain, first, static_cast<std::size_t>(i), to);
    }
  }
  return differs;
}

bool read_closed(const view& plain, view& to) {
  auto differs = false;
  std::size_t copied = 0;
  for (std::size_t i = 0; i < plain.text.size(); ++i) {
    if (!is_inside(plain, i))
      continue;
    if (!differs)
      start(to, "closed");
    differs = true;
    copy(plain, copied, i, to);
    copied = i + 1;
  }
  if (differs)
    copy(plain, copied, plain.text.size(), to);
  return differs;
}

bool read_as(reading how, const view& plain, view& to) {
  switch (how) {
    case reading::plain:
    case reading::mended:
      return false;
    case reading::joined:
      return read_joined(plain, to);
    case reading::leet:
      return read_leet(plain, to);
    case reading::collapsed:
      return read_collapsed(plain, 1, to);
    case reading::doubled:
      return read_collapsed(plain, 2, to);
    case reading::unmarked:
      return read_unmarked(plain, to);
    case reading::closed:
      return read_closed(plain, to);
  }
  return false;
}

} // namespace candor::topic_filter
