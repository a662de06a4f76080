#include "storage/base/error.hpp"

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

namespace candor {

namespace {

constexpr error_info table[] = {
#define X(name, status, sentence, remedy) {errc::name, #name, status, sentence, remedy},
#include "storage/base/errors.def"
#undef X
};

} // namespace

std::span<const error_info> error_table() noexcept {
  return table;
}

const error_info& info(errc code) noexcept {
  auto index = static_cast<std::size_t>(code);
  CANDOR_ASSERT(index < std::size(table));
  return table[index];
}

std::string error::to_string() const {
  const auto& row = info(code);
  if (detail.empty())
    return fmt::format("{}: {}", row.slug, row.sentence);
  return fmt::format("{}: {} ({})", row.slug, row.sentence, detail);
}

void assertion_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "candor: assertion failed: %s at %s:%d\n", expression, file, line);
  std::abort();
}

} // namespace candor
