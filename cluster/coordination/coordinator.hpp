/// What the nodes agree on: a small ordered map with compare-and-swap and watches. Two sides: one
/// process (local_coordinator, on the node's own engine), and etcd (etcd_coordinator). One
/// conformance suite runs on both. Guarantees: a compare-and-swap is applied whole or not at all
/// and is durable when it answers; versions of a key only rise; what `get` and `list` answer was
/// true at a moment between call and answer, whoever leads. Watches are hints: they may repeat or
/// skip, so decide only by compare-and-swap. Every call is thread-safe. Must never carry the data
/// path: when it is unreachable, events go on being acknowledged.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/engine/engine.hpp"

namespace candor::coordination {

struct versioned {
  std::string value;
  std::uint64_t version = 0; ///< 1 for the first value of a key
  friend bool operator==(const versioned&, const versioned&) = default;
};

struct change {
  std::string key;
  std::uint64_t expected_version = 0; ///< 0: the key must not exist
  std::string value;
};

/// At most this many changes in one compare-and-swap.
inline constexpr std::size_t changes_max = 64;

/// `too_many`: more than `changes_max`; `too_large`: a key, a value or all of them together
/// (limits.hpp); `bad_value`: a key stands there twice. The same on every side.
result<void> check_changes(std::span<const change> changes);

/// Called after a key changed, from another thread or from within `compare_and_swap`. Must return
/// quickly and must neither call the coordinator nor release its own watch.
using watcher = std::function<void(std::string_view key, const versioned& now)>;

class coordinator {
public:
  virtual ~coordinator() = default;

  /// nullopt where there is no such key. Error: `unavailable`, `corrupt`.
  virtual result<std::optional<versioned>> get(std::string_view key) = 0;

  /// Every key that begins with `prefix`, in the order of keys, all as they stood at one moment.
  /// Error: `unavailable`, `corrupt`, `too_many` (more than limits::coordination_listed).
  virtual result<std::vector<std::pair<std::string, versioned>>> list(std::string_view prefix) = 0;

  /// True: every expectation held and every value is written. False: nothing is, and nothing will
  /// be. Error: `outcome_unknown` (it may take effect, even later: read before deciding anew),
  /// `unavailable` (it was never sent), and those of `check_changes` (nothing was done).
  virtual result<bool> compare_and_swap(std::span<const change> changes) = 0;

  /// Goes on until the returned handle is released; no call is under way or comes after that. Where
  /// calls were missed, the latest value of each key is told of in the end. May begin with the keys
  /// as they stand. The handle may outlive the coordinator.
  virtual std::shared_ptr<void> watch(std::string prefix, watcher call) = 0;
};

/// For one process: kept in the engine's table of metadata, outside every shard's range. `db` must
/// outlive it.
std::unique_ptr<coordinator> make_local_coordinator(engine::engine& db);

} // namespace candor::coordination
