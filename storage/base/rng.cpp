#include "storage/base/rng.hpp"

#include <sys/random.h>

#include "storage/base/error.hpp"

namespace candor {

namespace {

class system_rng final : public rng {
public:
  std::uint64_t next() override {
    std::uint64_t value = 0;
    CANDOR_ASSERT(::getrandom(&value, sizeof value, 0) == sizeof value);
    return value;
  }
};

} // namespace

std::unique_ptr<rng> make_system_rng() {
  return std::make_unique<system_rng>();
}

std::uint64_t seeded_rng::next() {
  auto z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

std::string random_id(rng& source, std::string_view prefix) {
  static constexpr char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
  std::string id{prefix};
  for (int half = 0; half < 2; ++half) {
    auto bits = source.next();
    for (int i = 0; i < 8; ++i, bits >>= 5)
      id += alphabet[bits & 31];
  }
  return id;
}

} // namespace candor
