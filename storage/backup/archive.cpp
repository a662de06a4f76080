#include "storage/backup/archive.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sodium.h>
#include <unistd.h>
#include <zstd.h>

#include "storage/base/limits.hpp"
#include "storage/engine/keys.hpp"
#include "storage/stores/durable_file.hpp"

namespace candor::backup {

namespace fs = std::filesystem;

namespace {

constexpr char manifest_name[] = "backup.json";
constexpr unsigned format_version = 1;
constexpr int compression_level = 3;
constexpr std::size_t lengths_bytes = 8;

std::string_view first_line(content kind) {
  return kind == content::data ? "candor backup rows 1\n" : "candor backup pages 1\n";
}

std::string_view to_string(content kind) {
  return kind == content::data ? "data" : "keys";
}

class digest {
public:
  digest() { crypto_generichash_init(&state_, nullptr, 0, 32); }
  void add(std::string_view bytes) {
    crypto_generichash_update(&state_, reinterpret_cast<const unsigned char*>(bytes.data()),
                              bytes.size());
  }
  std::string end() {
    std::array<unsigned char, 32> made;
    crypto_generichash_final(&state_, made.data(), made.size());
    return to_hex({reinterpret_cast<const char*>(made.data()), made.size()});
  }

private:
  crypto_generichash_state state_;
};

struct closer {
  void operator()(std::FILE* f) const { std::fclose(f); }
};
using open_file = std::unique_ptr<std::FILE, closer>;

tl::unexpected<error> corrupt(const fs::path& file, std::string_view what) {
  return fail(errc::corrupt, fmt::format("{}: {}", file.string(), what));
}

result<open_file> open_to_read(const fs::path& file) {
  open_file opened{std::fopen(file.c_str(), "rbe")};
  if (!opened)
    return stores::fail_errno(file);
  return opened;
}

/// False: the file ends here. Error: it ends within.
result<bool> read_exactly(std::FILE* from, const fs::path& file, std::string& into) {
  auto read = std::fread(into.data(), 1, into.size(), from);
  if (read == into.size())
    return true;
  if (std::ferror(from) != 0)
    return fail(errc::io_failed, file.string());
  if (read == 0)
    return false;
  return corrupt(file, "it ends within a part");
}

result<void> check_digest(const fs::path& file, const shard_entry& entry) {
  CANDOR_TRY(opened, open_to_read(file));
  digest whole;
  std::string buffer(1 << 16, '\0');
  std::uint64_t bytes = 0;
  for (;;) {
    auto read = std::fread(buffer.data(), 1, buffer.size(), opened.get());
    whole.add({buffer.data(), read});
    bytes += read;
    if (read < buffer.size())
      break;
    if (bytes > entry.bytes)
      break;
  }
  if (std::ferror(opened.get()) != 0)
    return fail(errc::io_failed, file.string());
  if (bytes != entry.bytes)
    return corrupt(
        file, fmt::format("it has another size than the {} bytes that were written", entry.bytes));
  if (whole.end() != entry.blake2b)
    return corrupt(file, "its digest is not the one that was written");
  return {};
}

result<std::string> inflate(const fs::path& file, std::string_view packed, std::size_t plain) {
  std::string made(plain, '\0');
  auto size = ZSTD_decompress(made.data(), made.size(), packed.data(), packed.size());
  if (ZSTD_isError(size) != 0 || size != plain)
    return corrupt(file, "a part does not unpack");
  return made;
}

} // namespace

// -- one shard's file
// ------------------------------------------------------------------------------

struct file_writer::state {
  fs::path file;
  open_file out;
  digest whole;
  std::uint64_t bytes = 0;
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> packing{ZSTD_createCCtx(), &ZSTD_freeCCtx};

  result<void> put(std::string_view what) {
    if (std::fwrite(what.data(), 1, what.size(), out.get()) != what.size())
      return stores::fail_errno(file);
    whole.add(what);
    bytes += what.size();
    return {};
  }
};

file_writer::file_writer(std::unique_ptr<state> s)
  : state_{std::move(s)} {}
file_writer::file_writer(file_writer&&) noexcept = default;
file_writer& file_writer::operator=(file_writer&&) noexcept = default;
file_writer::~file_writer() = default;

result<file_writer> file_writer::create(const fs::path& file, content kind) {
  CANDOR_ASSERT(sodium_init() >= 0);
  CANDOR_TRY_VOID(stores::make_folder(file.parent_path()));
  auto fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0)
    return stores::fail_errno(file);
  auto made = std::make_unique<state>();
  made->file = file;
  made->out.reset(::fdopen(fd, "wb"));
  if (!made->out || !made->packing) {
    if (!made->out)
      ::close(fd);
    return fail(errc::io_failed, file.string());
  }
  ZSTD_CCtx_setParameter(made->packing.get(), ZSTD_c_compressionLevel, compression_level);
  ZSTD_CCtx_setParameter(made->packing.get(), ZSTD_c_checksumFlag, 1);
  CANDOR_TRY_VOID(made->put(first_line(kind)));
  return file_writer{std::move(made)};
}

result<void> file_writer::add(std::string_view part) {
  if (part.size() > limits::backup_part_bytes)
    return fail(errc::too_large, "a part of a backup");
  std::string packed(ZSTD_compressBound(part.size()), '\0');
  auto size =
      ZSTD_compress2(state_->packing.get(), packed.data(), packed.size(), part.data(), part.size());
  if (ZSTD_isError(size) != 0)
    return fail(errc::internal, ZSTD_getErrorName(size));
  packed.resize(size);
  std::string lengths;
  engine::append_big_endian(lengths, packed.size(), 4);
  engine::append_big_endian(lengths, part.size(), 4);
  CANDOR_TRY_VOID(state_->put(lengths));
  return state_->put(packed);
}

result<std::string> file_writer::finish() {
  if (std::fflush(state_->out.get()) != 0 || ::fsync(::fileno(state_->out.get())) != 0)
    return stores::fail_errno(state_->file);
  state_->out.reset();
  CANDOR_TRY_VOID(stores::sync_folder(state_->file.parent_path()));
  return state_->whole.end();
}

std::uint64_t file_writer::bytes() const noexcept {
  return state_->bytes;
}

result<void> read_file_of(const fs::path& folder, const shard_entry& entry, content kind,
                          const std::function<result<void>(std::string)>& visit) {
  CANDOR_ASSERT(sodium_init() >= 0);
  auto file = folder / entry.file;
  CANDOR_TRY_VOID(check_digest(file, entry));
  CANDOR_TRY(opened, open_to_read(file));
  std::string line(first_line(kind).size(), '\0');
  CANDOR_TRY(begins, read_exactly(opened.get(), file, line));
  if (!begins || line != first_line(kind))
    return corrupt(file, "it does not begin as a file of a backup does");
  for (;;) {
    std::string lengths(lengths_bytes, '\0');
    CANDOR_TRY(more, read_exactly(opened.get(), file, lengths));
    if (!more)
      return {};
    auto packed_bytes = engine::read_big_endian(lengths, 4);
    auto plain_bytes = engine::read_big_endian(std::string_view{lengths}.substr(4), 4);
    if (plain_bytes > limits::backup_part_bytes || packed_bytes == 0 ||
        packed_bytes > ZSTD_compressBound(limits::backup_part_bytes))
      return fail(errc::too_large, file.string() + ": a part is larger than any that is written");
    std::string packed(packed_bytes, '\0');
    CANDOR_TRY(whole, read_exactly(opened.get(), file, packed));
    if (!whole)
      return corrupt(file, "it ends within a part");
    CANDOR_TRY(plain, inflate(file, packed, plain_bytes));
    CANDOR_TRY_VOID(visit(std::move(plain)));
  }
}

// -- the folder
// ------------------------------------------------------------------------------------

std::string file_name(shard_id shard, content kind) {
  return fmt::format("shards/{:04}.{}", shard, kind == content::data ? "rows" : "pages");
}

result<void> begin_archive(const fs::path& folder) {
  std::error_code ec;
  if (fs::exists(folder, ec) && !(fs::is_directory(folder, ec) && fs::is_empty(folder, ec)))
    return fail(errc::conflict, folder.string() + " is not an empty folder");
  return stores::make_folder(folder / "shards");
}

result<void> write_manifest(const fs::path& folder, const manifest& what) {
  auto files = nlohmann::ordered_json::array();
  for (const auto& f : what.files) {
    nlohmann::ordered_json one = {{"shard", f.shard}, {"file", f.file}};
    if (what.kind == content::data) {
      one["seq"] = f.seq;
      one["term"] = f.term;
      one["chain"] = f.chain;
      one["log_time"] = format_time(f.log_time);
      one["audit_entries"] = f.audit_entries;
      one["audit_hash"] = f.audit_hash;
    }
    one[what.kind == content::data ? "rows" : "pages"] = f.rows;
    one["bytes"] = f.bytes;
    one["blake2b"] = f.blake2b;
    files.push_back(std::move(one));
  }
  nlohmann::ordered_json whole = {{"format", format_version}, {"kind", to_string(what.kind)},
                                  {"backup", what.backup},    {"cluster", what.cluster},
                                  {"version", what.version},  {"secrets", what.secrets},
                                  {"shards", what.shards},    {"cut_at", format_time(what.cut_at)}};
  if (what.kind == content::keys)
    whole["note"] = "The pages open with the cluster's master.key only, which is not here: keep it "
                    "apart from this folder and from the data.";
  whole["files"] = std::move(files);
  return stores::replace_file(folder / manifest_name, whole.dump(2) + "\n");
}

result<manifest> read_manifest(const fs::path& folder) {
  auto file = folder / manifest_name;
  CANDOR_TRY(text, stores::read_file(file, limits::backup_manifest_bytes));
  try {
    auto whole = nlohmann::json::parse(text);
    if (whole.at("format").get<unsigned>() != format_version)
      return corrupt(file, "it is of another version");
    manifest m;
    auto kind = whole.at("kind").get<std::string>();
    if (kind != "data" && kind != "keys")
      return corrupt(file, "its kind is not known");
    m.kind = kind == "data" ? content::data : content::keys;
    m.backup = whole.at("backup").get<std::string>();
    m.cluster = whole.at("cluster").get<std::string>();
    m.version = whole.at("version").get<std::string>();
    m.secrets = whole.at("secrets").get<std::string>();
    m.shards = whole.at("shards").get<std::uint16_t>();
    CANDOR_TRY(cut_at, parse_time(whole.at("cut_at").get<std::string>()));
    m.cut_at = cut_at;
    for (const auto& f : whole.at("files")) {
      shard_entry e;
      e.shard = f.at("shard").get<shard_id>();
      e.file = f.at("file").get<std::string>();
      // A name of its own making must not lead out of the folder.
      if (e.shard != m.files.size() || e.file != file_name(e.shard, m.kind))
        return corrupt(file, "its files are not one for each shard");
      if (m.kind == content::data) {
        e.seq = f.at("seq").get<std::uint64_t>();
        e.term = f.at("term").get<std::uint64_t>();
        e.chain = f.at("chain").get<std::string>();
        CANDOR_TRY(log_time, parse_time(f.at("log_time").get<std::string>()));
        e.log_time = log_time;
        e.audit_entries = f.at("audit_entries").get<std::uint64_t>();
        e.audit_hash = f.at("audit_hash").get<std::string>();
      }
      e.rows = f.at(m.kind == content::data ? "rows" : "pages").get<std::uint64_t>();
      e.bytes = f.at("bytes").get<std::uint64_t>();
      e.blake2b = f.at("blake2b").get<std::string>();
      m.files.push_back(std::move(e));
    }
    if (m.shards == 0 || m.files.size() != m.shards)
      return corrupt(file, "its files are not one for each shard");
    return m;
  } catch (const std::exception&) {
    return corrupt(file, "it is not the manifest of a backup");
  }
}

} // namespace candor::backup
