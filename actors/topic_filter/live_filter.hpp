/// The filter that a node judges with, and how another takes its place while the node runs. Between
/// the ingestion rooms, which ask for it once for each batch, and the operator who gives it a new
/// lexicon or model. Guarantees: there is always one; a batch is judged by one filter to its end; a
/// reload puts a new one in its place whole or not at all, and whoever judges meanwhile waits for
/// nothing. Must never fall back to no filter. Thread-safe.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "actors/topic_filter/filter.hpp"
#include "storage/base/error.hpp"

namespace candor::topic_filter {

class hook;

class live_filter {
public:
  struct source {
    std::filesystem::path lexicon;
    std::filesystem::path model; ///< empty: the lexicon decides alone
  };
  /// What the filter was made of, by name, before and now.
  struct reloaded {
    std::map<std::string, std::string> before, now;
  };

  /// Loads it. Error: as filter::load.
  static result<std::shared_ptr<live_filter>> open(source from);
  /// One that is not read anew.
  explicit live_filter(std::shared_ptr<const filter> fixed);

  std::shared_ptr<const filter> in_use() const;

  /// Reads the files anew; takes seconds, and the memory of two filters. Error: as filter::load,
  /// and the one in use stays in use.
  result<reloaded> reload();

  /// May add blocks to what the filter lets pass; none, unless it is set before anybody judges.
  hook* also() const noexcept { return also_.get(); }
  void set_hook(std::shared_ptr<hook> h) { also_ = std::move(h); }

private:
  static result<std::unique_ptr<filter>> load(const source& from);

  source from_;
  std::mutex reloading_; ///< one at a time: two would need the memory of three
  mutable std::mutex mutex_;
  std::shared_ptr<const filter> in_use_; ///< guarded by `mutex_`
  std::shared_ptr<hook> also_;
};

} // namespace candor::topic_filter
