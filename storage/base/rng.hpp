/// The one door through which chance enters: identifiers and pseudonyms. Keys and nonces are
/// libsodium's business.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace candor {

class rng {
public:
  virtual ~rng() = default;
  virtual std::uint64_t next() = 0;
};

/// From the operating system; safe for pseudonyms.
std::unique_ptr<rng> make_system_rng();

/// The same numbers for the same seed (splitmix64). For tests, simulation and generated load.
class seeded_rng final : public rng {
public:
  explicit seeded_rng(std::uint64_t seed)
    : state_{seed} {}
  std::uint64_t next() override;

private:
  std::uint64_t state_;
};

/// `prefix` and 16 characters of Crockford's base 32: 80 random bits.
std::string random_id(rng& source, std::string_view prefix);

} // namespace candor
