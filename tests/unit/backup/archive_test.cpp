#include <fstream>

#include <catch2/catch.hpp>

#include "storage/backup/archive.hpp"
#include "storage/backup/check.hpp"
#include "storage/backup/rows.hpp"
#include "storage/base/limits.hpp"
#include "storage/engine/keys.hpp"
#include "storage/stores/audit_log.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::backup;

namespace {

constexpr shard_id shard = 3;

std::string slurp(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

void spill(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream{file, std::ios::binary | std::ios::trunc} << bytes;
}

row key_row(char person, std::uint64_t page) {
  auto key = engine::shard_begin(shard) + std::string(16, person) + '\0';
  std::string value;
  engine::append_big_endian(value, page, 8);
  engine::append_big_endian(value, 7, 2);
  return {engine::table::user, key, value};
}

row sealed_row(char person) {
  return {engine::table::user, engine::shard_begin(shard) + std::string(16, person) + '\2',
          "sealed"};
}

/// A backup of one shard with two persons and a chain of audit records.
struct made_backup {
  test::temporary_folder place;
  std::filesystem::path folder = place / "b";
  manifest said;

  explicit made_backup(int audit_records = 3, std::vector<row> more = {}) {
    REQUIRE(begin_archive(folder));
    std::vector<row> meta, audit;
    stores::audit_head head;
    for (int i = 0; i < audit_records; ++i) {
      auto record = stores::chain(shard, head, {from_int(1000 + i), "ops", "happened", "s-1", ""});
      head = {record.index, record.hash};
      audit.push_back(
          {engine::table::audit, engine::audit_key(shard, record.index), stores::encode(record)});
    }
    auto head_row = stores::head_row(shard, head);
    if (audit_records > 0)
      meta.push_back({engine::table::meta, head_row.key, head_row.value});
    std::vector<row> people = {key_row('a', 5), sealed_row('a'), key_row('b', 6)};
    people.insert(people.end(), more.begin(), more.end());
    shard_entry entry;
    auto writer = file_writer::create(folder / file_name(shard, content::data), content::data);
    REQUIRE(writer);
    for (const auto& part : {meta, people, audit}) {
      REQUIRE(writer->add(encode(part)));
      entry.rows += part.size();
    }
    entry.shard = shard;
    entry.file = file_name(shard, content::data);
    entry.audit_entries = head.index;
    entry.audit_hash = to_hex({reinterpret_cast<const char*>(head.hash.data()), head.hash.size()});
    auto digest = writer->finish();
    REQUIRE(digest);
    entry.blake2b = *digest;
    entry.bytes = writer->bytes();
    said.shards = 4;
    for (shard_id s = 0; s < said.shards; ++s) {
      said.files.push_back({});
      said.files.back().shard = s;
      said.files.back().file = file_name(s, content::data);
    }
    said.files[shard] = entry;
  }
  result<checked> check() const { return check_shard(folder, said, said.files[shard]); }
  std::filesystem::path file() const { return folder / said.files[shard].file; }
};

} // namespace

TEST_CASE("what is written is read back, and counted", "[backup]") {
  made_backup b;
  auto found = b.check();
  REQUIRE(found);
  CHECK(found->persons == 2);
  CHECK(found->rows == 7);
  CHECK(found->audit_entries == 3);
  CHECK(found->pages == std::map<std::uint64_t, std::vector<std::uint16_t>>{{5, {7}}, {6, {7}}});
}

TEST_CASE("a shard without any audit record is whole too", "[backup]") {
  CHECK(made_backup{0}.check());
}

TEST_CASE("the manifest is read back as it was written", "[backup]") {
  made_backup b;
  b.said.backup = "b-1";
  b.said.cluster = "c-1";
  b.said.secrets = "00ff";
  b.said.cut_at = from_int(1'700'000'000'123);
  for (auto kind : {content::data, content::keys}) {
    b.said.kind = kind;
    for (auto& f : b.said.files) {
      f.file = file_name(f.shard, kind);
      if (kind == content::keys)
        f.audit_entries = 0, f.audit_hash.clear(), f.log_time = {};
    }
    REQUIRE(write_manifest(b.folder, b.said));
    auto read = read_manifest(b.folder);
    REQUIRE(read);
    CHECK(*read == b.said);
  }
}

TEST_CASE("a folder without a manifest is no backup", "[backup]") {
  made_backup b;
  CHECK(read_manifest(b.folder).error().code == errc::not_found);
}

TEST_CASE("a manifest whose files lead elsewhere is refused", "[backup]") {
  made_backup b;
  for (const auto* name : {"../../etc/passwd", "shards/0001.rows"}) {
    b.said.files[0].file = name;
    REQUIRE(write_manifest(b.folder, b.said));
    CHECK(read_manifest(b.folder).error().code == errc::corrupt);
  }
}

TEST_CASE("a manifest that lacks a shard is refused", "[backup]") {
  made_backup b;
  b.said.files.pop_back();
  REQUIRE(write_manifest(b.folder, b.said));
  CHECK(read_manifest(b.folder).error().code == errc::corrupt);
}

TEST_CASE("text that is no manifest is refused", "[backup]") {
  made_backup b;
  for (const auto* text : {"", "[]", "{}", R"({"format":2})", "{\"format\":1"}) {
    spill(b.folder / "backup.json", text);
    CHECK(read_manifest(b.folder).error().code == errc::corrupt);
  }
}

TEST_CASE("any changed byte is found", "[backup]") {
  made_backup b;
  auto whole = slurp(b.file());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    auto changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x20);
    spill(b.file(), changed);
    INFO(i);
    CHECK(b.check().error().code == errc::corrupt);
  }
}

TEST_CASE("a file that is cut anywhere is found", "[backup]") {
  made_backup b;
  auto whole = slurp(b.file());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    spill(b.file(), whole.substr(0, size));
    INFO(size);
    CHECK(b.check().error().code == errc::corrupt);
  }
  spill(b.file(), whole + "x");
  CHECK(b.check().error().code == errc::corrupt);
}

TEST_CASE("a forged file is refused although its digest is right", "[backup]") {
  made_backup b;
  auto forge = [&](const std::string& bytes) {
    auto& entry = b.said.files[shard];
    spill(b.file(), bytes);
    entry.bytes = bytes.size();
    // A forger can make the digest too.
    auto* sum = ::popen(("b2sum -l 256 " + b.file().string()).c_str(), "r");
    REQUIRE(sum);
    char digits[65] = {};
    CHECK(std::fread(digits, 1, 64, sum) == 64);
    ::pclose(sum);
    entry.blake2b = digits;
    return b.check();
  };
  std::string first = "candor backup rows 1\n";
  auto lengths = [](std::uint64_t packed, std::uint64_t plain) {
    std::string made;
    engine::append_big_endian(made, packed, 4);
    engine::append_big_endian(made, plain, 4);
    return made;
  };
  CHECK(forge("candor backup pages 1\n").error().code == errc::corrupt);
  CHECK(forge(first + "abc").error().code == errc::corrupt);
  CHECK(forge(first + lengths(10, 10) + "abc").error().code == errc::corrupt);
  CHECK(forge(first + lengths(3, 10) + "abc").error().code == errc::corrupt);
  CHECK(forge(first + lengths(0xffffffff, 10)).error().code == errc::too_large);
  CHECK(forge(first + lengths(10, 0xffffffff)).error().code == errc::too_large);
  CHECK(forge(first + lengths(0, 0)).error().code == errc::too_large);
}

TEST_CASE("rows out of their order, or of another shard, are refused", "[backup]") {
  CHECK(made_backup(1, {key_row('b', 6)}).check().error().code == errc::corrupt);
  CHECK(made_backup(1, {key_row('a', 6)}).check().error().code == errc::corrupt);
  auto foreign = key_row('c', 6);
  foreign.key[1] = 4;
  CHECK(made_backup(1, {foreign}).check().error().code == errc::corrupt);
  auto unknown = key_row('c', 6);
  unknown.key.back() = 9;
  CHECK(made_backup(1, {unknown}).check().error().code == errc::corrupt);
  CHECK(made_backup(1, {key_row('c', 6)}).check());
}

TEST_CASE("an audit chain that ends elsewhere than at the cut is found", "[backup]") {
  made_backup b;
  b.said.files[shard].audit_entries = 4;
  CHECK(b.check().error().code == errc::corrupt);
  b.said.files[shard].audit_entries = 3;
  b.said.files[shard].audit_hash = std::string(64, '0');
  CHECK(b.check().error().code == errc::corrupt);
}

TEST_CASE("a wrong count of rows is found", "[backup]") {
  made_backup b;
  --b.said.files[shard].rows;
  CHECK(b.check().error().code == errc::corrupt);
}

TEST_CASE("a backup is not written over anything", "[backup]") {
  made_backup b;
  CHECK(begin_archive(b.folder).error().code == errc::conflict);
  CHECK(begin_archive(b.file()).error().code == errc::conflict);
}

TEST_CASE("parts decode to what was encoded, and to nothing else", "[backup]") {
  std::vector<row> rows = {{engine::table::meta, "k", ""}, {engine::table::spend, "", "v"}};
  REQUIRE(decode_rows(encode(rows)));
  CHECK(*decode_rows(encode(rows)) == rows);
  std::vector<page> pages = {{(std::uint64_t{3} << 48) | 1, "bytes", {0, 255}}};
  REQUIRE(decode_pages(encode(pages)));
  CHECK(*decode_pages(encode(pages)) == pages);
  CHECK(shard_of_page(pages.front().number) == 3);
  CHECK(decode_rows(encode(pages)).error().code == errc::corrupt);
  CHECK(decode_pages(encode(rows)).error().code == errc::corrupt);
  CHECK(decode_rows("").error().code == errc::corrupt);
  CHECK(decode_rows(encode(rows) + "x").error().code == errc::corrupt);
  std::vector<row> logged = {{engine::table::log, "k", "v"}};
  CHECK(decode_rows(encode(logged)).error().code == errc::corrupt);
  std::vector<row> huge = {{engine::table::user, "k", std::string(limits::backup_part_bytes, 'x')}};
  CHECK(decode_rows(encode(huge)).error().code == errc::too_large);
}

TEST_CASE("bytes travel as base64", "[backup]") {
  for (const auto* text : {"", "f", "fo", "foo", "foob"})
    CHECK(from_base64(to_base64(text)) == std::string{text});
  CHECK(to_base64("foob") == "Zm9vYg==");
  for (const auto* text : {"Zg", "Zg=", "Z===", "Zm9v!", "Zm9v\n"})
    CHECK(from_base64(text).error().code == errc::bad_value);
}

TEST_CASE("secrets are told apart by a fingerprint that is not them", "[backup]") {
  stores::node_secrets a, b;
  b.master_key[0] = 1;
  CHECK(fingerprint(a) == fingerprint(a));
  CHECK(fingerprint(a) != fingerprint(b));
  b = a;
  b.cluster_secret[31] = 1;
  CHECK(fingerprint(a) != fingerprint(b));
}
