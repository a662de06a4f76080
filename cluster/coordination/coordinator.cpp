#include "cluster/coordination/coordinator.hpp"

#include <set>

#include "storage/base/limits.hpp"

namespace candor::coordination {

result<void> check_changes(std::span<const change> changes) {
  if (changes.size() > changes_max)
    return fail(errc::too_many, "a compare-and-swap has at most 64 changes");
  std::size_t bytes = 0;
  std::set<std::string_view> keys;
  for (const auto& c : changes) {
    if (c.key.size() > limits::coordination_key_bytes)
      return fail(errc::too_large, "a coordination key has at most 512 bytes");
    if (c.value.size() > limits::coordination_value_bytes)
      return fail(errc::too_large, "a coordination value has at most 64 KiB");
    bytes += c.key.size() + c.value.size();
    if (!keys.insert(c.key).second)
      return fail(errc::bad_value, "a compare-and-swap names each key once");
  }
  if (bytes > limits::coordination_swap_bytes)
    return fail(errc::too_large, "a compare-and-swap has at most 1 MiB");
  return {};
}

} // namespace candor::coordination
