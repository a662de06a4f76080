#include "storage/base/wipe.hpp"

#include <sodium.h>

namespace candor {

void wipe(std::string& text) noexcept {
  text.resize(text.capacity());
  sodium_memzero(text.data(), text.size());
  text.clear();
}

} // namespace candor
