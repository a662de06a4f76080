/// What disk_faults.hpp asked for, as RocksDB takes it: within this folder only.
#pragma once

#include <memory>

#include <rocksdb/file_system.h>

namespace candor::engine {

/// Null where nobody asked for one.
std::shared_ptr<rocksdb::FileSystem> faulty_disk_of_this_process();

} // namespace candor::engine
