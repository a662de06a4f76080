#include "actors/topic_filter/mender.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

namespace candor::topic_filter {

namespace {

// Ranks up to which a word is taken for what was meant.
constexpr std::uint32_t known_rank = 150'000, swap_rank = 40'000, swap_rank_short = 8'000,
                        part_rank = 60'000, join_rank = 60'000;
constexpr std::size_t swap_letters = 4, split_letters = 7, word_most = 40, split_most = 160,
                      part_most = 16, join_letters = 5, skeleton_letters = 3, runs_most = 6;
// Of the parts of a glued word: the shorter, the more frequent they must be. Few unknown words of
// ordinary length are made of parts this short.
constexpr std::uint32_t small_rank = 30, pair_rank = 900, triple_rank = 5000;
constexpr std::size_t long_letters = 13;
// Of two known words that may be one: how rare one of them is, and how often the whole is more
// frequent than it.
constexpr std::uint32_t rare_rank = 20'000, more_frequent = 8;

bool is_letter(char c) {
  return c >= 'a' && c <= 'z';
}

bool is_vowel(char c) {
  return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

/// What stands after the apostrophe of a contraction.
bool is_contraction(std::string_view part) {
  return part == "m" || part == "s" || part == "t" || part == "d" || part == "re" || part == "ve" ||
         part == "ll";
}

/// The first letter, and of the others those that are no vowels.
std::size_t bare(std::string_view word, std::array<char, word_most>& to) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < word.size() && n < to.size(); ++i)
    if (i == 0 || !is_vowel(word[i]))
      to[n++] = word[i];
  return n;
}

void put(view& to, std::string_view word, std::uint32_t begin, std::uint32_t end) {
  for (auto c : word) {
    to.text += c;
    to.begin.push_back(begin);
    to.end.push_back(end);
    to.kind.push_back(c == ' ' ? byte_kind::apart : byte_kind::word);
  }
}

void copy(const view& from, std::size_t begin, std::size_t end, view& to) {
  for (auto i = begin; i < end; ++i) {
    to.text += from.text[i];
    to.begin.push_back(from.begin[i]);
    to.end.push_back(from.end[i]);
    to.kind.push_back(from.kind[i]);
  }
}

/// The most frequent word that this one is with each of its repeated letters once or twice, in
/// `to`; its length, or 0.
std::size_t once_or_twice(const classifier& model, std::string_view word,
                          std::array<char, word_most>& to) {
  std::size_t runs = 0, more = 0;
  for (std::size_t i = 1; i < word.size(); ++i)
    if (word[i] == word[i - 1]) {
      ++more;
      runs += i == 1 || word[i - 2] != word[i] ? 1 : 0;
    }
  if (more < 2 || runs > runs_most)
    return 0;
  auto write = [&](unsigned twice) {
    std::size_t n = 0;
    unsigned run = 0;
    for (std::size_t i = 0; i < word.size();) {
      auto end = i + 1;
      while (end < word.size() && word[end] == word[i])
        ++end;
      to[n++] = word[i];
      if (end - i >= 2 && (twice >> run++ & 1) != 0)
        to[n++] = word[i];
      i = end;
    }
    return n;
  };
  auto best = swap_rank;
  unsigned best_twice = 0;
  for (unsigned twice = 0; twice < 1U << runs; ++twice)
    if (auto r = model.rank(word_hash({to.data(), write(twice)})); r < best) {
      best = r;
      best_twice = twice;
    }
  return best < swap_rank ? write(best_twice) : 0;
}

} // namespace

mender::mender(const classifier& model)
  : model_{model}
  , skeletons_(1 << 17) {
  // By falling frequency: the first word of a skeleton stays.
  for (const auto& word : model.inside().frequent_words) {
    std::array<char, word_most> letters;
    auto n = bare(word, letters);
    if (n < skeleton_letters || n == word.size() || word.size() > word_most)
      continue;
    auto hash = word_hash({letters.data(), n});
    auto mask = skeletons_.size() - 1;
    auto at = static_cast<std::size_t>(hash) & mask;
    while (skeletons_[at].bytes != 0 && skeletons_[at].hash != hash)
      at = (at + 1) & mask;
    if (skeletons_[at].bytes != 0)
      continue;
    skeletons_[at] = {hash, static_cast<std::uint32_t>(letters_.size()),
                      static_cast<std::uint8_t>(word.size())};
    letters_ += word;
  }
}

/// The word that this one is without its vowels, or nothing.
std::string_view mender::restored(std::string_view word) const {
  auto hash = word_hash(word);
  auto mask = skeletons_.size() - 1;
  for (auto at = static_cast<std::size_t>(hash) & mask; skeletons_[at].bytes != 0;
       at = (at + 1) & mask)
    if (skeletons_[at].hash == hash)
      return std::string_view{letters_}.substr(skeletons_[at].place, skeletons_[at].bytes);
  return {};
}

bool mender::read(const view& from, view& to, workspace& w) const {
  auto begun = false;
  std::size_t copied = 0;
  auto begin_mending = [&] {
    if (begun)
      return;
    begun = true;
    to.name = reading_names[static_cast<std::size_t>(reading::mended)];
    to.text.clear();
    to.begin.clear();
    to.end.clear();
    to.kind.clear();
  };
  std::string_view text = from.text;
  auto size = text.size();
  auto word_end = [&](std::size_t i) {
    while (i < size && is_letter(text[i]))
      ++i;
    return i;
  };
  auto rank = [&](std::string_view word) { return model_.rank(word_hash(word)); };
  // A word is looked at as the next one of the word before it, and then as itself.
  std::size_t looked_up = std::string_view::npos; ///< where the word of `found` begins
  std::uint32_t found = 0;
  auto rank_at = [&](std::size_t at, std::string_view word) {
    if (at != looked_up) {
      looked_up = at;
      found = rank(word);
    }
    return found;
  };
  // Where two words are more likely one that is hidden: neither may be missed.
  auto may_be_one = [](std::uint32_t first, std::uint32_t second, std::uint32_t whole) {
    auto rarer = std::max(first, second);
    return whole < join_rank &&
           (rarer >= known_rank || (rarer >= rare_rank && whole < rarer / more_frequent));
  };
  std::array<char, word_most> letters;
  for (std::size_t i = 0; i < size;) {
    if (!is_letter(text[i]) || (i > 0 && from.kind[i - 1] != byte_kind::apart)) {
      ++i;
      continue;
    }
    auto end = word_end(i);
    auto word = text.substr(i, end - i);
    if (end < size && from.kind[end] != byte_kind::apart) { // digits or other letters follow
      i = end;
      continue;
    }
    auto own_rank = rank_at(i, word);
    auto is_known = own_rank < known_rank;
    // A sign within: this word and the next are one.
    if (auto next = end + 1; next < size && is_letter(text[next]) && text[end] != '\'') {
      auto next_end = word_end(next);
      auto second = text.substr(next, next_end - next);
      auto bytes = word.size() + second.size();
      if ((next_end == size || from.kind[next_end] == byte_kind::apart) && bytes >= join_letters &&
          bytes <= word_most && std::max(own_rank, rank_at(next, second)) >= rare_rank) {
        std::ranges::copy(word, letters.begin());
        std::ranges::copy(second, letters.begin() + static_cast<std::ptrdiff_t>(word.size()));
        if (may_be_one(own_rank, rank_at(next, second), rank({letters.data(), bytes}))) {
          begin_mending();
          copy(from, copied, i, to);
          put(to, {letters.data(), bytes}, from.begin[i], from.end[next_end - 1]);
          i = copied = next_end;
          continue;
        }
      }
    }
    if (is_known || word.size() < skeleton_letters || word.size() > split_most) {
      i = end;
      continue;
    }
    auto replace = [&](std::string_view by) {
      begin_mending();
      copy(from, copied, i, to);
      put(to, by, from.begin[i], from.end[end - 1]);
      copied = end;
    };
    // Without vowels.
    if (std::ranges::none_of(word.substr(1), is_vowel))
      if (auto whole = restored(word); !whole.empty()) {
        replace(whole);
        i = end;
        continue;
      }
    // Letters repeated, of a word that may have some doubled: the most frequent word that this
    // gives.
    if (auto n = word.size() <= word_most ? once_or_twice(model_, word, letters) : 0; n > 0) {
      replace({letters.data(), n});
      i = end;
      continue;
    }
    // Two neighbouring letters swapped: the most frequent word that this gives.
    if (word.size() >= swap_letters && word.size() <= word_most) {
      std::ranges::copy(word, letters.begin());
      auto best = word.size() == swap_letters ? swap_rank_short : swap_rank;
      auto most = best;
      std::size_t best_at = 0;
      for (std::size_t k = 0; k + 1 < word.size(); ++k) {
        std::swap(letters[k], letters[k + 1]);
        if (auto r = rank({letters.data(), word.size()}); r < best) {
          best = r;
          best_at = k;
        }
        std::swap(letters[k], letters[k + 1]);
      }
      if (best < most) {
        std::swap(letters[best_at], letters[best_at + 1]);
        replace({letters.data(), word.size()});
        i = end;
        continue;
      }
    }
    // Glued: the split of the least cost, where each part costs what its rarity says.
    if (word.size() >= split_letters) {
      auto n = word.size();
      w.cost.assign(n + 1, std::numeric_limits<float>::infinity());
      w.length.assign(n + 1, 0);
      w.cost[0] = 0;
      for (std::size_t b = 0; b < n; ++b) {
        if (!(w.cost[b] < std::numeric_limits<float>::infinity()))
          continue;
        for (std::size_t l = 1; l <= part_most && b + l <= n; ++l) {
          auto part = word.substr(b, l);
          // The vectors know neither words of one letter nor what is left of "I'm" and "we're".
          auto is_small = l == 1 ? part == "a" || part == "i" : false;
          is_small |= b == 0 && i > 0 && text[i - 1] == '\'' && is_contraction(part);
          if (l == 1 && !is_small)
            continue;
          auto r = is_small ? small_rank : rank(part);
          if (r >= (l == 2 ? pair_rank : l == 3 ? triple_rank : part_rank))
            continue;
          auto cost = w.cost[b] + std::log(static_cast<float>(r) + 10) + 2;
          if (cost < w.cost[b + l]) {
            w.cost[b + l] = cost;
            w.length[b + l] = static_cast<std::uint8_t>(l);
          }
        }
      }
      std::size_t parts = 0;
      for (auto k = n; k > 0 && w.length[k] > 0; k -= w.length[k])
        ++parts;
      if (w.length[n] > 0 && parts >= 2 && 2 * n >= parts * (n < long_letters ? 6 : 5)) {
        begin_mending();
        copy(from, copied, i, to);
        std::array<std::size_t, split_most + 1> ends;
        auto count = parts;
        for (auto k = n; count > 0; k -= w.length[k])
          ends[--count] = k;
        std::size_t b = 0;
        for (std::size_t p = 0; p < parts; ++p) {
          if (p > 0)
            put(to, " ", from.begin[i + b], from.begin[i + b]);
          copy(from, i + b, i + ends[p], to);
          b = ends[p];
        }
        // A letter that was spelled out is now one of a word.
        std::fill(to.kind.end() - static_cast<std::ptrdiff_t>(n + parts - 1), to.kind.end(),
                  byte_kind::word);
        for (auto k = to.text.size() - (n + parts - 1); k < to.text.size(); ++k)
          if (to.text[k] == ' ')
            to.kind[k] = byte_kind::apart;
        copied = end;
      }
    }
    i = end;
  }
  if (begun)
    copy(from, copied, size, to);
  return begun;
}

} // namespace candor::topic_filter
