#include "storage/stores/user_keys.hpp"

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <unordered_map>

#include <cerrno>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/base/planted.hpp"
#include "storage/engine/keys.hpp"
#include "storage/stores/durable_file.hpp"

namespace candor::stores {

namespace fs = std::filesystem;
using engine::append_big_endian;
using engine::read_big_endian;

namespace {

constexpr std::size_t key_bytes = crypto_aead_xchacha20poly1305_ietf_KEYBYTES;
constexpr std::size_t nonce_bytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t tag_bytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t checksum_bytes = 32;
static_assert(key_bytes == 32 && nonce_bytes == 24);

unsigned char* raw(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}
const unsigned char* raw(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

/// Memory that is locked, guarded, left out of core dumps, and wiped when it goes.
class secret_bytes {
public:
  explicit secret_bytes(std::size_t size)
    : data_{static_cast<unsigned char*>(sodium_malloc(size))}
    , size_{size} {
    CANDOR_ASSERT(data_ != nullptr);
  }
  ~secret_bytes() { sodium_free(data_); }
  secret_bytes(const secret_bytes&) = delete;
  secret_bytes& operator=(const secret_bytes&) = delete;

  unsigned char* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }

private:
  unsigned char* data_;
  std::size_t size_;
};

// ---- sealing ------------------------------------------------------------------------------------

/// nonce || ciphertext || tag. XChaCha20-Poly1305, draft-irtf-cfrg-xchacha-03.
std::string seal_under(const unsigned char* key, const unsigned char* nonce,
                       std::string_view associated, std::string_view plain) {
  std::string sealed(nonce_bytes + plain.size() + tag_bytes, '\0');
  std::memcpy(sealed.data(), nonce, nonce_bytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(raw(sealed) + nonce_bytes, nullptr, raw(plain),
                                             plain.size(), raw(associated), associated.size(),
                                             nullptr, nonce, key);
  return sealed;
}

std::string seal_under(const unsigned char* key, std::string_view associated,
                       std::string_view plain) {
  std::array<unsigned char, nonce_bytes> nonce;
  randombytes_buf(nonce.data(), nonce.size());
  return seal_under(key, nonce.data(), associated, plain);
}

/// `plain` must have room for what `sealed` holds. False where it does not fit the key.
bool open_under(const unsigned char* key, std::string_view associated, std::string_view sealed,
                unsigned char* plain) {
  if (sealed.size() < nonce_bytes + tag_bytes)
    return false;
  return crypto_aead_xchacha20poly1305_ietf_decrypt(
             plain, nullptr, nullptr, raw(sealed) + nonce_bytes, sealed.size() - nonce_bytes,
             raw(associated), associated.size(), raw(sealed), key) == 0;
}

void append_checksum(std::string& bytes) {
  std::array<unsigned char, checksum_bytes> sum;
  crypto_generichash(sum.data(), sum.size(), raw(bytes), bytes.size(), nullptr, 0);
  bytes.append(reinterpret_cast<const char*>(sum.data()), sum.size());
}

bool checksum_fits(std::string_view bytes) {
  if (bytes.size() < checksum_bytes)
    return false;
  std::string again{bytes.substr(0, bytes.size() - checksum_bytes)};
  append_checksum(again);
  return again == bytes;
}

// ---- numbers of pages ---------------------------------------------------------------------------

/// Within the shard: the term that made the page, then a counter. Pages of stores that knew no
/// terms are those of term 0.
constexpr unsigned counter_bits = 20, term_bits = 28;
constexpr std::uint64_t counter_most = (1ull << counter_bits) - 1;

std::uint64_t page_number(shard_id shard, std::uint64_t n) {
  return static_cast<std::uint64_t>(shard) << 48 | n;
}
std::uint64_t page_number(shard_id shard, std::uint64_t term, std::uint64_t counter) {
  return page_number(shard, term << counter_bits | counter);
}
shard_id shard_of(std::uint64_t page) {
  return static_cast<shard_id>(page >> 48);
}
std::uint64_t within_shard(std::uint64_t page) {
  return page & ((1ull << 48) - 1);
}
std::uint64_t term_of(std::uint64_t page) {
  return within_shard(page) >> counter_bits;
}

/// "12-1048577": the shard, and the number within it.
std::string name_of(std::uint64_t page) {
  return fmt::format("{}-{}", shard_of(page), within_shard(page));
}

// ---- a page -------------------------------------------------------------------------------------

/// A page as it is used: a state for each slot, then a key for each.
class key_page {
public:
  key_page()
    : memory_{limits::keys_per_page * (1 + key_bytes)} {}

  static std::unique_ptr<key_page> make() {
    auto page = std::make_unique<key_page>();
    std::memset(page->memory_.data(), live_state, limits::keys_per_page);
    randombytes_buf(page->memory_.data() + limits::keys_per_page,
                    limits::keys_per_page * key_bytes);
    return page;
  }

  std::unique_ptr<key_page> without(std::uint16_t slot) const {
    auto page = copy();
    page->destroy(slot);
    return page;
  }

  std::unique_ptr<key_page> with_only(std::span<const std::uint16_t> slots) const {
    auto page = copy();
    for (std::uint16_t slot = 0; slot < limits::keys_per_page; ++slot)
      if (std::ranges::find(slots, slot) == slots.end())
        page->destroy(slot);
    return page;
  }

  /// Without what is destroyed in `other`. nullptr where the two hold different keys in one slot,
  /// which copies of one page never do.
  std::unique_ptr<key_page> merged(const key_page& other) const {
    auto page = copy();
    for (std::uint16_t slot = 0; slot < limits::keys_per_page; ++slot) {
      if (!other.live(slot))
        page->destroy(slot);
      else if (live(slot) && sodium_memcmp(key(slot), other.key(slot), key_bytes) != 0)
        return nullptr;
    }
    return page;
  }

  bool same_states(const key_page& other) const {
    return std::memcmp(memory_.data(), other.memory_.data(), limits::keys_per_page) == 0;
  }

  bool live(std::uint16_t slot) const { return memory_.data()[slot] == live_state; }
  const unsigned char* key(std::uint16_t slot) const { return key_at(slot); }
  const secret_bytes& memory() const { return memory_; }

private:
  static constexpr unsigned char destroyed_state = 0;
  static constexpr unsigned char live_state = 1;

  std::unique_ptr<key_page> copy() const {
    auto page = std::make_unique<key_page>();
    std::memcpy(page->memory_.data(), memory_.data(), memory_.size());
    return page;
  }

  void destroy(std::uint16_t slot) {
    memory_.data()[slot] = destroyed_state;
    sodium_memzero(key_at(slot), key_bytes);
  }

  unsigned char* key_at(std::uint16_t slot) const {
    return memory_.data() + limits::keys_per_page + slot * key_bytes;
  }

  secret_bytes memory_;
};

/// A page in its file, version 1:
///   magic (8) | version (2) | slots (2) | page (8)              the header
///   the page key, sealed under the master key                   header as associated data
///   states and keys of all slots, sealed under the page key     header as associated data
///   BLAKE2b-256 of all before
/// Every writing takes a new page key, so that an older copy's key opens nothing newer, and the
/// other way round.
constexpr std::string_view page_magic = "cndrkeys";
constexpr std::size_t header_bytes = 20;
constexpr std::size_t wrapped_bytes = nonce_bytes + key_bytes + tag_bytes;
constexpr std::size_t slots_bytes =
    nonce_bytes + limits::keys_per_page * (1 + key_bytes) + tag_bytes;
constexpr std::size_t page_file_bytes = header_bytes + wrapped_bytes + slots_bytes + checksum_bytes;

std::string page_header(std::uint64_t page) {
  std::string header{page_magic};
  append_big_endian(header, 1, 2);
  append_big_endian(header, limits::keys_per_page, 2);
  append_big_endian(header, page, 8);
  return header;
}

std::string encode(const key_page& page, std::uint64_t number, const secret_bytes& master_key) {
  auto header = page_header(number);
  secret_bytes page_key{key_bytes};
  randombytes_buf(page_key.data(), page_key.size());
  auto file = header;
  file += seal_under(master_key.data(), header,
                     {reinterpret_cast<const char*>(page_key.data()), page_key.size()});
  file += seal_under(page_key.data(), header,
                     {reinterpret_cast<const char*>(page.memory().data()), page.memory().size()});
  append_checksum(file);
  CANDOR_ASSERT(file.size() == page_file_bytes);
  return file;
}

/// Error: `corrupt`.
result<std::unique_ptr<key_page>> decode(std::string_view file, std::uint64_t number,
                                         const secret_bytes& master_key) {
  auto wrong = [&](std::string_view how) {
    return fail(errc::corrupt, fmt::format("key page {}: {}", name_of(number), how));
  };
  if (!checksum_fits(file))
    return wrong("its checksum does not fit");
  auto header = page_header(number);
  if (file.size() != page_file_bytes || !file.starts_with(header))
    return wrong("it is another page, or of another version");
  auto wrapped = file.substr(header_bytes, wrapped_bytes);
  auto slots = file.substr(header_bytes + wrapped_bytes, slots_bytes);
  secret_bytes page_key{key_bytes};
  auto page = std::make_unique<key_page>();
  if (!open_under(master_key.data(), header, wrapped, page_key.data()) ||
      !open_under(page_key.data(), header, slots, page->memory().data()))
    return wrong("it was sealed under another master key");
  return page;
}

// ---- what tells a wrong master key
// ----------------------------------------------------------------

constexpr std::string_view verifier_text = "candor user keys, version 1";

std::string encode_verifier(const secret_bytes& master_key) {
  auto file = seal_under(master_key.data(), verifier_text, verifier_text);
  append_checksum(file);
  return file;
}

result<void> check_verifier(std::string_view file, const secret_bytes& master_key) {
  constexpr auto size = nonce_bytes + verifier_text.size() + tag_bytes + checksum_bytes;
  if (file.size() != size || !checksum_fits(file))
    return fail(errc::corrupt, "the key store's verifier");
  std::array<unsigned char, verifier_text.size()> plain;
  if (!open_under(master_key.data(), verifier_text, file.substr(0, size - checksum_bytes),
                  plain.data()))
    return fail(errc::crypto_failed, "the master key is not the one of this key store");
  return {};
}

// ---- the store ----------------------------------------------------------------------------------

constexpr auto slots_per_page = static_cast<std::uint16_t>(limits::keys_per_page);

bool is_there(const fs::path& file) {
  struct stat state;
  return ::lstat(file.c_str(), &state) == 0;
}

bool is_same_file(const fs::path& a, const fs::path& b) {
  struct stat x, y;
  return ::lstat(a.c_str(), &x) == 0 && ::lstat(b.c_str(), &y) == 0 && x.st_dev == y.st_dev &&
         x.st_ino == y.st_ino;
}

/// "12-1.page", or that with the suffix of a page that comes or goes, as a page number.
std::optional<std::uint64_t> parse_name(std::string_view name) {
  std::uint64_t shard = 0, n = 0;
  auto* end = name.data() + name.size();
  auto first = std::from_chars(name.data(), end, shard);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != '-' || shard > 0xffff)
    return std::nullopt;
  auto second = std::from_chars(first.ptr + 1, end, n);
  if (second.ec != std::errc{} || n == 0 || n >> 48 != 0)
    return std::nullopt;
  auto rest = std::string_view{second.ptr, static_cast<std::size_t>(end - second.ptr)};
  if (rest != ".page" && rest != ".page.tmp" && rest != ".page.dying" && rest != ".page.dropped")
    return std::nullopt;
  return page_number(static_cast<shard_id>(shard), n);
}

class page_files final : public user_keys {
public:
  page_files(const fs::path& folder, const node_secrets& secrets, pages_made when)
    : folder_{folder}
    , pages_{folder / "pages"}
    , when_{when}
    , master_key_{key_bytes} {
    std::memcpy(master_key_.data(), secrets.master_key.data(), key_bytes);
    randombytes_buf(salt_.data(), salt_.size());
  }

  ~page_files() override {
    {
      std::lock_guard lock{mutex_};
      closing_ = true;
    }
    page_wanted_.notify_one();
    if (maker_.joinable())
      maker_.join();
  }

  result<void> open_folder() {
    CANDOR_TRY_VOID(make_folder(pages_));
    CANDOR_TRY(held, lock_file(folder_ / "lock"));
    lock_.emplace(std::move(held));
    std::set<std::uint64_t> leftovers, pages;
    std::error_code ec;
    for (fs::directory_iterator file{pages_, ec}, end; !ec && file != end; file.increment(ec)) {
      auto name = file->path().filename().string();
      if (auto page = parse_name(name))
        (name.ends_with(".page") ? pages : leftovers).insert(*page);
      else
        log::warn("keys", "{} is not a key page; left alone", file->path().string());
    }
    if (ec)
      return fail(errc::io_failed, pages_.string() + ": " + ec.message());
    CANDOR_TRY_VOID(verify_master_key(!pages.empty()));
    for (auto page : leftovers)
      CANDOR_TRY_VOID(settle(page));
    for (auto page : pages)
      shards_[shard_of(page)].pages.insert(page);
    if (when_ == pages_made::ahead)
      maker_ = std::thread{[this] { make_pages_ahead(); }};
    return {};
  }

  result<key_ref> allocate(shard_id shard, key_ref after, std::uint64_t term) override {
    CANDOR_ASSERT(term >> term_bits == 0);
    if (after.page != 0 && (shard_of(after.page) != shard || within_shard(after.page) == 0 ||
                            after.slot >= slots_per_page))
      return fail(errc::bad_value, "the key to go on after is not of this shard");
    for (;;) {
      std::optional<key_ref> next;
      std::uint64_t fresh;
      {
        std::lock_guard lock{mutex_};
        auto& here = shards_[shard];
        if (order(here.given) < order(after))
          here.given = after;
        if (term_of(here.given.page) > term)
          return fail(errc::conflict, "keys were given out in a later term");
        fresh = here.fresh_page(shard, term);
        next = here.next(term);
        if (next) {
          here.given = *next;
          if (when_ == pages_made::ahead && slots_per_page - next->slot <= slots_per_page / 4 &&
              !here.page_after(next->page, term) && is_counted(fresh)) {
            wanted_.insert(fresh);
            page_wanted_.notify_one();
          }
        }
      }
      if (!next) {
        if (!is_counted(fresh))
          return fail(errc::too_many, "this term has no more numbers for pages of keys");
        std::lock_guard files{files_mutex_};
        CANDOR_TRY_VOID(make_page(fresh));
        continue;
      }
      CANDOR_TRY(page, find_page(*next));
      if (page->live(next->slot))
        return *next;
    }
  }

  result<std::string> seal(key_ref key, std::span<const std::uint8_t, 24> nonce,
                           std::string_view associated, std::string_view plain) override {
    CANDOR_TRY(page, find_live(key));
    std::array<unsigned char, nonce_bytes> salted;
    for (std::size_t i = 0; i < nonce_bytes; ++i)
      salted[i] = nonce[i] ^ salt_[i];
    return seal_under(page->key(key.slot), salted.data(), associated, plain);
  }

  result<std::string> open(key_ref key, std::string_view associated,
                           std::string_view sealed) override {
    CANDOR_TRY(page, find_live(key));
    if (sealed.size() < nonce_bytes + tag_bytes)
      return fail(errc::crypto_failed, "it is shorter than a nonce and a tag");
    std::string plain(sealed.size() - nonce_bytes - tag_bytes, '\0');
    if (!open_under(page->key(key.slot), associated, sealed, raw(plain)))
      return fail(errc::crypto_failed);
    return plain;
  }

  result<std::array<std::uint8_t, 16>> tag(key_ref key, std::string_view data) override {
    CANDOR_TRY(page, find_live(key));
    // A key of its own, so that a tag tells nothing of what is sealed.
    std::array<unsigned char, 32> subkey;
    crypto_kdf_derive_from_key(subkey.data(), subkey.size(), 1, "eventtag", page->key(key.slot));
    std::array<std::uint8_t, 16> tag;
    crypto_generichash(tag.data(), tag.size(), raw(data), data.size(), subkey.data(),
                       subkey.size());
    sodium_memzero(subkey.data(), subkey.size());
    return tag;
  }

  result<void> destroy(key_ref key) override {
    if (key.page == 0 || key.slot >= slots_per_page)
      return fail(errc::bad_value, "no such key");
    std::lock_guard files{files_mutex_};
    CANDOR_TRY_VOID(settle(key.page));
    CANDOR_TRY(old, read_page(key.page));
    if (!old->live(key.slot))
      return {};
    return rewrite(key.page, old->without(key.slot));
  }

  bool has_page(std::uint64_t page) const override {
    std::lock_guard lock{mutex_};
    auto here = shards_.find(shard_of(page));
    return here != shards_.end() && here->second.pages.contains(page);
  }

  std::vector<std::uint64_t> pages(shard_id shard) const override {
    std::lock_guard lock{mutex_};
    auto here = shards_.find(shard);
    if (here == shards_.end())
      return {};
    return {here->second.pages.begin(), here->second.pages.end()};
  }

  result<std::string> export_page(std::uint64_t page) override {
    std::lock_guard files{files_mutex_}; // else it might be overwritten while it is read
    if (!has_page(page))
      return fail(errc::not_found, fmt::format("key page {}", name_of(page)));
    CANDOR_TRY(file, read_page_file(page));
    CANDOR_TRY_VOID(decode(file, page, master_key_));
    return file;
  }

  result<void> import_page(std::uint64_t page, std::string_view bytes) override {
    if ((page & counter_most) == 0)
      return fail(errc::bad_value, "no page has this number");
    CANDOR_TRY(theirs, decode(bytes, page, master_key_));
    return take_in(page, std::move(theirs));
  }

  result<void> import_living(std::uint64_t page, std::string_view bytes,
                             std::span<const std::uint16_t> slots) override {
    if ((page & counter_most) == 0)
      return fail(errc::bad_value, "no page has this number");
    CANDOR_TRY(theirs, decode(bytes, page, master_key_));
    return take_in(page, theirs->with_only(slots));
  }

  result<void> drop_shard(shard_id shard) override {
    std::lock_guard files{files_mutex_};
    std::set<std::uint64_t> all;
    {
      std::lock_guard lock{mutex_};
      auto& here = shards_[shard];
      all = here.pages;
      // No number that was in use is made again, and no page comes that was wanted before.
      if (!all.empty() && here.given.page <= *all.rbegin())
        here.given = {*all.rbegin(), slots_per_page - 1};
      std::erase_if(wanted_, [&](auto page) { return shard_of(page) == shard; });
    }
    for (auto page : all) {
      CANDOR_TRY_VOID(settle(page));
      // Under its own name, a page half overwritten would be one that cannot be read.
      if (auto path = path_of(page); is_there(path))
        CANDOR_TRY_VOID(rename_file(path, with_suffix(path, ".dropped")));
      CANDOR_TRY_VOID(settle(page));
    }
    std::lock_guard lock{mutex_};
    for (auto page : all) {
      shards_[shard].pages.erase(page);
      forget(page);
    }
    ++generation_;
    return {};
  }

private:
  struct shard_pages {
    std::set<std::uint64_t> pages;
    key_ref given; ///< the last one given out, by this process or before it

    /// The page that comes next, of this term or an earlier one: those of a later term are its
    /// primary's.
    std::optional<std::uint64_t> page_after(std::uint64_t page, std::uint64_t term) const {
      auto next = pages.upper_bound(page);
      if (next == pages.end() || term_of(*next) > term)
        return std::nullopt;
      return *next;
    }

    /// Where allocation goes on in the pages that are there. A page that this folder lost (an older
    /// copy of it was put back) is passed over.
    std::optional<key_ref> next(std::uint64_t term) const {
      if (given.page != 0 && given.slot + 1 < slots_per_page && pages.contains(given.page))
        return key_ref{given.page, static_cast<std::uint16_t>(given.slot + 1)};
      if (auto page = page_after(given.page, term))
        return key_ref{*page, 0};
      return std::nullopt;
    }

    /// The number of a page that is made now: greater than all of its term, and than what was given
    /// out, be it lost or not.
    std::uint64_t fresh_page(shard_id shard, std::uint64_t term) const {
      auto before = std::max(page_number(shard, term, 0), given.page);
      auto later = pages.upper_bound(page_number(shard, term, counter_most));
      if (later != pages.begin())
        before = std::max(before, *std::prev(later));
      return before + 1;
    }
  };

  static std::pair<std::uint64_t, std::uint16_t> order(key_ref key) { return {key.page, key.slot}; }

  /// False where a term has run out of counters.
  static bool is_counted(std::uint64_t page) { return (page & counter_most) != 0; }

  fs::path path_of(std::uint64_t page) const { return pages_ / (name_of(page) + ".page"); }

  static fs::path with_suffix(fs::path path, const char* suffix) { return path += suffix; }

  result<void> verify_master_key(bool has_pages) {
    auto path = folder_ / "verifier";
    auto file = read_file(path, 4096);
    if (file)
      return check_verifier(*file, master_key_);
    if (file.error().code != errc::not_found)
      return tl::unexpected<error>{file.error()};
    if (has_pages)
      return fail(errc::corrupt, "the key store holds pages, but its verifier is missing");
    return replace_file(path, encode_verifier(master_key_));
  }

  /// Puts another's copy of a page in its place, or merges it with the one that is here.
  result<void> take_in(std::uint64_t page, std::unique_ptr<key_page> theirs) {
    std::lock_guard files{files_mutex_};
    CANDOR_TRY_VOID(settle(page));
    if (!is_there(path_of(page)) && !has_page(page))
      return place(page, std::move(theirs));
    {
      std::lock_guard lock{mutex_};
      shards_[shard_of(page)].pages.insert(page);
    }
    // What cannot be read here may have destroyed keys that live over there.
    CANDOR_TRY(ours, read_page(page));
    auto merged = ours->merged(*theirs);
    if (!merged)
      return fail(errc::conflict, fmt::format("key page {} is another one here", name_of(page)));
    if (!merged->same_states(*ours))
      return rewrite(page, std::move(merged));
    return sync_folder(pages_); // it may have come by an import that failed at just this
  }

  /// Finishes what stopped half-way with this page, in the direction that it had taken.
  result<void> settle(std::uint64_t page) {
    auto path = path_of(page);
    auto made = with_suffix(path, ".tmp");
    auto dying = with_suffix(path, ".dying");
    auto dropped = with_suffix(path, ".dropped");
    auto changed = false;
    if (is_there(made)) { // never took the name; it holds keys all the same
      CANDOR_TRY_VOID(shred(made));
      changed = true;
    }
    if (is_there(dying)) {
      if (!is_there(path))
        return fail(errc::corrupt, path.string() + " is missing, though it was being rewritten");
      if (is_same_file(path, dying)) { // the new page did not take the name
        if (::unlink(dying.c_str()) != 0)
          return fail_errno(dying);
      } else {
        // The new name must be durable before the only other copy goes.
        CANDOR_TRY_VOID(sync_folder(pages_));
        CANDOR_TRY_VOID(shred(dying));
      }
      changed = true;
    }
    if (is_there(dropped)) {
      CANDOR_TRY_VOID(sync_folder(pages_)); // as above: its own name must not come back
      CANDOR_TRY_VOID(shred(dropped));
      changed = true;
    }
    return changed ? sync_folder(pages_) : result<void>{};
  }

  /// Replaces a page that is there; files_mutex_ is held. The page is whole under its name at any
  /// moment, and no byte of the old one is freed unwritten:
  ///   1. the new page is written beside it (.tmp);
  ///   2. the old one gets a second name (.dying);
  ///   3. the new one takes the name: from here on the old one's keys that it lacks are destroyed;
  ///   4. the old one is overwritten and removed.
  /// `settle` finishes it from wherever it stopped.
  result<void> rewrite(std::uint64_t number, std::shared_ptr<const key_page> page) {
    auto path = path_of(number);
    auto made = with_suffix(path, ".tmp");
    auto dying = with_suffix(path, ".dying");
    CANDOR_TRY_VOID(write_file(made, encode(*page, number, master_key_)));
    if (::link(path.c_str(), dying.c_str()) != 0)
      return fail_errno(dying);
    CANDOR_TRY_VOID(sync_folder(pages_));
    CANDOR_TRY_VOID(rename_file(made, path));
    {
      std::lock_guard lock{mutex_};
      ++generation_; // whoever reads the old page at this moment must not remember it
      if (!planted(bug::erased_key_cached))
        remember(number, std::move(page));
    }
    return settle(number);
  }

  /// Puts a page where none is, durably; files_mutex_ is held.
  result<void> place(std::uint64_t number, std::shared_ptr<const key_page> page) {
    CANDOR_TRY_VOID(replace_file(path_of(number), encode(*page, number, master_key_)));
    std::lock_guard lock{mutex_};
    shards_[shard_of(number)].pages.insert(number);
    remember(number, std::move(page));
    return {};
  }

  /// Makes the page where it is not there yet; files_mutex_ is held.
  result<void> make_page(std::uint64_t page) {
    if (has_page(page))
      return {};
    CANDOR_TRY_VOID(settle(page));
    return place(page, key_page::make());
  }

  void make_pages_ahead() {
    std::unique_lock lock{mutex_};
    for (;;) {
      page_wanted_.wait(lock, [&] { return closing_ || !wanted_.empty(); });
      if (closing_)
        return;
      auto page = *wanted_.begin();
      lock.unlock();
      {
        std::lock_guard files{files_mutex_};
        lock.lock();
        auto wanted = wanted_.erase(page) != 0; // not where its shard was dropped meanwhile
        lock.unlock();
        // Whoever needs the page tries again, and is told then.
        if (auto made = wanted ? make_page(page) : result<void>{}; !made)
          log::warn("keys", "no page could be made ahead: {}", made.error().to_string());
      }
      lock.lock();
    }
  }

  result<std::unique_ptr<key_page>> read_page(std::uint64_t page) {
    CANDOR_TRY(file, read_page_file(page));
    return decode(file, page, master_key_);
  }

  result<std::string> read_page_file(std::uint64_t page) {
    auto file = read_file(path_of(page), page_file_bytes);
    if (file)
      return file;
    auto code = file.error().code;
    if (code == errc::not_found || code == errc::too_large)
      return fail(errc::corrupt, file.error().detail);
    return tl::unexpected<error>{file.error()};
  }

  result<std::shared_ptr<const key_page>> find_page(key_ref key) {
    if (key.page == 0 || key.slot >= slots_per_page)
      return fail(errc::corrupt, "a record names a key that cannot be");
    for (;;) {
      std::uint64_t generation;
      {
        std::lock_guard lock{mutex_};
        if (auto i = cached_.find(key.page); i != cached_.end()) {
          recent_.splice(recent_.begin(), recent_, i->second);
          return i->second->second;
        }
        generation = generation_;
      }
      auto read = read_page(key.page);
      std::lock_guard lock{mutex_};
      if (generation != generation_)
        continue; // a page was rewritten or dropped meanwhile, perhaps this one half-way through
      CANDOR_TRY(made, std::move(read));
      std::shared_ptr<const key_page> page = std::move(made);
      remember(key.page, page);
      return page;
    }
  }

  result<std::shared_ptr<const key_page>> find_live(key_ref key) {
    CANDOR_TRY(page, find_page(key));
    if (!page->live(key.slot))
      return fail(errc::key_destroyed);
    return std::move(page);
  }

  /// mutex_ is held.
  void remember(std::uint64_t number, std::shared_ptr<const key_page> page) {
    if (auto i = cached_.find(number); i != cached_.end()) {
      i->second->second = std::move(page);
      recent_.splice(recent_.begin(), recent_, i->second);
      return;
    }
    recent_.emplace_front(number, std::move(page));
    cached_.emplace(number, recent_.begin());
    if (recent_.size() > limits::key_pages_cached) {
      cached_.erase(recent_.back().first);
      recent_.pop_back();
    }
  }

  /// mutex_ is held.
  void forget(std::uint64_t number) {
    if (auto i = cached_.find(number); i != cached_.end()) {
      recent_.erase(i->second);
      cached_.erase(i);
    }
  }

  fs::path folder_;
  fs::path pages_;
  pages_made when_;
  secret_bytes master_key_;
  std::array<unsigned char, nonce_bytes> salt_; ///< of this process's nonces; no secret
  std::optional<file_handle> lock_;

  std::mutex files_mutex_; ///< held while files are changed; taken before mutex_

  mutable std::mutex mutex_; ///< guards what follows; never held while a file is touched
  using page_list = std::list<std::pair<std::uint64_t, std::shared_ptr<const key_page>>>;
  page_list recent_; ///< the last used first
  std::unordered_map<std::uint64_t, page_list::iterator> cached_;
  std::uint64_t generation_ = 0; ///< rises with each page rewritten or dropped
  std::unordered_map<shard_id, shard_pages> shards_;
  std::set<std::uint64_t> wanted_; ///< pages to be made ahead
  std::condition_variable page_wanted_;
  bool closing_ = false;

  std::thread maker_;
};

/// libsodium goes on silently where memory cannot be locked.
void warn_of_lock_limit() {
  rlimit limit;
  auto wanted = limits::key_pages_cached * 4 * static_cast<std::size_t>(::getpagesize());
  if (::geteuid() != 0 && ::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < wanted)
    log::warn("keys",
              "the limit of locked memory is {} bytes; {} keep every cached key out of swap",
              limit.rlim_cur, wanted);
}

} // namespace

result<std::unique_ptr<user_keys>> open_user_keys(const fs::path& folder,
                                                  const node_secrets& secrets, pages_made when) {
  CANDOR_ASSERT(sodium_init() >= 0);
  warn_of_lock_limit();
  auto opened = std::make_unique<page_files>(folder, secrets, when);
  CANDOR_TRY_VOID(opened->open_folder());
  return opened;
}

} // namespace candor::stores
