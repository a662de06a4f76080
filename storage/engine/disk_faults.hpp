/// A disk that can be told to misbehave, for trials: a RocksDB file system around the real one.
/// Where it stands: between RocksDB and the machine, for every database that this process opens
/// after the call; candord calls it where it was started with `testing = "yes"` and
/// `testing_disk_faults = FILE`, and nothing else does.
///
/// What to do stands in FILE, a word a line, and is looked at again every 20 ms; no file or an
/// empty one: a disk as any other, but for `unsynced`, which is read when a file is opened:
///
///   delay MS         each write and sync takes so much longer
///   hang             writes and syncs wait until this is taken away
///   hang_reads       reads do
///   writes ERROR     writes and syncs fail: enospc, erofs or eio
///   reads eio        reads fail
///   flip N           of N reads of a table's block, on average, one has one bit flipped
///   unsynced lost    what was written and not synced is lost when the process is killed, as when
///                    power fails (the page cache survives a kill -9, so that alone tests no sync)
///   syncs lie        with `unsynced lost`: the log's sync writes nothing and says that it did
///
/// A file that is closed without a sync is written: less is lost than by a real power failure.
/// Must never be reached by a node that people use.
#pragma once

#include <filesystem>

namespace candor::engine {

void make_disks_faulty(std::filesystem::path control);

} // namespace candor::engine
