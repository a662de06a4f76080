/// Overwriting what must not be left behind in memory. Guarantees: the whole buffer goes, also what
/// a longer text left behind a shorter one, and no compiler leaves it out. Must never be taken for
/// more: copies that a library or the kernel made are not reached.
#pragma once

#include <string>

namespace candor {

/// The text is empty then.
void wipe(std::string& text) noexcept;

} // namespace candor
