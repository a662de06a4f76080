/// From a PUT's body to what the platform states of a person. Pure but for the machine's time zone
/// names.
#pragma once

#include <string_view>

#include "storage/base/ids.hpp"
#include "storage/base/time.hpp"
#include "storage/model/region.hpp"
#include "storage/model/user_record.hpp"

namespace candor::parse {

/// `user` is the id in the path: a body that repeats it must agree. Times ahead of `now` are
/// refused. Error: as for events; `unavailable` where the machine has no time zone database.
result<model::user_details> parse_user_json(std::string_view body, const user_id& user,
                                            const model::region_table& regions, timestamp now);

} // namespace candor::parse
