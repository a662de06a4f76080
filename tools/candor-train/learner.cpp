#include "tools/candor-train/learner.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "storage/base/rng.hpp"

namespace candor::train {

namespace {

using namespace topic_filter;

constexpr std::size_t inner = 128; ///< of the layer between a word's vector and its row
constexpr std::size_t out_width = (outputs + 15) / 16 * 16; ///< of rows of `out`, here

// Several times over: for processors with wider registers. Nothing of the result depends on which.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CANDOR_WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CANDOR_WIDE
#endif

/// to += by * from
CANDOR_WIDE void add(float* to, const float* from, float by, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i)
    to[i] += by * from[i];
}

/// In a fixed order that a vector unit can keep; n is a multiple of 16.
CANDOR_WIDE float dot(const float* a, const float* b, std::size_t n) {
  float sums[16] = {};
  for (std::size_t i = 0; i < n; i += 16)
    for (std::size_t k = 0; k < 16; ++k)
      sums[k] += a[i + k] * b[i + k];
  float sum = 0;
  for (auto s : sums)
    sum += s;
  return sum;
}

// Of a matrix product so many columns at a time: their sums stay in registers.
using sixteen = float [[gnu::vector_size(64)]];
constexpr std::size_t block = 64;

/// to[width] += in[n] * matrix[n][width]; width is a multiple of `block`.
CANDOR_WIDE void multiply(float* to, const float* in, std::size_t n, const float* matrix,
                          std::size_t width) {
  for (std::size_t at = 0; at < width; at += block) {
    sixteen sum[block / 16];
    std::memcpy(sum, to + at, sizeof sum);
    for (std::size_t i = 0; i < n; ++i) {
      sixteen row[block / 16];
      std::memcpy(row, matrix + i * width + at, sizeof row);
      for (std::size_t k = 0; k < block / 16; ++k)
        sum[k] += in[i] * row[k];
    }
    std::memcpy(to + at, sum, sizeof sum);
  }
}

/// to[n][width] += the sum over rows of in[row][n] times by[row][width].
CANDOR_WIDE void add_products(float* to, const float* const* in, std::size_t n,
                              const float* const* by, std::size_t rows, std::size_t width) {
  constexpr std::size_t near = 16; // rows whose memory is at hand
  for (std::size_t begin = 0; begin < rows; begin += near) {
    auto end = std::min(rows, begin + near);
    for (std::size_t at = 0; at < width; at += block)
      for (std::size_t i = 0; i < n; ++i) {
        sixteen sum[block / 16];
        std::memcpy(sum, to + i * width + at, sizeof sum);
        for (auto r = begin; r < end; ++r) {
          sixteen row[block / 16];
          std::memcpy(row, by[r] + at, sizeof row);
          for (std::size_t k = 0; k < block / 16; ++k)
            sum[k] += in[r][i] * row[k];
        }
        std::memcpy(to + i * width + at, sum, sizeof sum);
      }
  }
}

/// Adam with decoupled decay; `c1` and `c2` undo that the moments began at nothing.
CANDOR_WIDE void step_all(float* v, float* gradient, float* first, float* second, std::size_t n,
                          float rate, float decay, float c1, float c2) {
  constexpr float b1 = 0.9F, b2 = 0.99F;
  for (std::size_t i = 0; i < n; ++i) {
    auto g = gradient[i];
    first[i] = b1 * first[i] + (1 - b1) * g;
    second[i] = b2 * second[i] + (1 - b2) * g * g;
    v[i] -= rate * (first[i] / c1 / (std::sqrt(second[i] / c2) + 1e-6F) + decay * v[i]);
    gradient[i] = 0;
  }
}

/// Dense weights with their moments.
struct weights {
  std::vector<float> v, gradient, first, second;
  explicit weights(std::size_t n)
    : v(n)
    , gradient(n)
    , first(n)
    , second(n) {}

  void randomize(seeded_rng& chance, double spread) {
    for (auto& w : v) {
      // The sum of four even numbers is near enough to normal.
      double sum = 0;
      for (int i = 0; i < 4; ++i)
        sum += static_cast<double>(chance.next() >> 11) * 0x1p-53 - 0.5;
      w = static_cast<float>(sum * 1.7 * spread);
    }
  }

  void step(float rate, float decay, int time) {
    step_all(v.data(), gradient.data(), first.data(), second.data(), v.size(), rate, decay,
             1 - std::pow(0.9F, static_cast<float>(time)),
             1 - std::pow(0.99F, static_cast<float>(time)));
  }
};

float logistic(float x) {
  return 1 / (1 + std::exp(-x));
}

class learner {
public:
  learner(const std::vector<unit>& units, const word_vectors& vectors, std::size_t groups,
          const learning& how)
    : units_{units}
    , vectors_{vectors}
    , how_{how}
    , chance_{how.seed}
    , groups_(groups * row_bytes)
    , group_sums_(groups, 1e-5F) {
    to_inner_.randomize(chance_, 1 / std::sqrt(25.0));
    to_row_.randomize(chance_, 1 / std::sqrt(static_cast<double>(inner)));
    out_.randomize(chance_, 1 / std::sqrt(static_cast<double>(hidden)));
    for (std::size_t i = 0; i < units.size(); ++i)
      place_.push_back(0);
  }

  void pass(const std::vector<sample>& samples) {
    loss_ = weight_ = 0;
    std::vector<std::uint32_t> order(samples.size());
    for (std::uint32_t i = 0; i < order.size(); ++i)
      order[i] = i;
    for (auto i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[chance_.next() % i]);
    for (std::size_t at = 0; at < order.size(); at += how_.batch) {
      auto end = std::min(order.size(), at + how_.batch);
      begin_batch();
      for (auto i = at; i < end; ++i)
        take(samples[order[i]]);
      make_rows();
      for (std::size_t i = at; i < end; ++i)
        learn_from(samples[order[i]], texts_[i - at], static_cast<float>(end - at));
      give_back();
    }
  }

  void set_rate(float share) { share_ = share; }
  /// Topics of few samples weigh more than their share, by the root of it; all that is of none,
  /// which is plentiful, as much as two topics.
  void weigh_topics(const std::vector<sample>& samples) {
    std::array<float, interest_count + 1> of{};
    for (const auto& s : samples)
      if (s.topic >= 0)
        of[static_cast<std::size_t>(s.topic)] += s.weight;
    float sum = 0;
    for (std::size_t t = 0; t < interest_count; ++t)
      sum += of[t];
    for (std::size_t t = 0; t <= interest_count; ++t)
      topic_weights_[t] = std::sqrt(sum / interest_count / std::max(of[t], 1.0F));
    auto& of_none = topic_weights_[interest_count];
    of_none = std::min(of_none, 2 * of_none * of_none);
  }
  /// Mean loss of "any" in the last pass, in nats.
  double loss() const { return loss_ / weight_; }

  network finish() {
    network n;
    std::size_t with_rows = 0;
    std::vector<float> all;
    auto keep = [&](const float* row) { all.insert(all.end(), row, row + row_bytes); };
    std::vector<std::uint64_t> keys;
    // Words with vectors, by frequency; then the others that were learned from.
    std::vector<std::uint32_t> by_vector;
    for (std::uint32_t u = 0; u < units_.size(); ++u)
      if (units_[u].vector >= 0)
        by_vector.push_back(u);
    std::ranges::stable_sort(by_vector, {}, [&](std::uint32_t u) { return units_[u].vector; });
    std::array<float, row_bytes> row;
    std::array<float, inner> middle;
    for (auto u : by_vector) {
      constexpr std::size_t frequent = 30'000, letters_least = 4;
      const auto& word = vectors_.words[static_cast<std::size_t>(units_[u].vector)];
      if (keys.size() < frequent && word.size() >= letters_least &&
          std::ranges::all_of(word, [](char c) { return c >= 'a' && c <= 'z'; }))
        n.frequent_words.push_back(word);
      vector_row(units_[u], middle, row);
      keep(row.data());
      keys.push_back(units_[u].key);
    }
    for (const auto& u : units_)
      if (u.vector < 0 && u.kept) {
        group_row(u, row);
        keep(row.data());
        keys.push_back(u.key);
      }
    with_rows = keys.size();
    // One scale for a place of a row, and of both places that are added to each other.
    std::array<float, row_bytes> most{};
    auto see = [&](const std::vector<float>& rows) {
      for (std::size_t i = 0; i < rows.size(); ++i)
        most[i % row_bytes] = std::max(most[i % row_bytes], std::abs(rows[i]));
    };
    see(all);
    for (std::size_t d = 0; d < row_bytes; ++d)
      if (most[d] == 0)
        most[d] = 1;
    for (std::size_t d = averaged + greatest; d < hidden; ++d)
      most[d] = most[d + paired] = std::max(most[d], most[d + paired]);
    for (std::size_t d = 0; d < row_bytes; ++d)
      n.scale[d] = most[d] / 127;
    auto small = [&](const std::vector<float>& rows) {
      std::vector<std::int8_t> to(rows.size());
      for (std::size_t i = 0; i < rows.size(); ++i)
        to[i] = static_cast<std::int8_t>(
            std::clamp(std::nearbyint(rows[i] / n.scale[i % row_bytes]), -127.0F, 127.0F));
      return to;
    };
    n.rows = small(all);
    n.groups = small(groups_);
    std::size_t slots = 1024;
    while (slots < with_rows * 3 / 2)
      slots *= 2;
    n.slots.assign(slots, {0, network::no_row});
    for (std::uint32_t r = 0; r < keys.size(); ++r)
      n.index(keys[r], r);
    std::ranges::copy(bias_.v, n.bias.begin());
    n.lexical_in = lexical_in_.v;
    n.lexical_out = lexical_out_.v;
    for (std::size_t d = 0; d < hidden; ++d)
      n.out.insert(n.out.end(), out_.v.begin() + static_cast<std::ptrdiff_t>(d * out_width),
                   out_.v.begin() + static_cast<std::ptrdiff_t>(d * out_width + outputs));
    std::ranges::copy(out_bias_.v, n.out_bias.begin());
    return n;
  }

private:
  /// A word of the batch in one of its two ways.
  struct local {
    std::uint32_t unit;
    bool by_vector;
  };

  float chance() { return static_cast<float>(chance_.next() >> 40) * 0x1p-24F; }

  void vector_row(const unit& u, std::array<float, inner>& middle,
                  std::array<float, row_bytes>& row) {
    const auto* in = vectors_.values.data() + static_cast<std::size_t>(u.vector) * vector_size;
    std::ranges::copy(inner_bias_.v, middle.begin());
    multiply(middle.data(), in, vector_size, to_inner_.v.data(), inner);
    std::ranges::copy(row_bias_.v, row.begin());
    for (auto& v : middle)
      v = std::max(v, 0.0F);
    multiply(row.data(), middle.data(), inner, to_row_.v.data(), row_bytes);
    for (auto& v : row)
      v *= u.weight;
  }

  void group_row(const unit& u, std::array<float, row_bytes>& row) {
    row.fill(0);
    auto by = u.weight / static_cast<float>(u.groups.size());
    for (auto g : u.groups)
      add(row.data(), groups_.data() + std::size_t{g} * row_bytes, by, row_bytes);
  }

  void begin_batch() {
    for (const auto& l : locals_)
      place_[l.unit] = 0;
    locals_.clear();
    texts_.clear();
  }

  /// The words of a sample in this pass, as places in `locals_`.
  void take(const sample& s) {
    std::vector<std::uint32_t> text;
    auto drop = s.topic >= 0 && s.topic < static_cast<int>(interest_count) ? how_.word_drop_interest
                                                                           : how_.word_drop;
    for (auto u : s.units) {
      if (s.units.size() > 1 && chance() < drop)
        continue;
      auto by_vector = units_[u].vector >= 0 && chance() >= how_.vector_drop;
      // Two bits of 32 say where the word stands in the batch in either way.
      auto& known = place_[u];
      auto shift = by_vector ? 0U : 16U;
      if ((known >> shift & 0xffffU) == 0) {
        locals_.push_back({u, by_vector});
        known |= static_cast<std::uint32_t>(locals_.size()) << shift;
      }
      text.push_back((known >> shift & 0xffffU) - 1);
    }
    texts_.push_back(std::move(text));
  }

  void make_rows() {
    rows_.resize(locals_.size());
    middles_.resize(locals_.size());
    gradients_.assign(locals_.size(), {});
    for (std::size_t i = 0; i < locals_.size(); ++i) {
      const auto& u = units_[locals_[i].unit];
      if (locals_[i].by_vector)
        vector_row(u, middles_[i], rows_[i]);
      else
        group_row(u, rows_[i]);
    }
  }

  void learn_from(const sample& s, const std::vector<std::uint32_t>& text, float batch) {
    if (text.empty())
      return;
    // Forward, as classifier::pool and classifier::score.
    auto n = text.size();
    std::array<float, hidden> in;
    std::array<std::size_t, greatest> top{};
    std::array<std::size_t, paired> pair{};
    std::ranges::copy(bias_.v, in.begin());
    auto share = share_of(n);
    for (auto t : text)
      add(in.data(), rows_[t].data(), share, averaged);
    for (std::size_t d = 0; d < greatest; ++d) {
      for (std::size_t i = 1; i < n; ++i)
        if (rows_[text[i]][averaged + d] > rows_[text[top[d]]][averaged + d])
          top[d] = i;
      in[averaged + d] += rows_[text[top[d]]][averaged + d];
    }
    constexpr auto pairs = averaged + greatest;
    for (std::size_t d = 0; d < paired; ++d) {
      auto best = -std::numeric_limits<float>::infinity();
      for (std::size_t i = 0; i <= n; ++i) {
        auto v = (i > 0 ? rows_[text[i - 1]][pairs + d] : 0) +
                 (i < n ? rows_[text[i]][pairs + paired + d] : 0);
        if (v > best) {
          best = v;
          pair[d] = i;
        }
      }
      in[pairs + d] += best;
    }
    auto with_lexicon = chance() >= how_.lexical_drop;
    if (with_lexicon)
      for (auto [f, v] : s.lexical)
        add(in.data(), lexical_in_.v.data() + f * hidden, v, hidden);
    std::array<float, hidden> kept;
    for (auto& k : kept)
      k = chance() < how_.hidden_drop ? 0 : 1 / (1 - how_.hidden_drop);
    std::array<float, out_width> got{};
    std::ranges::copy(out_bias_.v, got.begin());
    for (std::size_t d = 0; d < hidden; ++d)
      if (in[d] > 0 && kept[d] > 0)
        add(got.data(), out_.v.data() + d * out_width, in[d] * kept[d], out_width);
    if (with_lexicon)
      for (auto [f, v] : s.lexical)
        add(got.data(), lexical_out_.v.data() + f * outputs, v, outputs);

    // What each output should have been.
    std::array<float, out_width> wrong{};
    auto weight = s.weight / batch;
    for (std::size_t c = 0; c < model::category_count; ++c)
      if ((s.open >> c & 1) == 0)
        wrong[c] = (logistic(got[c]) - static_cast<float>(s.categories >> c & 1)) * weight;
    wrong[any_output] = (logistic(got[any_output]) - (s.sensitive ? 1.0F : 0.0F)) * 2 * weight;
    if (s.topic >= 0) {
      auto by = 1.5F * weight * topic_weights_[static_cast<std::size_t>(s.topic)];
      auto most = *std::max_element(got.begin() + topic_output, got.begin() + outputs);
      float sum = 0;
      for (auto o = topic_output; o < outputs; ++o)
        sum += std::exp(got[o] - most);
      constexpr auto classes = static_cast<float>(outputs - topic_output);
      for (auto o = topic_output; o < outputs; ++o) {
        auto is = o == topic_output + static_cast<std::size_t>(s.topic) ? 1.0F : 0.0F;
        wrong[o] = (std::exp(got[o] - most) / sum -
                    (is * (1 - how_.topic_doubt) + how_.topic_doubt / classes)) *
                   by;
      }
    }

    auto surprise = [](float x, bool is) { return std::log1p(std::exp(is ? -x : x)); };
    loss_ += s.weight * surprise(got[any_output], s.sensitive);
    weight_ += s.weight;

    // Backward.
    add(out_bias_.gradient.data(), wrong.data(), 1, outputs);
    if (with_lexicon)
      for (auto [f, v] : s.lexical)
        add(lexical_out_.gradient.data() + f * outputs, wrong.data(), v, outputs);
    std::array<float, hidden> back{};
    for (std::size_t d = 0; d < hidden; ++d) {
      if (!(in[d] > 0 && kept[d] > 0))
        continue;
      add(out_.gradient.data() + d * out_width, wrong.data(), in[d] * kept[d], out_width);
      back[d] = dot(out_.v.data() + d * out_width, wrong.data(), out_width) * kept[d];
    }
    add(bias_.gradient.data(), back.data(), 1, hidden);
    if (with_lexicon)
      for (auto [f, v] : s.lexical)
        add(lexical_in_.gradient.data() + f * hidden, back.data(), v, hidden);
    for (auto t : text)
      add(gradients_[t].data(), back.data(), share, averaged);
    for (std::size_t d = 0; d < greatest; ++d)
      gradients_[text[top[d]]][averaged + d] += back[averaged + d];
    for (std::size_t d = 0; d < paired; ++d) {
      if (pair[d] > 0)
        gradients_[text[pair[d] - 1]][pairs + d] += back[pairs + d];
      if (pair[d] < n)
        gradients_[text[pair[d]]][pairs + paired + d] += back[pairs + d];
    }
  }

  void give_back() {
    // Turned, so that what comes back through it is one product too.
    for (std::size_t k = 0; k < inner; ++k)
      for (std::size_t d = 0; d < row_bytes; ++d)
        from_row_[d * inner + k] = to_row_.v[k * row_bytes + d];
    backs_.resize(locals_.size());
    in_of_.clear();
    middle_of_.clear();
    gradient_of_.clear();
    back_of_.clear();
    for (std::size_t i = 0; i < locals_.size(); ++i) {
      const auto& u = units_[locals_[i].unit];
      auto& g = gradients_[i];
      if (!locals_[i].by_vector) {
        // Of one sample: that is what the sums are of.
        auto by = u.weight * static_cast<float>(how_.batch) / static_cast<float>(u.groups.size());
        auto square = dot(g.data(), g.data(), row_bytes) * by * by / row_bytes;
        for (auto k : u.groups) {
          group_sums_[k] += square;
          add(groups_.data() + std::size_t{k} * row_bytes, g.data(),
              -how_.group_rate * share_ * by / std::sqrt(group_sums_[k]), row_bytes);
        }
        continue;
      }
      for (auto& v : g)
        v *= u.weight;
      add(row_bias_.gradient.data(), g.data(), 1, row_bytes);
      auto& back = backs_[i];
      back.fill(0);
      multiply(back.data(), g.data(), row_bytes, from_row_.data(), inner);
      for (std::size_t k = 0; k < inner; ++k)
        if (middles_[i][k] <= 0)
          back[k] = 0;
      add(inner_bias_.gradient.data(), back.data(), 1, inner);
      in_of_.push_back(vectors_.values.data() + static_cast<std::size_t>(u.vector) * vector_size);
      middle_of_.push_back(middles_[i].data());
      gradient_of_.push_back(g.data());
      back_of_.push_back(back.data());
    }
    auto rows = in_of_.size();
    add_products(to_row_.gradient.data(), middle_of_.data(), inner, gradient_of_.data(), rows,
                 row_bytes);
    add_products(to_inner_.gradient.data(), in_of_.data(), vector_size, back_of_.data(), rows,
                 inner);
    ++time_;
    for (auto* w : {&to_inner_, &to_row_, &lexical_in_, &out_})
      w->step(how_.rate * share_, how_.decay, time_);
    for (auto* w : {&inner_bias_, &row_bias_, &bias_, &out_bias_, &lexical_out_})
      w->step(how_.rate * share_, 0, time_);
  }

  const std::vector<unit>& units_;
  const word_vectors& vectors_;
  const learning& how_;
  seeded_rng chance_;
  float share_ = 1; ///< of the rates, now
  int time_ = 0;
  double loss_ = 0, weight_ = 0; ///< of "any", in this pass

  weights to_inner_{vector_size * inner}, inner_bias_{inner}, to_row_{inner * row_bytes},
      row_bias_{row_bytes}, bias_{hidden}, lexical_in_{lexical * hidden},
      lexical_out_{lexical * outputs}, out_{hidden * out_width}, out_bias_{outputs};
  std::vector<float> groups_, group_sums_;
  std::array<float, interest_count + 1> topic_weights_{};

  // Of a batch.
  std::vector<local> locals_;
  std::vector<std::uint32_t> place_; ///< by unit
  std::vector<std::vector<std::uint32_t>> texts_;
  std::vector<std::array<float, row_bytes>> rows_, gradients_;
  std::vector<std::array<float, inner>> middles_, backs_;
  std::vector<float> from_row_ = std::vector<float>(row_bytes * inner);
  std::vector<const float*> in_of_, middle_of_, gradient_of_, back_of_; ///< of words with vectors
};

} // namespace

network learn(const std::vector<sample>& samples, const std::vector<unit>& units,
              const word_vectors& vectors, std::size_t groups, const learning& how) {
  learner l{units, vectors, groups, how};
  l.weigh_topics(samples);
  for (int epoch = 0; epoch < how.epochs; ++epoch) {
    // Falls along a half cosine.
    l.set_rate(0.5F * (1 + std::cos(3.14159265F * static_cast<float>(epoch) /
                                    static_cast<float>(how.epochs))));
    l.pass(samples);
    fmt::print(stderr, "candor-train: pass {} of {}, loss {:.4f}\n", epoch + 1, how.epochs,
               l.loss());
  }
  return l.finish();
}

} // namespace candor::train
