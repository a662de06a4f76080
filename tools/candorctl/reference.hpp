/// The pages of docs/reference that are made from tables of the code, so that they cannot say
/// something else. Behind `candorctl reference`; a test compares the files. Pure.
#pragma once

#include <string>

namespace candor::ctl {

/// Text for a table's cell, which a "|" would end.
std::string cell(std::string text);

/// Every key of a configuration: flag, variable, sentence, what it is where none is given.
std::string config_page();

/// Every error: its HTTP status, sentence and remedy, under its slug as anchor.
std::string errors_page();

} // namespace candor::ctl
