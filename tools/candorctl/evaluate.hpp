/// How right the topic filter is on labelled rows: recall, utility and the curve between them, by
/// category, language and kind; interest topics by their first and by macro F1. What
/// `candorctl topics evaluate` prints. Holds counts, never a text.
#pragma once

#include <iosfwd>
#include <string>

#include "actors/topic_filter/filter.hpp"
#include "tools/candorctl/session.hpp"

namespace candor::ctl {

/// Rows are JSON objects, one a line: {"text","lang"?,"sensitive"?:[..],"maybe"?:[..],"kind"?,
/// "topics"?:[..]}. A row with `sensitive` empty and `maybe` filled counts for neither recall nor
/// utility. Error: `malformed` with the line.
result<json> evaluate(const topic_filter::filter& by, std::istream& rows);

/// What `evaluate` made, as tables.
void print_evaluation(const json& made);

/// Recall against utility, as an SVG.
std::string draw_curve(const json& made);

} // namespace candor::ctl
