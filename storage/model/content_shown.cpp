#include "storage/model/content_shown.hpp"

#include "storage/model/packing.hpp"

namespace candor::model {

using namespace packing;

namespace {
constexpr unsigned content_shown_version = 1;
}

std::string encode(const content_shown& x) {
  msgpack::sbuffer buffer;
  packer to{buffer};
  to.pack_array(4);
  to.pack(content_shown_version);
  pack_string(to, x.content);
  pack_time(to, x.at);
  to.pack(x.hidden);
  return finish(buffer);
}

result<content_shown> decode_content_shown(std::string_view bytes) {
  return decode<content_shown>(bytes, content_shown_version, "an item that was shown",
                               [](reader& from, content_shown& x) {
                                 x.content = from.text();
                                 x.at = from.time();
                                 x.hidden = from.value<bool>();
                               });
}

} // namespace candor::model
