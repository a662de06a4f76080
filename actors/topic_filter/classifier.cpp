#include "actors/topic_filter/classifier.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <limits>

#include <fmt/format.h>
#include <sodium.h>

#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"

namespace candor::topic_filter {

namespace {

constexpr std::string_view magic = "CNDRTOPC";
constexpr std::uint32_t format_version = 3;
constexpr std::size_t checksum_bytes = 32;

std::array<unsigned char, checksum_bytes> checksum_of(std::string_view bytes) {
  std::array<unsigned char, checksum_bytes> sum;
  crypto_generichash(sum.data(), sum.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                     bytes.size(), nullptr, 0);
  return sum;
}

/// Reads numbers as they lie in memory; what has run out stays false.
class cursor {
public:
  explicit cursor(std::string_view bytes)
    : left_{bytes} {}

  template <class T, std::size_t N>
  bool take(std::array<T, N>& to) {
    return take_all(std::span<T>{to});
  }
  template <class T>
  bool take_all(std::span<T> to) {
    auto bytes = to.size_bytes();
    if (bytes > left_.size())
      return false;
    std::memcpy(to.data(), left_.data(), bytes);
    left_.remove_prefix(bytes);
    return true;
  }
  template <class T>
  bool take(T& to) {
    return take_all(std::span<T>{&to, 1});
  }
  template <class T>
  bool take(std::vector<T>& to, std::size_t size) {
    if (size > left_.size() / sizeof(T))
      return false;
    to.resize(size);
    return take_all(std::span<T>{to});
  }
  bool take(std::string& to, std::size_t size) {
    if (size > left_.size())
      return false;
    to = left_.substr(0, size);
    left_.remove_prefix(size);
    return true;
  }
  bool done() const { return left_.empty(); }

private:
  std::string_view left_;
};

template <class T>
void put(std::string& to, std::span<const T> values) {
  to.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}
void put(std::string& to, std::uint32_t value) {
  put(to, std::span<const std::uint32_t>{&value, 1});
}

} // namespace

void lexical_features_of(std::span<const tier_counts> counts, std::span<const std::uint32_t> topics,
                         lexical_features& to) {
  auto bounded = [](std::uint32_t n, std::uint32_t most) {
    return static_cast<float>(std::min(n, most)) / 2;
  };
  for (std::size_t c = 0; c < model::category_count; ++c) {
    to[5 * c] = bounded(counts[c].hard, 2);
    to[5 * c + 1] = bounded(counts[c].soft, 3);
    to[5 * c + 2] = bounded(counts[c].bound, 2);
    to[5 * c + 3] = bounded(counts[c].unbound, 2);
    to[5 * c + 4] = bounded(counts[c].cancelled, 2);
  }
  for (std::size_t t = 0; t < interest_count; ++t)
    to[lexical_topics + t] = t + 1 < topics.size() ? bounded(topics[t + 1], 6) / 2 : 0;
}

// -- the network as bytes ----------------------------------------------------------------------

std::uint64_t network::key(std::uint64_t hash, wording w) noexcept {
  return w == wording::english ? hash : hash * 0x9e3779b97f4a7c15ULL + 1;
}

std::uint32_t network::find(std::uint64_t key) const noexcept {
  auto mask = slots.size() - 1;
  for (auto at = static_cast<std::size_t>(key) & mask;; at = (at + 1) & mask) {
    const auto& s = slots[at];
    if (s.row == no_row || s.check == static_cast<std::uint32_t>(key >> 32))
      return s.row;
  }
}

void network::index(std::uint64_t key, std::uint32_t row) {
  auto mask = slots.size() - 1;
  for (auto at = static_cast<std::size_t>(key) & mask;; at = (at + 1) & mask) {
    auto& s = slots[at];
    if (s.row == no_row) {
      s = {static_cast<std::uint32_t>(key >> 32), row};
      return;
    }
    if (s.check == static_cast<std::uint32_t>(key >> 32))
      return;
  }
}

const network::threshold_row& network::thresholds_for(wording w, std::string_view lang) const {
  auto own = thresholds_of.find(lang);
  return w == wording::english || own == thresholds_of.end()
             ? thresholds[static_cast<std::size_t>(w)]
             : own->second;
}

std::string to_bytes(const network& n) {
  std::string to{magic};
  put(to, format_version);
  std::string names;
  for (const auto& [name, value] : n.made_of)
    names += name + "=" + value + "\n";
  put(to, static_cast<std::uint32_t>(names.size()));
  to += names;
  for (auto size : {averaged, greatest, paired, outputs, lexical, n.slots.size(),
                    n.rows.size() / row_bytes, n.groups.size() / row_bytes})
    put(to, static_cast<std::uint32_t>(size));
  std::string frequent;
  for (const auto& word : n.frequent_words)
    frequent += word + "\n";
  put(to, static_cast<std::uint32_t>(frequent.size()));
  to += frequent;
  put(to, std::span<const network::slot>{n.slots});
  put(to, std::span<const std::int8_t>{n.rows});
  put(to, std::span<const std::int8_t>{n.groups});
  put(to, std::span<const float>{n.scale});
  put(to, std::span<const float>{n.bias});
  put(to, std::span<const float>{n.lexical_in});
  put(to, std::span<const float>{n.lexical_out});
  put(to, std::span<const float>{n.out});
  put(to, std::span<const float>{n.out_bias});
  for (const auto& t : n.thresholds)
    put(to, std::span<const float>{t});
  put(to, static_cast<std::uint32_t>(n.thresholds_of.size()));
  for (const auto& [lang, t] : n.thresholds_of) {
    put(to, static_cast<std::uint32_t>(lang.size()));
    to += lang;
    put(to, std::span<const float>{t});
  }
  auto sum = checksum_of(to);
  to.append(reinterpret_cast<const char*>(sum.data()), sum.size());
  return to;
}

result<network> parse_network(std::string_view bytes) {
  if (bytes.size() < magic.size() + checksum_bytes || !bytes.starts_with(magic))
    return fail(errc::config_invalid, "this is not a model of the topic filter");
  auto sum = checksum_of(bytes.substr(0, bytes.size() - checksum_bytes));
  bytes.remove_prefix(magic.size());
  if (std::memcmp(bytes.data() + bytes.size() - checksum_bytes, sum.data(), checksum_bytes) != 0)
    return fail(errc::config_invalid, "the checksum of the model does not hold");
  bytes.remove_suffix(checksum_bytes);
  cursor from{bytes};
  auto broken = [] { return fail(errc::config_invalid, "the model is of another version"); };
  network n;
  n.checksum = to_hex({reinterpret_cast<const char*>(sum.data()), sum.size() / 2});
  std::uint32_t version = 0, names_bytes = 0;
  std::string names;
  std::array<std::uint32_t, 8> shape{};
  if (!from.take(version) || version != format_version || !from.take(names_bytes) ||
      !from.take(names, names_bytes) || !from.take(shape))
    return broken();
  for (std::string_view left = names; !left.empty();) {
    auto line = left.substr(0, left.find('\n'));
    left.remove_prefix(std::min(left.size(), line.size() + 1));
    auto equals = line.find('=');
    if (equals == std::string_view::npos)
      return broken();
    n.made_of.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  std::size_t words = shape[6], groups = shape[7];
  if (shape[0] != averaged || shape[1] != greatest || shape[2] != paired || shape[3] != outputs ||
      shape[4] != lexical || !std::has_single_bit(shape[5]) || !std::has_single_bit(groups) ||
      words * 4 > shape[5] * std::size_t{3}) // a search must meet an empty slot
    return broken();
  std::uint32_t frequent_bytes = 0;
  std::string frequent;
  if (!from.take(frequent_bytes) || !from.take(frequent, frequent_bytes))
    return broken();
  for (std::string_view left = frequent; !left.empty();) {
    auto word = left.substr(0, left.find('\n'));
    left.remove_prefix(std::min(left.size(), word.size() + 1));
    n.frequent_words.emplace_back(word);
  }
  if (!from.take(n.slots, shape[5]) || !from.take(n.rows, words * row_bytes) ||
      !from.take(n.groups, groups * row_bytes) || !from.take(n.scale) || !from.take(n.bias) ||
      !from.take(n.lexical_in, lexical * hidden) || !from.take(n.lexical_out, lexical * outputs) ||
      !from.take(n.out, hidden * outputs) || !from.take(n.out_bias) ||
      !from.take(n.thresholds[0]) || !from.take(n.thresholds[1]))
    return broken();
  std::uint32_t languages = 0;
  if (!from.take(languages) || languages > limits::lexicon_languages)
    return broken();
  for (; languages > 0; --languages) {
    std::uint32_t length = 0;
    std::string lang;
    network::threshold_row row{};
    if (!from.take(length) || length > limits::language_tag_bytes || !from.take(lang, length) ||
        !from.take(row) || !n.thresholds_of.emplace(std::move(lang), row).second)
      return broken();
  }
  if (!from.done())
    return broken();
  std::size_t used = 0;
  for (const auto& s : n.slots) {
    if (s.row == network::no_row)
      continue;
    if (s.row >= words)
      return broken();
    ++used;
  }
  if (used > words)
    return broken();
  return n;
}

// -- loops over rows ---------------------------------------------------------------------------
//
// What a message costs. Each is written once and compiled twice: for every processor, and for those
// with AVX2. No sum changes its order by it and nothing is fused (-ffp-contract=off), so both give
// the same bits.

namespace {

struct pooled {
  std::array<std::int32_t, averaged> sum{};
  std::array<std::int16_t, greatest> top;
  std::array<std::int16_t, paired> pair;
};

[[gnu::always_inline]] inline void pool_rows_by(std::span<const std::int8_t* const> rows,
                                                pooled& to) {
  std::array<std::int16_t, paired> left{};
  to.top.fill(std::numeric_limits<std::int16_t>::min());
  to.pair.fill(std::numeric_limits<std::int16_t>::min());
  for (const auto* row : rows) {
    for (std::size_t d = 0; d < averaged; ++d)
      to.sum[d] += row[d];
    for (std::size_t d = 0; d < greatest; ++d)
      to.top[d] = std::max<std::int16_t>(to.top[d], row[averaged + d]);
    const auto *row_left = row + averaged + greatest, *row_right = row_left + paired;
    for (std::size_t d = 0; d < paired; ++d) {
      to.pair[d] =
          std::max<std::int16_t>(to.pair[d], static_cast<std::int16_t>(left[d] + row_right[d]));
      left[d] = row_left[d];
    }
  }
  for (std::size_t d = 0; d < paired; ++d)
    to.pair[d] = std::max(to.pair[d], left[d]);
}

/// Adds to the bias the rows of `out` where the rectifier lets something through.
[[gnu::always_inline]] inline void add_rows_by(const std::array<float, hidden>& inside,
                                               const std::vector<float>& out,
                                               const std::array<float, outputs>& bias, scores& to) {
  using eight __attribute__((vector_size(32))) = float;
  constexpr auto vectors = classifier::out_row / 8;
  // Which ones is no pattern that a processor could foresee: gathered without a branch.
  std::array<std::uint32_t, hidden> through;
  std::size_t n = 0;
  for (std::size_t d = 0; d < hidden; ++d) {
    through[n] = static_cast<std::uint32_t>(d);
    n += inside[d] > 0 ? 1 : 0;
  }
  std::array<float, classifier::out_row> memory{};
  std::copy(bias.begin(), bias.end(), memory.begin());
  eight sum[vectors];
  std::memcpy(sum, memory.data(), sizeof memory);
  for (std::size_t i = 0; i < n; ++i) {
    const auto* row = out.data() + through[i] * classifier::out_row;
    auto v = inside[through[i]];
    for (std::size_t k = 0; k < vectors; ++k) {
      eight part;
      std::memcpy(&part, row + 8 * k, sizeof part);
      sum[k] += v * part;
    }
  }
  std::memcpy(memory.data(), sum, sizeof memory);
  std::copy_n(memory.begin(), outputs, to.begin());
}

#ifdef __x86_64__
[[gnu::target("avx2")]] void pool_rows_avx2(std::span<const std::int8_t* const> rows, pooled& to) {
  pool_rows_by(rows, to);
}
[[gnu::target("avx2")]] void add_rows_avx2(const std::array<float, hidden>& inside,
                                           const std::vector<float>& out,
                                           const std::array<float, outputs>& bias, scores& to) {
  add_rows_by(inside, out, bias, to);
}
const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
#endif

void pool_rows(std::span<const std::int8_t* const> rows, pooled& to) {
#ifdef __x86_64__
  if (has_avx2)
    return pool_rows_avx2(rows, to);
#endif
  pool_rows_by(rows, to);
}

void add_rows(const std::array<float, hidden>& inside, const std::vector<float>& out,
              const std::array<float, outputs>& bias, scores& to) {
#ifdef __x86_64__
  if (has_avx2)
    return add_rows_avx2(inside, out, bias, to);
#endif
  add_rows_by(inside, out, bias, to);
}

} // namespace

// -- judging -----------------------------------------------------------------------------------

void classifier::workspace::wipe() noexcept {
  auto over = [](auto& all) {
    sodium_memzero(all.data(), all.size() * sizeof all[0]);
    all.clear();
  };
  over(words);
  over(rows);
  over(groups);
  over(mixed);
  over(told);
}

classifier::classifier(network n)
  : n_{std::move(n)}
  , out_(hidden * out_row, 0) {
  for (std::size_t d = 0; d < hidden && n_.out.size() == hidden * outputs; ++d)
    std::copy_n(n_.out.begin() + static_cast<std::ptrdiff_t>(d * outputs), outputs,
                out_.begin() + static_cast<std::ptrdiff_t>(d * out_row));
}

result<std::unique_ptr<classifier>> classifier::load(const std::filesystem::path& file) {
  std::ifstream from{file, std::ios::binary | std::ios::ate};
  auto size = from ? static_cast<std::size_t>(std::max<std::streamoff>(from.tellg(), 0)) : 0;
  if (!from || size > limits::topics_model_bytes)
    return fail(errc::config_invalid, file.string() + ": there is no model of the topic filter");
  std::string bytes(size, '\0');
  from.seekg(0);
  if (!from.read(bytes.data(), static_cast<std::streamsize>(size)))
    return fail(errc::config_invalid, file.string() + ": cannot be read");
  auto parsed = parse_network(bytes);
  if (!parsed)
    return fail(errc::config_invalid, file.string() + ": " + parsed.error().detail);
  return std::make_unique<classifier>(std::move(*parsed));
}

bool classifier::is_known(std::uint64_t hash, wording how) const noexcept {
  return n_.find(network::key(hash, how)) != network::no_row;
}

std::uint32_t classifier::rank(std::uint64_t hash) const noexcept {
  return n_.find(network::key(hash, wording::english));
}

double classifier::share_known(const view& v, workspace& w) const {
  split_words(v, w.words);
  std::size_t known = 0;
  for (const auto& word : w.words)
    known += is_known(word.hash, wording::english) ? 1 : 0;
  return w.words.empty() ? 1 : static_cast<double>(known) / static_cast<double>(w.words.size());
}

void classifier::read(workspace& w, const view& v, wording how) const {
  split_words(v, w.words);
  auto size = w.words.size();
  w.rows.resize(size);
  // Looked up first and read later, so that the memory's answers overlap.
  std::size_t unknown = 0;
  for (std::size_t i = 0; i < size; ++i) {
    auto row = n_.find(network::key(w.words[i].hash, how));
    w.rows[i] = row == network::no_row ? nullptr : n_.rows.data() + std::size_t{row} * row_bytes;
    if (w.rows[i]) {
      __builtin_prefetch(w.rows[i]);
      __builtin_prefetch(w.rows[i] + 64);
    }
    unknown += w.rows[i] ? 0 : 1;
  }
  if (unknown == 0)
    return;
  w.mixed.resize(unknown * row_bytes);
  auto* to = w.mixed.data();
  auto groups = n_.groups.size() / row_bytes;
  for (std::size_t i = 0; i < size; ++i) {
    if (w.rows[i])
      continue;
    const auto& word = w.words[i];
    // Not the row of its own hash: that was learned of other words.
    parts_of(word, std::string_view{v.text}.substr(word.begin, word.end - word.begin), w.groups);
    std::array<std::int32_t, row_bytes> sum{};
    for (auto g : w.groups)
      __builtin_prefetch(n_.groups.data() + (g & (groups - 1)) * row_bytes);
    for (auto g : w.groups) {
      const auto* row = n_.groups.data() + (g & (groups - 1)) * row_bytes;
      for (std::size_t d = 0; d < row_bytes; ++d)
        sum[d] += row[d];
    }
    auto count = static_cast<float>(w.groups.size());
    for (std::size_t d = 0; d < row_bytes; ++d)
      to[d] = static_cast<std::int8_t>(static_cast<float>(sum[d]) / count);
    w.rows[i] = to;
    to += row_bytes;
  }
}

void classifier::pool(const workspace& w, std::size_t begin, std::size_t end,
                      const lexical_features& said, std::array<float, hidden>& to) const {
  pooled p;
  pool_rows({w.rows.data() + begin, end - begin}, p);
  const auto& [sum, top, pair] = p;
  auto share = share_of(end - begin);
  for (std::size_t d = 0; d < averaged; ++d)
    to[d] = n_.scale[d] * static_cast<float>(sum[d]) * share + n_.bias[d];
  for (std::size_t d = 0; d < greatest; ++d)
    to[averaged + d] = n_.scale[averaged + d] * static_cast<float>(top[d]) + n_.bias[averaged + d];
  for (std::size_t d = 0; d < paired; ++d)
    to[averaged + greatest + d] = n_.scale[averaged + greatest + d] * static_cast<float>(pair[d]) +
                                  n_.bias[averaged + greatest + d];
  for (std::size_t f = 0; f < lexical; ++f)
    if (said[f] != 0)
      for (std::size_t d = 0; d < hidden; ++d)
        to[d] += said[f] * n_.lexical_in[f * hidden + d];
}

void classifier::score(const workspace& w, std::size_t begin, std::size_t end,
                       const lexical_features& said, scores& to) const {
  std::array<float, hidden> inside;
  pool(w, begin, end, said, inside);
  add_rows(inside, out_, n_.out_bias, to);
  for (std::size_t f = 0; f < lexical; ++f)
    if (said[f] != 0)
      for (std::size_t o = 0; o < outputs; ++o)
        to[o] += said[f] * n_.lexical_out[f * outputs + o];
}

void classifier::explain(workspace& w, std::size_t begin, std::size_t end,
                         const lexical_features& said, std::size_t output, std::size_t most) const {
  std::array<float, hidden> inside;
  pool(w, begin, end, said, inside);
  auto weight = [&](std::size_t d) {
    return inside[d] > 0 ? n_.out[d * outputs + output] * n_.scale[d] : 0;
  };
  auto size = end - begin;
  w.told.assign(size, {});
  for (std::size_t i = 0; i < size; ++i)
    w.told[i] = {w.words[begin + i].begin, w.words[begin + i].end, 0};
  auto at = [&](std::size_t i, std::size_t d) { return static_cast<float>(w.rows[begin + i][d]); };
  auto share = share_of(size);
  for (std::size_t d = 0; d < averaged; ++d)
    if (auto by = weight(d) * share; by != 0)
      for (std::size_t i = 0; i < size; ++i)
        w.told[i].weight += by * at(i, d);
  for (std::size_t d = averaged; d < averaged + greatest; ++d)
    if (auto by = weight(d); by != 0) {
      std::size_t best = 0;
      for (std::size_t i = 1; i < size; ++i)
        if (at(i, d) > at(best, d))
          best = i;
      w.told[best].weight += by * at(best, d);
    }
  for (std::size_t d = averaged + greatest; d < hidden; ++d)
    if (auto by = weight(d); by != 0) {
      auto left = [&](std::size_t i) { return i == 0 ? 0 : at(i - 1, d); };
      auto right = [&](std::size_t i) { return i == size ? 0 : at(i, d + paired); };
      std::size_t best = 0;
      for (std::size_t i = 1; i <= size; ++i)
        if (left(i) + right(i) > left(best) + right(best))
          best = i;
      if (best > 0)
        w.told[best - 1].weight += by * left(best);
      if (best < size)
        w.told[best].weight += by * right(best);
    }
  std::ranges::stable_sort(w.told, std::greater{}, &contribution::weight);
  w.told.resize(std::min(size, most));
  std::erase_if(w.told, [](const contribution& c) { return c.weight <= 0; });
}

} // namespace candor::topic_filter
