#include "tools/candor-train/vectors.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>

#include <sodium.h>

#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"

namespace candor::train {

result<word_vectors> read_vectors(const std::filesystem::path& file) {
  auto broken = [&] { return fail(errc::config_invalid, file.string() + ": not as expected"); };
  std::ifstream from{file, std::ios::binary | std::ios::ate};
  if (!from)
    return fail(errc::config_invalid, file.string() + ": cannot be read");
  auto size = from.tellg();
  if (size < 0 || static_cast<std::size_t>(size) > limits::vectors_file_bytes)
    return fail(errc::config_invalid, file.string() + ": cannot be read, or is over 1 GiB");
  std::string text(static_cast<std::size_t>(size), '\0');
  from.seekg(0);
  if (!from.read(text.data(), static_cast<std::streamsize>(text.size())))
    return fail(errc::config_invalid, file.string() + ": cannot be read");
  unsigned char digest[16];
  crypto_generichash(digest, sizeof digest, reinterpret_cast<const unsigned char*>(text.data()),
                     text.size(), nullptr, 0);

  // {...,"vectors":{"word":[100 numbers, length, place],...},...}: one pass over 300 MB. Words
  // with an escape in them are signs, and left out.
  struct row {
    std::size_t place;
    std::string word;
    std::array<float, vector_size> values;
  };
  std::vector<row> rows;
  constexpr std::string_view opening = "\"vectors\":{";
  auto at = text.find(opening);
  if (at == std::string::npos)
    return broken();
  const char *p = text.data() + at + opening.size(), *end = text.data() + text.size();
  while (p < end && *p == '"') {
    const auto* word = ++p;
    auto escaped = false;
    while (p < end && *p != '"') {
      escaped |= *p == '\\';
      p += *p == '\\' ? 2 : 1;
    }
    row r{0, {word, std::min(p, end)}, {}};
    if (end - p < 3 || p[1] != ':' || p[2] != '[')
      return broken();
    p += 3;
    double numbers[vector_size + 2];
    for (auto& n : numbers) {
      auto [past, ec] = std::from_chars(p, end, n);
      if (ec != std::errc{} || past == end)
        return broken();
      p = past + 1; // past the comma or the bracket
    }
    if (p < end && *p == ',')
      ++p;
    if (escaped)
      continue;
    for (std::size_t d = 0; d < vector_size; ++d)
      r.values[d] = static_cast<float>(numbers[d]);
    r.place = static_cast<std::size_t>(numbers[vector_size + 1]);
    rows.push_back(std::move(r));
  }
  if (rows.empty())
    return broken();
  std::ranges::stable_sort(rows, {}, &row::place);
  word_vectors made;
  made.version = to_hex({reinterpret_cast<const char*>(digest), sizeof digest});
  made.values.reserve(rows.size() * vector_size);
  for (auto& r : rows) {
    made.words.push_back(std::move(r.word));
    made.values.insert(made.values.end(), r.values.begin(), r.values.end());
  }
  return made;
}

} // namespace candor::train
